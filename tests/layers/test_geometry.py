"""Sizes, coordinate maps, receptive fields and crops against enumerated windows."""

from fractions import Fraction
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.geometry import (
    IMAGE,
    Geometry,
    Window,
    align,
    bilinear_kernel_size,
    crop_to_image,
    same_grid,
    smaller,
    upsampling_window,
    whole_factor,
)
from tests.layers.chains import (
    CONV3,
    POOL2,
    POOL3,
    alexnet,
    googlenet,
    vgg16,
    with_upsampling,
)


def starts_of_convolution(size, kernel, stride, pad, dilation):
    """First tap of every window that lies wholly inside the padded image."""
    padded_end = size + pad
    starts, start = [], -pad
    while start + dilation * (kernel - 1) < padded_end:
        starts.append(start)
        start += stride
    return starts


def starts_of_pooling(size, kernel, stride, pad):
    """Windows until one reaches the padded end; each starts before the right pad."""
    starts, start = [], -pad
    while start < size:
        starts.append(start)
        if start + kernel >= size + pad:
            break
        start += stride
    return starts


@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_convolution_size_is_the_number_of_windows(kernel, stride):
    """Oracle: enumeration of the windows."""
    for size, pad, dilation in product(range(1, 30), (0, 1, 2, 5), (1, 2, 3)):
        if size + 2 * pad < dilation * (kernel - 1) + 1:
            continue
        window = Window("convolution", kernel, stride, pad, dilation)
        starts = starts_of_convolution(size, kernel, stride, pad, dilation)
        assert window.size(size) == len(starts)


@pytest.mark.parametrize(
    ("kernel", "pad"), [(k, p) for k in range(1, 6) for p in range(min(k, 3))]
)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_pooling_size_is_the_number_of_windows(kernel, stride, pad):
    """Oracle: enumeration of the windows, the last of which may be partial."""
    for size in range(max(1, kernel - 2 * pad - stride + 1), 40):
        window = Window("pooling", kernel, stride, pad)
        assert window.size(size) == len(starts_of_pooling(size, kernel, stride, pad))


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "clips"),
    [
        (2, 2, 0, False),
        (3, 2, 0, False),
        (3, 1, 1, False),
        (3, 2, 1, False),
        (2, 2, 1, True),
        (3, 3, 1, True),
        (4, 3, 2, True),
        (5, 4, 2, True),
    ],
)
def test_pooling_size_follows_caffe_formula(kernel, stride, pad, clips):
    """Oracle: Caffe's rule as it is written, rounded up and then clipped once."""
    clipped = 0
    for size in range(kernel, 60):
        expected = int(np.ceil((size + 2 * pad - kernel) / stride)) + 1
        if pad > 0 and (expected - 1) * stride >= size + pad:
            expected -= 1
            clipped += 1
        assert Window("pooling", kernel, stride, pad).size(size) == expected
    assert (clipped > 0) == clips


def test_transposed_size_is_the_span_of_the_outputs_touched():
    """Oracle: enumeration of the outputs that every input pixel adds to."""
    for size, kernel, stride, pad in product(
        range(1, 9), range(1, 8), (1, 2, 3), (0, 1)
    ):
        touched = {stride * i + u for i in range(size) for u in range(kernel)}
        expected = max(touched) + 1 - 2 * pad
        assert Window("transposed", kernel, stride, pad).size(size) == expected


def test_sizes_of_integer_arrays_and_traced_arrays_equal_those_of_integers():
    """Oracle: the same rule on Python integers."""
    sizes = np.arange(1, 300, dtype=np.int32)
    geometry = Geometry((Window("convolution", 7, 2, 18), POOL3, CONV3))
    upsampled = geometry.after(Window("transposed", 7, 4))
    shared, _ = crop_to_image(upsampled)
    for chain in (geometry, upsampled, shared):
        expected = [chain.size(int(size)) for size in sizes]
        assert chain.size(sizes).tolist() == expected
        traced = jax.jit(chain.size)(jnp.asarray(sizes))
        assert traced.dtype == jnp.int32
        assert traced.tolist() == expected


def test_smaller_is_the_minimum():
    """Oracle: Python's min, negative numbers included."""
    for first, second in product(range(-5, 6), repeat=2):
        assert smaller(first, second) == min(first, second)


def test_map_of_a_window_is_the_centre_of_its_taps():
    """Oracle: mean position of the taps of each output pixel."""
    for kernel, stride, pad, dilation in product(
        (1, 2, 3, 6), (1, 2, 4), (0, 1, 5), (1, 2)
    ):
        window = Window("convolution", kernel, stride, pad, dilation)
        scale, offset = window.map
        for o in range(4):
            taps = [stride * o - pad + dilation * u for u in range(kernel)]
            assert scale * o + offset == Fraction(sum(taps), kernel)


