"""The full-size networks: parameters, sizes, crop offsets, receptive fields.

Shapes alone are computed (`jax.eval_shape`), except for narrow nets on ten sizes.
"""

import functools
import math
from typing import Any, NamedTuple

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
from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import FCN, parameter_shapes
from fcn_jax.models.googlenet import GoogLeNet
from fcn_jax.params import paths
from fcn_jax.training.checks.trunk import sown

HEIGHTS = np.arange(1, 1025)
TABLE = (1, 31, 33, 64, 224, 256, 333, 375, 425, 500, 560)
EARLY = {"trunk": ("color", "depth")}
LATE = {"color": ("color",), "hha": ("hha",)}
NETS: dict[str, dict[str, Any]] = {
    "fcn32s": {"backbone": "vgg16"},
    "fcn16s": {"backbone": "vgg16", "stride": 16},
    "fcn8s": {"backbone": "vgg16", "stride": 8},
    "fcn8s-atonce": {"backbone": "vgg16", "stride": 8, "at_once": True},
    "fcn-pool5": {"backbone": "vgg16", "score_at": "pool5"},
    "fcn-pool4": {"backbone": "vgg16", "score_at": "pool4"},
    "fcn-pool3": {"backbone": "vgg16", "score_at": "pool3"},
    "alexnet": {"backbone": "alexnet"},
    "alexnet-norm-pool": {"backbone": "alexnet", "order": "norm-pool"},
    "alexnet-16s": {"backbone": "alexnet", "stride": 16},
    "alexnet-8s": {"backbone": "alexnet", "stride": 8},
    "googlenet": {"backbone": "googlenet"},
    "googlenet-16s": {"backbone": "googlenet", "stride": 16},
    "googlenet-8s": {"backbone": "googlenet", "stride": 8},
    "fcn32s-same": {"backbone": "vgg16", "padding": "same"},
    "fcn16s-same": {"backbone": "vgg16", "stride": 16, "padding": "same"},
    "fcn8s-same": {"backbone": "vgg16", "stride": 8, "padding": "same"},
    "alexnet-same": {"backbone": "alexnet", "padding": "same"},
    "alexnet-8s-same": {"backbone": "alexnet", "stride": 8, "padding": "same"},
}


class Maps(NamedTuple):
    """Every map of a net for one image size; values are shapes only."""

    endpoints: dict[str, FeatureMap]
    order: list[str]
    scores: dict[str, FeatureMap]
    output: FeatureMap


@functools.cache
def _net(name: str) -> tuple[FCN, Any]:
    model = build_fcn(outputs={"semantic": 21}, **NETS[name])
    return model, parameter_shapes(model, {"color": 3})


@functools.cache
def _maps(name: str, height: int, width: int) -> Maps:
    model, params = _net(name)
    order: list[str] = []

    def forward(params, image):
        outputs, variables = model.apply(
            {"params": params},
            {"color": image},
            train=False,
            mutable=["endpoints", "scores"],
        )
        endpoints = sown(variables, "endpoints")["trunk"]
        order.extend(endpoints)
        return endpoints, sown(variables, "scores"), outputs["semantic"]

    image = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    endpoints, scores, output = jax.eval_shape(forward, params, image)
    return Maps(endpoints, order, scores, output)


