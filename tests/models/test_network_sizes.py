"""The full-size networks: sizes, crop offsets, receptive fields, upsampling kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.layers.geometry import (
    IMAGE,
    Align,
    Geometry,
    Window,
    bilinear_kernel_size,
    crop_offset,
    upsampling_window,
)
from fcn_jax.models.googlenet import GoogLeNet
from tests.models.full_size_nets import HEIGHTS, NETS, TABLE, maps_of


def _ceil(size, divisor):
    return -(-size // divisor)


def _stages(name: str) -> list[np.ndarray]:
    """Sizes of the upsampled maps before each crop, coarse to fine, for HEIGHTS."""
    steps = maps_of(name, 64, 64).output.geometry.steps
    return [
        Geometry(steps[:index]).size(HEIGHTS)
        for index, step in enumerate(steps)
        if isinstance(step, Align)
    ]


# Upsampling kernels ---------------------------------------------------------------

PARITY = {"vgg16": "even", "alexnet": "odd", "googlenet": "odd"}
"""Of the upsampling kernels that the reference's and the papers' nets have."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_parity_of_the_upsampling_kernels(name):
    """Oracle: typed above; one parity for all kernels of a net, as in the prototxts."""
    steps = maps_of(name, 64, 64).output.geometry.steps
    kernels = {
        (step.kernel, step.stride)
        for step in steps
        if isinstance(step, Window) and step.kind == "transposed"
    }
    parity = PARITY[NETS[name]["backbone"]]
    assert kernels
    for kernel, factor in kernels:
        assert kernel == bilinear_kernel_size(factor, parity)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("fcn8s", {"conv1_1", "conv1_2"}),
        ("fcn8s-same", {"conv1_1", "conv1_2"}),
        ("alexnet", set()),
        ("alexnet-same", set()),
        ("googlenet", set()),
    ],
)
def test_parity_for_every_endpoint_that_can_be_scored(name, others):
    """Oracle: the parity typed above; at conv1_1 of VGG16 no crop aligns its kernel."""
    refused = set()
    for endpoint, found in maps_of(name, 64, 64).endpoints.items():
        geometry = found.geometry
        window = upsampling_window(geometry, IMAGE)
        kernel = bilinear_kernel_size(window.stride, PARITY[NETS[name]["backbone"]])
        typed = Window("transposed", kernel, window.stride)
        try:
            crop_offset(reference=IMAGE, cropped=geometry.after(typed))
        except ValueError:
            refused.add(endpoint)
        else:
            assert window == typed
    assert refused == others


# Sizes, crops, receptive fields -------------------------------------------------


@pytest.mark.parametrize(
    ("name", "crops"),
    [
        ("fcn32s", (19,)),
        ("fcn16s", (5, 27)),
        ("fcn8s", (5, 9, 31)),
        ("fcn8s-atonce", (5, 9, 31)),
        ("alexnet", (18,)),
        ("alexnet-norm-pool", (18,)),
        ("googlenet", (16,)),
        ("fcn-pool5", (115,)),
        ("fcn-pool4", (107,)),
        ("fcn-pool3", (103,)),
    ],
)
def test_crop_offsets(name, crops):
    """Oracle: the prototxts' offsets; computed ones for nets that have none."""
    assert maps_of(name, 64, 64).output.geometry.crops == crops


def test_crop_offsets_of_the_same_size_variant():
    """Oracle: the closed forms 16; -1, 24; -3, 28 at pads 1 and 3.

    The upsampled map is cut where the offset is negative, which moves the later
    offsets: by 16 image pixels for one pixel at stride 16, then by 8 for one at
    stride 8 (the -3 becomes -3 + 2).
    """
    crops = {name: maps_of(name, 64, 64).output.geometry.crops for name in NETS}
    assert crops["fcn32s-same"] == (16,)
    assert crops["fcn16s-same"] == (-1, 24 - 16)
    assert crops["fcn8s-same"] == (-1, -3 + 2, 28 - 16 - 8)
    assert crops["alexnet-same"] == (5 - 82 + 32 * 3,)
    # The first cell lies over pixel 30 = 2 + 4 + 8 + 16, its kernel begins 31 before.
    assert crops["googlenet-same"] == (1,)
    assert crops["googlenet-8s-same"] == (0, 0, 1)


@pytest.mark.parametrize("name", NETS)
def test_output_has_the_size_of_the_image(name):
    """Oracle: H itself, for every H from 1 (or the smallest image) to 1024."""
    geometry = maps_of(name, 64, 64).output.geometry
    least = geometry.smallest_image()
    same = {"alexnet": 29, "googlenet": 31}
    assert least == (same.get(name.partition("-")[0], 1) if "same" in name else 1)
    np.testing.assert_array_equal(
        geometry.size(HEIGHTS[least - 1 :]), HEIGHTS[least - 1 :]
    )
    assert geometry.map == (1, 0)


