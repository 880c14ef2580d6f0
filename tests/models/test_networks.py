"""The full-size networks: parameters, sizes, crop offsets, receptive fields.

Shapes alone are computed (`jax.eval_shape`), except for narrow nets on ten sizes.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.params import paths
from tests.models.full_size_nets import EARLY, LATE, full_size_net

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
    model = build_fcn(outputs=outputs, upsampling="learned", **settings)
    learned = parameter_shapes(model, channels)
    assert _count(learned, "upscore") == deconvolutions
    assert _count(learned, "") == learnable + deconvolutions


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "learnable"),
    [
        ("fcn32s", 134_346_581),
        ("fcn16s", 134_357_354),
        ("fcn8s", 134_362_751),
        ("fcn8s-atonce", 134_362_751),
        ("alexnet", 56_954_261),
        ("googlenet", 5_995_077),
    ],
)
def test_parameter_counts_with_fixed_upsampling(name, learnable):
    """Oracle: as above; bilinear upsampling has no parameters."""
    _, params = full_size_net(name)
    assert _count(params, "") == learnable
    assert _count(params, "upscore") == 0


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
            assert _count(full_size_net(name)[1], part) == count


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
    assert {"score_fr", "score_pool4", "score_pool3"} == set(
        full_size_net("fcn8s")[1]["head"]
    )


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnet"}, "backbone is 'resnet'; it must be one of"),
        ({"stride": 4}, "stride is 4; it must be one of 32, 16, 8"),
        ({"padding": "valid"}, "padding is 'valid'"),
        (
            {"backbone": "googlenet", "padding": "native"},
            "of googlenet it must be one of reference, same",
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