def _ceil(size, divisor):
    return -(-size // divisor)


def _stages(name: str) -> list[np.ndarray]:
    """Sizes of the upsampled maps before each crop, coarse to fine, for HEIGHTS."""
    steps = _maps(name, 64, 64).output.geometry.steps
    return [
        Geometry(steps[:index]).size(HEIGHTS)
        for index, step in enumerate(steps)
        if isinstance(step, Align)
    ]


# Parameters ---------------------------------------------------------------------


def _count(params: dict[str, Any], part: str) -> int:
    flat = paths.flatten(params)
    return sum(math.prod(v.shape) for path, v in flat.items() if part in path)


RGB, HHA = {"color": 3}, {"hha": 3}
VOC, NYUD, CONTEXT = {"semantic": 21}, {"semantic": 40}, {"semantic": 60}
SIFT = {"semantic": 33, "geometric": 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "outputs", "channels", "learnable", "deconvolutions"),
    [
        ({"stride": 32}, VOC, RGB, 134_346_581, 1_806_336),
        ({"stride": 16}, VOC, RGB, 134_357_354, 458_640),
        ({"stride": 8}, VOC, RGB, 134_362_751, 127_008),
        ({"stride": 8, "at_once": True}, VOC, RGB, 134_362_751, 127_008),
        ({"backbone": "alexnet"}, VOC, RGB, 56_954_261, 1_750_329),
        ({"backbone": "googlenet"}, VOC, RGB, 5_995_077, 1_750_329),
        ({"stride": 32}, NYUD, RGB, 134_424_424, 6_553_600),
        ({"streams": {"trunk": ("hha",)}}, NYUD, HHA, 134_424_424, 6_553_600),
        ({"streams": EARLY}, NYUD, {**RGB, "depth": 1}, 134_425_000, 6_553_600),
        ({"streams": LATE}, NYUD, {**RGB, **HHA}, 268_848_848, 6_553_600),
        ({"stride": 32}, SIFT, RGB, 134_408_036, 4_497_408),
        ({"stride": 16}, SIFT, RGB, 134_426_504, 1_141_920),
        ({"stride": 8}, SIFT, RGB, 134_435_756, 316_224),
        ({"stride": 32}, CONTEXT, RGB, 134_506_364, 14_745_600),
        ({"stride": 16}, CONTEXT, RGB, 134_537_144, 3_744_000),
        ({"stride": 8}, CONTEXT, RGB, 134_552_564, 1_036_800),
    ],
)
def test_parameter_counts(settings, outputs, channels, learnable, deconvolutions):
    """Oracle: counts of the reference's prototxts; 5,995,077 is the paper's 6M."""
    settings = {"backbone": "vgg16", **settings}
    fixed = parameter_shapes(build_fcn(outputs=outputs, **settings), channels)
    assert _count(fixed, "") == learnable
    assert _count(fixed, "upscore") == 0
    model = build_fcn(outputs=outputs, upsampling="learned", **settings)
    learned = parameter_shapes(model, channels)
    assert _count(learned, "upscore") == deconvolutions
    assert _count(learned, "") == learnable + deconvolutions


@pytest.mark.slow
def test_parameters_of_single_layers():
    """Oracle: kernels and biases of the papers' tables, by Caffe's names."""
    for name, counts in {
        "fcn8s": {
            "trunk.conv1_1.": 1_792,
            "trunk.conv2_2.": 147_584,
            "trunk.conv5_3.": 2_359_808,
            "trunk.fc6.": 102_764_544,
            "trunk.fc7.": 16_781_312,
            "trunk.": 134_260_544,
            "head.score_fr.": 86_037,
            "head.score_pool4.": 10_773,
            "head.score_pool3.": 5_397,
        },
        "alexnet": {
            "trunk.conv1.": 34_944,
            "trunk.conv2.": 307_456,
            "trunk.conv3.": 885_120,
            "trunk.conv4.": 663_936,
            "trunk.conv5.": 442_624,
            "trunk.fc6.": 37_752_832,
            "trunk.fc7.": 16_781_312,
        },
        "googlenet": {"trunk.": 5_973_552, "head.score_fr.": 21_525},
        "fcn-pool4": {"trunk.": 7_635_264, "head.score_pool4.": 10_773},
    }.items():
        for part, count in counts.items():
            assert _count(_net(name)[1], part) == count


@pytest.mark.slow
def test_names_of_score_and_upsampling_layers():
    """Oracle: the reference's blob names, with suffixes of outputs and streams."""
    settings = {"stride": 8, "upsampling": "learned", "streams": LATE}
    two = {"semantic": 3, "geometric": 2}
    model = build_fcn(backbone="vgg16", outputs=two, width=1 / 16, **settings)
    params = parameter_shapes(model, {"color": 3, "hha": 3})
    layers = ("score_fr", "score_pool4", "score_pool3")
    expected = {
        f"{layer}_{stream}_{output}"
        for layer in layers
        for stream in LATE
        for output in two
    }
    upsampling = ("upscore2", "upscore_pool4", "upscore8")
    expected |= {f"{layer}_{output}" for layer in upsampling for output in two}
    assert set(params["head"]) == expected
    assert set(params) == {"color", "hha", "head"}
    assert {"score_fr", "score_pool4", "score_pool3"} == set(_net("fcn8s")[1]["head"])