def test_map_of_a_transposed_window_is_the_inverse_of_the_centre():
    """Oracle: mean position of the outputs that an input pixel adds to."""
    for kernel, stride, pad in product((1, 2, 3, 4, 63, 64), (1, 2, 32), (0, 1)):
        scale, offset = Window("transposed", kernel, stride, pad).map
        for i in range(4):
            outputs = [stride * i + u - pad for u in range(kernel)]
            centre = Fraction(sum(outputs), kernel)
            assert scale * centre + offset == i


def _seen(windows, output):
    """Image pixels (with multiplicity) below one output pixel of a chain."""
    seen = [output]
    for window in reversed(windows):
        seen = [
            window.stride * o - window.pad + window.dilation * u
            for o in seen
            for u in range(window.kernel)
        ]
    return seen


@pytest.mark.parametrize(
    "windows",
    [
        (CONV3, CONV3, POOL2, CONV3),
        (Window("convolution", 11, 4, 100), POOL3, Window("convolution", 5, pad=2)),
        (Window("convolution", 7, 2, 18), POOL3, CONV3, POOL3),
        (Window("convolution", 3, 1, 2, 2), POOL2, Window("convolution", 4, 1, 0, 3)),
    ],
)
def test_composition_and_receptive_field_by_brute_force(windows):
    """Oracle: the image pixels below an output pixel, enumerated through the chain."""
    geometry = Geometry(windows)
    scale, offset = geometry.map
    for output in (0, 1, 7):
        seen = _seen(windows, output)
        assert scale * output + offset == Fraction(sum(seen), len(seen))
        assert geometry.receptive_field == max(seen) - min(seen) + 1
    assert geometry.scale == scale


def test_receptive_fields_of_the_trunks():
    """Oracle: the papers' 404 and 355; 715 for GoogLeNet without its last pooling."""
    assert vgg16()["fc7"].receptive_field == 404
    assert alexnet().receptive_field == 355
    assert googlenet(15).receptive_field == 715
    pooled = googlenet(0).after(Window("pooling", 7))
    assert pooled.receptive_field == 907
    assert type(pooled.receptive_field) is int


def test_upsampling_does_not_enlarge_the_receptive_field():
    """Oracle: the definition; what was scored has seen 404 pixels."""
    upsampled = with_upsampling(vgg16()["fc7"], 64, 32)
    assert upsampled.receptive_field == 404
    assert crop_to_image(upsampled)[0].receptive_field == 404
    shared, _, _ = align(Geometry((CONV3,)), IMAGE)
    assert shared.receptive_field == 3


def test_period_by_hand():
    """Oracle: products of strides; then every extent grows by period / scale."""
    trunk = vgg16()
    thirds = with_upsampling(Geometry((Window("convolution", 3, 3),)), 3, 3)
    halves = with_upsampling(Geometry((POOL2,)), 2, 2)
    shared, _, _ = align(thirds, halves)
    for geometry, period in (
        (IMAGE, 1),
        (trunk["fc7"], 32),
        (alexnet(), 32),
        (with_upsampling(trunk["fc7"], 64, 32), 32),
        (align(with_upsampling(trunk["fc7"], 4, 2), trunk["pool4"])[0], 32),
        (thirds, 3),
        (shared, 6),
        (shared.after(Window("convolution", 2, 2)), 12),
    ):
        assert geometry.period == period
        growth = period / geometry.scale
        for size in range(40, 40 + 2 * period):
            assert geometry.size(size + period) - geometry.size(size) == growth


def _conv(*window):
    return Geometry((Window("convolution", *window),))


def _pool(*window):
    return Geometry((Window("pooling", *window),))


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (_conv(3, 2, 1), _conv(3, 2, 1), True),
        # The same extents, rows / 2 rounded down, and centres at 2 o + 1 / 2.
        (_conv(2, 2), _conv(4, 2, 1), True),
        (_conv(3, 1, 1), IMAGE, True),
        # The same extents, rows / 2 rounded up, with centres at 2 o and 2 o + 1 / 2.
        (_conv(3, 2, 1), _pool(2, 2), False),
        # The same centres; extents differ for odd rows, for even rows.
        (_conv(2, 2), _pool(2, 2), False),
        (_conv(3, 2), _pool(3, 2), False),
        # The same centres; 2 (rows / 2) and 3 (rows / 3), both 0 for one row.
        (with_upsampling(_conv(2, 2), 2, 2), with_upsampling(_conv(3, 3), 3, 3), False),
        (_conv(3), IMAGE, False),
    ],
)
def test_maps_on_the_same_grid(first, second, same):
    """Oracle: by hand, as said beside each; and the extents of a hundred images."""
    assert same_grid(first, second) is same
    assert same_grid(second, first) is same
    extents = [[one.size(rows) for rows in range(1, 101)] for one in (first, second)]
    assert (extents[0] == extents[1] and first.map == second.map) is same