def test_closed_forms_of_vgg16():
    """Oracle: the closed forms of the reference nets, for every H from 1 to 1024."""
    h, n = HEIGHTS, _ceil(HEIGHTS + 6, 32)
    endpoints = maps_of("fcn8s", 64, 64).endpoints
    for name, size in {
        "conv1_2": h + 198,
        "pool1": _ceil(h + 198, 2),
        "pool2": _ceil(h + 198, 4),
        "pool3": _ceil(h + 198, 8),
        "pool4": _ceil(h + 198, 16),
        "pool5": _ceil(h + 198, 32),
        "fc6": n,
        "fc7": n,
    }.items():
        np.testing.assert_array_equal(endpoints[name].geometry.size(h), size)
    for name, sizes in {
        "fcn32s": [32 * n + 32],
        "fcn16s": [2 * n + 2, 32 * n + 48],
        "fcn8s": [2 * n + 2, 4 * n + 6, 32 * n + 56],
    }.items():
        np.testing.assert_array_equal(_stages(name), sizes)
    for name, discarded in (("fcn32s", 13), ("fcn16s", 21), ("fcn8s", 25)):
        crop = maps_of(name, 64, 64).output.geometry.crops[-1]
        rest = _stages(name)[-1] - crop - h
        np.testing.assert_array_equal(rest, 32 * n + discarded - h)
        assert rest.min() >= 0


def test_closed_forms_of_alexnet_and_googlenet():
    """Oracle: n, upscore and discarded rows in closed form, for H from 1 to 1024."""
    h, n = HEIGHTS, _ceil(HEIGHTS + 2, 32)
    for name in ("alexnet", "alexnet-norm-pool"):
        last = maps_of(name, 64, 64).endpoints["fc7"].geometry
        np.testing.assert_array_equal(last.size(h), n)
        np.testing.assert_array_equal(_stages(name), [32 * n + 31])
        np.testing.assert_array_equal(_stages(name)[0] - 18 - h, 32 * n + 13 - h)
    last = maps_of("googlenet", 64, 64).endpoints["inception_5b"].geometry
    np.testing.assert_array_equal(last.size(h), _ceil(h, 32))
    assert last.map == (32, 15)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "vgg", "n_vgg", "alex", "n_alex"),
    [
        (1, (100, 50, 25, 13, 7), 1, (48, 24, 12, 6), 1),
        (31, (115, 58, 29, 15, 8), 2, (56, 28, 14, 7), 2),
        (33, (116, 58, 29, 15, 8), 2, (56, 28, 14, 7), 2),
        (64, (131, 66, 33, 17, 9), 3, (64, 32, 16, 8), 3),
        (224, (211, 106, 53, 27, 14), 8, (104, 52, 26, 13), 8),
        (256, (227, 114, 57, 29, 15), 9, (112, 56, 28, 14), 9),
        (333, (266, 133, 67, 34, 17), 11, (131, 65, 32, 16), 11),
        (375, (287, 144, 72, 36, 18), 12, (142, 71, 35, 17), 12),
        (425, (312, 156, 78, 39, 20), 14, (154, 77, 38, 19), 14),
        (500, (349, 175, 88, 44, 22), 16, (173, 86, 43, 21), 16),
        (560, (379, 190, 95, 48, 24), 18, (188, 94, 47, 23), 18),
    ],
)
def test_sizes_of_the_table(size, vgg, n_vgg, alex, n_alex):
    """Oracle: sizes logged by Caffe for the reference nets; shapes, not geometry."""

    def rows(maps, *names):
        return tuple(maps.endpoints[name].values.shape[1] for name in names)

    maps = maps_of("fcn8s", size, size)
    pools = ("pool1", "pool2", "pool3", "pool4", "pool5")
    assert rows(maps, *pools) == vgg
    assert rows(maps, "fc6", "fc7") == (n_vgg, n_vgg)
    maps = maps_of("alexnet", size, size)
    assert rows(maps, "conv1", "pool1", "pool2", "pool5") == alex
    assert rows(maps, "fc6", "fc7") == (n_alex, n_alex)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        (
            "fcn8s",
            "conv1_1 3/1, conv1_2 5/1, pool1 6/2, conv2_1 10/2, conv2_2 14/2, "
            "pool2 16/4, conv3_1 24/4, conv3_2 32/4, conv3_3 40/4, pool3 44/8, "
            "conv4_1 60/8, conv4_2 76/8, conv4_3 92/8, pool4 100/16, conv5_1 132/16, "
            "conv5_2 164/16, conv5_3 196/16, pool5 212/32, fc6 404/32, fc7 404/32",
        ),
        (
            "alexnet",
            "conv1 11/4, pool1 19/8, conv2 51/8, pool2 67/16, conv3 99/16, "
            "conv4 131/16, conv5 163/16, pool5 195/32, fc6 355/32, fc7 355/32",
        ),
        (
            "googlenet",
            "conv1_7x7_s2 7/2, pool1 11/4, conv2_3x3_reduce 11/4, conv2_3x3 19/4, "
            "pool2 27/8, inception_3a 59/8, inception_3b 91/8, "
            "pool3 107/16, inception_4a 171/16, inception_4b 235/16, "
            "inception_4c 299/16, inception_4d 363/16, inception_4e 427/16, "
            "pool4 459/32, inception_5a 587/32, inception_5b 715/32",
        ),
    ],
)
def test_endpoints_with_their_receptive_fields_and_strides(name, table):
    """Oracle: the papers' and Caffe's tables; endpoints from high to low resolution."""
    maps = maps_of(name, 64, 64)
    found = [
        f"{endpoint} {geometry.receptive_field}/{geometry.scale}"
        for endpoint in maps.order
        for geometry in [maps.endpoints[endpoint].geometry]
    ]
    assert found == table.split(", ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcn8s", "fcn8s-same", "alexnet-8s", "googlenet-8s"])
