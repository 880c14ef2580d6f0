"""Crop offsets, and what two maps share, against the prototxts and by hand."""

import pytest

from fcn_jax.layers.geometry import (
    IMAGE,
    Geometry,
    Window,
    align,
    crop_offset,
    crop_to_image,
)
from tests.layers.chains import alexnet, googlenet, vgg16, with_upsampling


@pytest.mark.parametrize("input_pad", [100, 1, 35])
@pytest.mark.parametrize("fc6_pad", [0, 3])
def test_vgg16_crop_offsets_for_any_padding(input_pad, fc6_pad):
    """Oracle: closed forms, which give 19; 5, 27; 9, 31 for the reference's padding."""
    trunk = vgg16(input_pad, fc6_pad)
    shift = input_pad + 32 * fc6_pad
    assert crop_offset(IMAGE, with_upsampling(trunk["fc7"], 64, 32)) == shift - 81
    upscore2 = with_upsampling(trunk["fc7"], 4, 2)
    assert crop_offset(upscore2, trunk["pool4"]) == 5 - 2 * fc6_pad
    assert crop_offset(IMAGE, with_upsampling(upscore2, 32, 16)) == shift - 73
    upscore_pool4 = with_upsampling(upscore2, 4, 2)
    assert crop_offset(upscore_pool4, trunk["pool3"]) == 9 - 4 * fc6_pad
    assert crop_offset(IMAGE, with_upsampling(upscore_pool4, 16, 8)) == shift - 69


def test_crop_offsets_of_the_other_nets():
    """Oracle: 18 (AlexNet), 1 + P (GoogLeNet), 115, 107, 103 (truncated VGG16)."""
    assert crop_offset(IMAGE, with_upsampling(alexnet(), 63, 32)) == 18
    for pad in (0, 15, 100):
        assert crop_offset(IMAGE, with_upsampling(googlenet(pad), 63, 32)) == 1 + pad
    trunk = vgg16()
    for name, factor, expected in (
        ("pool5", 32, 115),
        ("pool4", 16, 107),
        ("pool3", 8, 103),
    ):
        assert (
            crop_to_image(with_upsampling(trunk[name], 2 * factor, factor))[1]
            == expected
        )


def test_scores_half_a_pixel_apart_are_refused():
    """Oracle: kernel 64 puts GoogLeNet and AlexNet half a pixel off, 63 VGG16."""
    for upsampled in (
        with_upsampling(googlenet(0), 64, 32),
        with_upsampling(alexnet(), 64, 32),
        with_upsampling(vgg16()["fc7"], 63, 32),
    ):
        with pytest.raises(ValueError, match=r"\.5 pixels apart.*kernel parity"):
            crop_to_image(upsampled)


def test_maps_of_other_scales_are_refused():
    """Oracle: stride 32 and stride 16 have no crop in common."""
    trunk = vgg16()
    with pytest.raises(ValueError, match="scale 32 and 16 cannot be aligned"):
        align(trunk["fc7"], trunk["pool4"])


def test_scores_that_begin_inside_the_image_are_refused():
    """Oracle: a 7 x 7 window without padding is centred on pixel 3."""
    bare = Geometry((Window("convolution", 7),))
    with pytest.raises(ValueError, match="3 pixels inside the image"):
        crop_to_image(bare)
    with pytest.raises(ValueError, match="1 pixels inside the image"):
        crop_to_image(Geometry((Window("convolution", 3),)))


def test_scores_cut_to_the_image_have_its_size():
    """Oracle: by hand; 0 and 2 rows are cut at the start, the rest at the end."""
    for pad, start in ((1, 0), (3, 2)):
        padded = Geometry((Window("convolution", 3, pad=pad),))
        cut, found = crop_to_image(padded)
        assert found == start
        assert [cut.size(size) for size in (1, 7, 30)] == [1, 7, 30]
        assert cut.map == (1, 0)


def test_align_cuts_whichever_map_begins_earlier():
    """Oracle: the reference's 5 on the skip; -1 of the same-size variant."""
    for fc6_pad, starts in ((0, (0, 5)), (3, (1, 0))):
        trunk = vgg16(1 if fc6_pad else 100, fc6_pad)
        upsampled = with_upsampling(trunk["fc7"], 4, 2)
        shared, start, skip_start = align(upsampled, trunk["pool4"])
        assert (start, skip_start) == starts
        assert shared.crops == (skip_start - start,)
        assert shared.scale == 16
        for size in (64, 333, 500):
            expected = min(
                upsampled.size(size) - start, trunk["pool4"].size(size) - skip_start
            )
            assert shared.size(size) == expected
        # Both maps, cut, put their first pixel over the same image pixel.
        skip_scale, skip_offset = trunk["pool4"].map
        assert shared.map[1] == skip_offset + skip_scale * skip_start


def test_what_two_maps_share_is_where_both_have_pixels():
    """Oracle: the places of both maps, listed; a stride of 4 leaves out the last rows."""

    def places(geometry, size):
        scale, offset = geometry.map
        return {scale * o + offset for o in range(geometry.size(size))}

    wide = Geometry((Window("convolution", 3, pad=3),))
    narrow = Geometry((Window("convolution", 5),))
    whole_fours = with_upsampling(Geometry((Window("convolution", 4, 4),)), 4, 4)
    inner = Geometry((Window("convolution", 3),))
    for first, second in ((wide, narrow), (whole_fours, inner)):
        for upsampled, skip in ((first, second), (second, first)):
            shared, _, _ = align(upsampled, skip)
            for size in range(12, 30):
                both = places(upsampled, size) & places(skip, size)
                assert places(shared, size) == both


def test_crops_of_the_reference_nets_along_the_chain():
    """Oracle: the crop layers of the reference's prototxts, coarse to fine."""
    trunk = vgg16()
    assert crop_to_image(with_upsampling(trunk["fc7"], 64, 32))[0].crops == (19,)
    with_pool4, _, _ = align(with_upsampling(trunk["fc7"], 4, 2), trunk["pool4"])
    assert crop_to_image(with_upsampling(with_pool4, 32, 16))[0].crops == (5, 27)
    with_pool3, _, _ = align(with_upsampling(with_pool4, 4, 2), trunk["pool3"])
    assert crop_to_image(with_upsampling(with_pool3, 16, 8))[0].crops == (5, 9, 31)
