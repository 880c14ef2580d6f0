"""Names of parameters in Caffe's words, by the reference's prototxts."""

import pytest

from fcn_jax.convert.layouts.caffe_names import Blob, blob_of

ONE = {"trunk": ("color",)}
EARLY = {"trunk": ("color", "depth")}
LATE = {"color": ("color",), "hha": ("hha",)}
SINGLE = ("semantic",)
TWO = ("semantic", "geometric")


@pytest.mark.parametrize(
    ("path", "streams", "outputs", "expected"),
    [
        # A trunk; the first convolution says what it reads.
        ("trunk.conv1_1.kernel", ONE, SINGLE, Blob("conv1_1", "weight", ("color",))),
        ("trunk.conv1_1.bias", ONE, SINGLE, Blob("conv1_1", "bias", ("color",))),
        ("trunk.conv1_2.kernel", ONE, SINGLE, Blob("conv1_2", "weight")),
        ("trunk.conv5_3.bias", ONE, SINGLE, Blob("conv5_3", "bias")),
        ("trunk.fc6.kernel", ONE, SINGLE, Blob("fc6", "weight")),
        ("trunk.conv1.kernel", ONE, SINGLE, Blob("conv1", "weight", ("color",))),
        ("trunk.conv2.kernel", ONE, SINGLE, Blob("conv2", "weight")),
        # HHA alone keeps the names; depth fused early has a layer of its own.
        (
            "trunk.conv1_1.kernel",
            {"trunk": ("hha",)},
            SINGLE,
            Blob("conv1_1", "weight", ("hha",)),
        ),
        (
            "trunk.conv1_1.kernel",
            EARLY,
            SINGLE,
            Blob("conv1_1_bgrd", "weight", ("color", "depth")),
        ),
        (
            "trunk.conv1_1.bias",
            EARLY,
            SINGLE,
            Blob("conv1_1_bgrd", "bias", ("color", "depth")),
        ),
        ("trunk.conv1_2.kernel", EARLY, SINGLE, Blob("conv1_2", "weight")),
        # Late fusion: every layer ends in its stream, without an underscore.
        (
            "color.conv1_1.kernel",
            LATE,
            SINGLE,
            Blob("conv1_1color", "weight", ("color",)),
        ),
        ("hha.conv1_1.kernel", LATE, SINGLE, Blob("conv1_1hha", "weight", ("hha",))),
        ("hha.fc7.bias", LATE, SINGLE, Blob("fc7hha", "bias")),
        ("head.score_fr_color.kernel", LATE, SINGLE, Blob("score_frcolor", "weight")),
        ("head.score_fr_hha.bias", LATE, SINGLE, Blob("score_frhha", "bias")),
        ("head.upscore", LATE, SINGLE, Blob("upscore", "upsampling")),
        # GoogLeNet has slashes.
        (
            "trunk.conv1_7x7_s2.kernel",
            ONE,
            (),
            Blob("conv1/7x7_s2", "weight", ("color",)),
        ),
        ("trunk.conv2_3x3_reduce.bias", ONE, (), Blob("conv2/3x3_reduce", "bias")),
        ("trunk.conv2_3x3.kernel", ONE, (), Blob("conv2/3x3", "weight")),
        (
            "trunk.inception_3a.3x3_reduce.kernel",
            ONE,
            (),
            Blob("inception_3a/3x3_reduce", "weight"),
        ),
        (
            "trunk.inception_5b.pool_proj.bias",
            ONE,
            (),
            Blob("inception_5b/pool_proj", "bias"),
        ),
        (
            "head.loss3_classifier.kernel",
            ONE,
            (),
            Blob("loss3/classifier", "weight"),
        ),
        ("head.fc8.bias", ONE, (), Blob("fc8", "bias")),
        # Heads of one output.
        ("head.score_fr.kernel", ONE, SINGLE, Blob("score_fr", "weight")),
        ("head.score_pool4.bias", ONE, SINGLE, Blob("score_pool4", "bias")),
        ("head.upscore", ONE, SINGLE, Blob("upscore", "upsampling")),
        ("head.upscore2", ONE, SINGLE, Blob("upscore2", "upsampling")),
        ("head.upscore_pool4", ONE, SINGLE, Blob("upscore_pool4", "upsampling")),
        ("head.upscore16", ONE, SINGLE, Blob("upscore16", "upsampling")),
        # Several outputs; other names than SIFT Flow's are not shortened.
        ("head.score_fr_semantic.kernel", ONE, TWO, Blob("score_fr_sem", "weight")),
        ("head.score_pool3_geometric.bias", ONE, TWO, Blob("score_pool3_geo", "bias")),
        ("head.upscore8_semantic", ONE, TWO, Blob("upscore8_sem", "upsampling")),
        (
            "head.upscore_pool4_geometric",
            ONE,
            TWO,
            Blob("upscore_pool4_geo", "upsampling"),
        ),
        (
            "head.score_fr_parts.kernel",
            ONE,
            ("parts", "edges"),
            Blob("score_fr_parts", "weight"),
        ),
        # Two trunks under two outputs, which no reference net has.
        ("head.score_fr_hha_semantic.bias", LATE, TWO, Blob("score_frhha_sem", "bias")),
    ],
)
def test_a_parameter_has_caffes_name(path, streams, outputs, expected):
    """Oracle: the layers' names in the reference's and BVLC's prototxts."""
    assert blob_of(path, streams=streams, outputs=outputs) == expected


@pytest.mark.parametrize("path", ["other.conv1_1.kernel", "conv1_1.kernel", "heads.x"])
def test_a_parameter_of_no_part_is_refused(path):
    """Oracle: parameters belong to a stream or to the head."""
    with pytest.raises(ValueError, match=f"{path} belongs neither to the head nor"):
        blob_of(path, streams=ONE, outputs=SINGLE)