def test_geometry_agrees_with_the_shapes(name):
    """Oracle: shapes of the arrays, rows and columns apart."""
    maps = maps_of(name, 45, 70)
    for found in [*maps.endpoints.values(), *maps.scores.values(), maps.output]:
        expected = (found.geometry.size(45), found.geometry.size(70))
        assert found.values.shape[1:3] == expected
        assert found.values.dtype == jnp.float32


@pytest.mark.slow
def test_googlenet_without_the_extra_padding():
    """Oracle: BVLC GoogLeNet's sizes at 500 and 224 pixels; o = i / 32 - 15 / 16."""

    def sizes(pixels):
        image = jax.ShapeDtypeStruct((1, pixels, pixels, 3), jnp.float32)
        trunk = GoogLeNet(input_pad=0)
        maps, _ = jax.eval_shape(
            lambda x: trunk.init_with_output(
                jax.random.key(0), FeatureMap(x), train=False
            ),
            image,
        )
        last = maps["inception_5b"].geometry
        assert last.map == (32, 30)
        h = HEIGHTS[30:]
        np.testing.assert_array_equal(last.size(h), _ceil(h - 30, 32))
        names = ("pool1", "pool2", "pool3", "pool4")
        return [maps[name].values.shape[1] for name in names]

    assert sizes(500) == [125, 62, 31, 15]
    assert sizes(224) == [56, 28, 14, 7]


# Rows and columns independent ---------------------------------------------------

MIXED = [(h, 65 - h) for h in range(1, 33)]
"""Every remainder of the largest stride, 32, as a height and as a width."""
SQUARES = [(h, h) for h in TABLE]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("fcn8s", MIXED + SQUARES),
        ("alexnet", MIXED + SQUARES),
        ("fcn32s", MIXED[::4] + SQUARES[-2:]),
        ("fcn16s", MIXED[::8] + SQUARES[-2:]),
        ("fcn-pool3", MIXED[::8] + SQUARES[-2:]),
        ("fcn8s-same", MIXED[::4] + SQUARES[-2:]),
        ("googlenet", MIXED[::4] + SQUARES[-2:]),
        ("googlenet-8s", MIXED[::8] + SQUARES[-1:]),
        ("googlenet-8s-same", [(31, 47), (40, 62), *SQUARES[-1:]]),
    ],
)
def test_scores_have_the_rows_and_columns_of_the_image(name, sizes):
    """Oracle: (H, W) itself; H and W do not influence each other."""
    for height, width in sizes:
        shape = maps_of(name, height, width).output.values.shape
        assert shape == (1, height, width, 21)


# Refusals -----------------------------------------------------------------------


def test_image_smaller_than_the_smallest_is_refused():
    """Oracle: AlexNet's same-size variant needs 29 pixels."""
    assert maps_of("alexnet-same", 29, 29).output.values.shape[1:3] == (29, 29)
    with pytest.raises(ValueError, match="the image is too small for this net"):
        maps_of("alexnet-same", 28, 29)