# Upsampling kernels ---------------------------------------------------------------

PARITY = {"vgg16": "even", "alexnet": "odd", "googlenet": "odd"}
"""Of the upsampling kernels that the reference's and the papers' nets have."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_parity_of_the_upsampling_kernels(name):
    """Oracle: typed above; one parity for all kernels of a net, as in the prototxts."""
    steps = _maps(name, 64, 64).output.geometry.steps
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
    for endpoint, found in _maps(name, 64, 64).endpoints.items():
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
    assert _maps(name, 64, 64).output.geometry.crops == crops


def test_crop_offsets_of_the_same_size_variant():
    """Oracle: the closed forms 16; -1, 24; -3, 28 at pads 1 and 3.

    The upsampled map is cut where the offset is negative, which moves the later
    offsets: by 16 image pixels for one pixel at stride 16, then by 8 for one at
    stride 8 (the -3 becomes -3 + 2).
    """
    crops = {name: _maps(name, 64, 64).output.geometry.crops for name in NETS}
    assert crops["fcn32s-same"] == (16,)
    assert crops["fcn16s-same"] == (-1, 24 - 16)
    assert crops["fcn8s-same"] == (-1, -3 + 2, 28 - 16 - 8)
    assert crops["alexnet-same"] == (5 - 82 + 32 * 3,)


@pytest.mark.parametrize("name", NETS)
def test_output_has_the_size_of_the_image(name):
    """Oracle: H itself, for every H from 1 (or the smallest image) to 1024."""
    geometry = _maps(name, 64, 64).output.geometry
    least = geometry.smallest_image()
    assert least == (29 if name.startswith("alexnet") and "same" in name else 1)
    np.testing.assert_array_equal(
        geometry.size(HEIGHTS[least - 1 :]), HEIGHTS[least - 1 :]
    )
    assert geometry.map == (1, 0)


def test_closed_forms_of_vgg16():
    """Oracle: the closed forms of the reference nets, for every H from 1 to 1024."""
    h, n = HEIGHTS, _ceil(HEIGHTS + 6, 32)
    endpoints = _maps("fcn8s", 64, 64).endpoints
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
        crop = _maps(name, 64, 64).output.geometry.crops[-1]
        rest = _stages(name)[-1] - crop - h
        np.testing.assert_array_equal(rest, 32 * n + discarded - h)
        assert rest.min() >= 0


def test_closed_forms_of_alexnet_and_googlenet():
    """Oracle: n, upscore and discarded rows in closed form, for H from 1 to 1024."""
    h, n = HEIGHTS, _ceil(HEIGHTS + 2, 32)
    for name in ("alexnet", "alexnet-norm-pool"):
        last = _maps(name, 64, 64).endpoints["fc7"].geometry
        np.testing.assert_array_equal(last.size(h), n)
        np.testing.assert_array_equal(_stages(name), [32 * n + 31])
        np.testing.assert_array_equal(_stages(name)[0] - 18 - h, 32 * n + 13 - h)
    last = _maps("googlenet", 64, 64).endpoints["inception_5b"].geometry
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

    maps = _maps("fcn8s", size, size)
    pools = ("pool1", "pool2", "pool3", "pool4", "pool5")
    assert rows(maps, *pools) == vgg
    assert rows(maps, "fc6", "fc7") == (n_vgg, n_vgg)
    maps = _maps("alexnet", size, size)
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
    maps = _maps(name, 64, 64)
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
    maps = _maps(name, 45, 70)
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

EVERY = [(h, h) for h in range(1, 71)] + [(h, 71 - h) for h in range(1, 71)]
SQUARES = [(h, h) for h in TABLE]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("fcn8s", EVERY + SQUARES),
        ("fcn32s", EVERY[::5] + SQUARES),
        ("alexnet", EVERY + SQUARES),
        ("fcn16s", EVERY[::10] + SQUARES[-2:]),
        ("fcn-pool3", EVERY[::10] + SQUARES[-2:]),
        ("fcn8s-same", EVERY[::10] + SQUARES[-2:]),
        ("googlenet", EVERY[::12] + SQUARES[:1] + SQUARES[-2:]),
        ("googlenet-8s", EVERY[::20] + SQUARES[:1] + SQUARES[-1:]),
    ],
)
def test_scores_have_the_rows_and_columns_of_the_image(name, sizes):
    """Oracle: (H, W) itself; H and W do not influence each other."""
    for height, width in sizes:
        shape = _maps(name, height, width).output.values.shape
        assert shape == (1, height, width, 21)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        (
            {"backbone": "vgg16", "stride": 8},
            [(1, 1), (2, 7), (31, 33), (64, 5), (40, 27)],
        ),
        ({"backbone": "alexnet"}, [(1, 1), (33, 31), (10, 50)]),
        ({"backbone": "googlenet"}, [(1, 3), (37, 64)]),
    ],
)
def test_scores_of_narrow_nets_are_finite(settings, sizes):
    """Oracle: exactly H x W finite scores, computed for real on ten sizes."""
    model = build_fcn(
        outputs={"semantic": 5}, width=1 / 16, score_init="gaussian", **settings
    )
    rng = np.random.default_rng(0)
    shapes = parameter_shapes(model, {"color": 3})
    params = jax.tree.map(
        lambda s: jnp.asarray(rng.normal(0, 0.1, s.shape), s.dtype), shapes
    )
    forward = jax.jit(
        lambda params, x: model.apply({"params": params}, {"color": x}, train=False)
    )
    for height, width in sizes:
        x = jnp.asarray(rng.uniform(-120, 130, (1, height, width, 3)), jnp.float32)
        scores = np.asarray(forward(params, x)["semantic"].values)
        assert scores.shape == (1, height, width, 5)
        assert np.isfinite(scores).all()
        assert scores.any()


# Refusals -----------------------------------------------------------------------


def test_image_smaller_than_the_smallest_is_refused():
    """Oracle: AlexNet's same-size variant needs 29 pixels."""
    assert _maps("alexnet-same", 29, 29).output.values.shape[1:3] == (29, 29)
    with pytest.raises(ValueError, match="the image is too small for this net"):
        _maps("alexnet-same", 28, 29)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnet"}, "backbone is 'resnet'; it must be one of"),
        ({"stride": 4}, "stride is 4; it must be one of 32, 16, 8"),
        ({"padding": "valid"}, "padding is 'valid'"),
        (
            {"backbone": "googlenet", "padding": "same"},
            "of googlenet it must be one of reference",
        ),
        ({"backbone": "alexnet", "order": "x"}, "order is 'x'"),
        ({"at_once": True}, "at_once scales the skips"),
    ],
)
def test_wrong_names_are_refused(settings, message):
    """Oracle: the message names the value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        build_fcn(**{"backbone": "vgg16", "outputs": {"semantic": 2}, **settings})


def test_unknown_endpoint_or_input_is_refused():
    """Oracle: the message names the value and what there is."""
    for settings, channels, message in (
        ({"score_at": "pool9"}, {"color": 3}, "no endpoint 'pool9'; it has conv1_1"),
        ({}, {"hha": 3}, r"color is missing from \['hha'\]"),
    ):
        settings = {"backbone": "vgg16", "outputs": {"semantic": 2}, **settings}
        model = build_fcn(**settings)
        with pytest.raises(ValueError, match=message):
            parameter_shapes(model, channels)


@pytest.mark.parametrize("key", ["fusion", "upsampling", "score_init"])
def test_misspelt_choice_is_refused(key):
    """Oracle: both choices of each are spelt out in the signature."""
    with pytest.raises(ValueError, match="misspelt"):
        build_fcn(backbone="vgg16", outputs={"semantic": 2}, **{key: "misspelt"})


@pytest.mark.parametrize(
    ("backbone", "score_at"),
    [("alexnet", "pool2"), ("vgg16", "conv3_3"), ("googlenet", "pool3")],
)
def test_truncated_net_has_no_layer_above_its_score(backbone, score_at):
    """Oracle: the docstring of build_fcn; scores still have the image's size."""
    model = build_fcn(backbone=backbone, outputs={"semantic": 2}, score_at=score_at)
    trunk = parameter_shapes(model, {"color": 3})["trunk"]
    assert not {"fc6", "inception_4a", "conv4_1" if backbone == "vgg16" else ""} & set(
        trunk
    )
    image = {"color": jnp.zeros((1, 45, 70, 3))}
    maps, _ = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), image, train=False)
    )
    assert maps["semantic"].values.shape == (1, 45, 70, 2)