def test_smallest_image_is_the_first_without_an_empty_map():
    """Oracle: sizes tried one by one; bare VGG16 needs 193 pixels, AlexNet 199."""
    assert vgg16(1, 0)["fc7"].smallest_image() == 193
    assert alexnet(0).smallest_image() == 199
    assert vgg16()["fc7"].smallest_image() == 1
    assert IMAGE.smallest_image() == 1
    chain = Geometry((Window("convolution", 9), POOL3, Window("convolution", 4)))
    least = chain.smallest_image()
    assert least == 16
    for size, fits in ((least, True), (least - 1, False)):
        extent, positive = size, True
        for window in chain.steps:
            extent = window.size(extent)
            positive &= extent >= 1
        assert positive == fits


def test_smallest_image_looks_into_the_skips_too():
    """Oracle: the skip needs 81 - 40 = 41 pixels, the upsampled branch one."""
    skip = Geometry((Window("convolution", 81, 2, 20),))
    coarse = Geometry((Window("convolution", 81, 4, 60),))
    shared, _, _ = align(with_upsampling(coarse, 3, 2), skip)
    assert coarse.smallest_image() == 1
    assert skip.smallest_image() == 41
    assert shared.smallest_image() == 41


def test_smallest_image_looks_at_every_map_of_a_skip():
    """Oracle: by hand; a padding after a window of 5 hides that it had no place."""
    skip = Geometry((Window("convolution", 5), Window("convolution", 3, pad=4)))
    shared, start, skip_start = align(IMAGE, skip)
    assert (start, skip_start) == (0, 1)
    assert [shared.size(size) for size in (1, 4, 5)] == [1, 4, 5]
    assert shared.smallest_image() == 5
    nine = Geometry((Window("convolution", 9),))
    assert align(nine, nine)[0].smallest_image() == 9


def test_chain_that_no_image_fits_is_refused():
    """Oracle: a window of 2,000 pixels."""
    with pytest.raises(ValueError, match="no image of up to 1024 pixels"):
        Geometry((Window("convolution", 2000),)).smallest_image()
    nine = Geometry((Window("convolution", 9),))
    assert nine.smallest_image(limit=9) == 9
    with pytest.raises(ValueError, match="no image of up to 8 pixels"):
        nine.smallest_image(limit=8)


def test_kernel_sizes_and_factors():
    """Oracle: the reference's 64, 32, 16, 4 (even) and 63 (odd)."""
    assert [bilinear_kernel_size(f, "even") for f in (32, 16, 8, 2)] == [64, 32, 16, 4]
    assert bilinear_kernel_size(32, "odd") == 63
    assert whole_factor(Fraction(32), Fraction(16)) == 2
    for coarse, fine in ((16, 32), (32, 12)):
        with pytest.raises(ValueError, match="from coarse to fine"):
            whole_factor(Fraction(coarse), Fraction(fine))


def test_upsampling_windows():
    """Oracle: 2 f or 2 f - 1 taps by hand, the other of which crops at a half pixel."""
    trunk = vgg16()
    assert upsampling_window(trunk["fc7"], IMAGE) == Window("transposed", 64, 32)
    assert upsampling_window(trunk["fc7"], trunk["pool4"]).kernel == 4
    assert upsampling_window(alexnet(), IMAGE).kernel == 63
    pool2 = Geometry(alexnet().steps[:4])
    assert upsampling_window(alexnet(), pool2) == Window("transposed", 3, 2)
    assert upsampling_window(IMAGE, IMAGE) == Window("transposed", 1, 1)
    for coarse, kernel in ((trunk["fc7"], 63), (alexnet(), 64)):
        with pytest.raises(ValueError, match="no crop aligns"):
            crop_to_image(with_upsampling(coarse, kernel, 32))


def test_maps_that_no_kernel_aligns_are_refused():
    """Oracle: by hand; the centres are a sixth of a pixel off."""
    moved = Geometry((Window("transposed", 2, 3), Window("convolution", 1, 3)))
    assert moved.map == (1, Fraction(-1, 6))
    with pytest.raises(ValueError, match="no bilinear kernel aligns the maps"):
        upsampling_window(moved, IMAGE)


def test_maps_of_endpoints_by_hand():
    """Oracle: pool3's centre 3.5 + 1 - 100; upscore 64 / 32 brings 12.5 to -19."""
    trunk = vgg16()
    assert trunk["pool3"].map == (8, Fraction(-191, 2))
    assert trunk["fc7"].map == (32, Fraction(25, 2))
    assert with_upsampling(trunk["fc7"], 64, 32).map == (1, -19)
