"""Origins: recognised by names, with the names that their files are known to have."""

from pathlib import Path

import numpy as np
import pytest

from fcn_jax.convert.layouts.weight_layouts import (
    VGG_CONVOLUTIONS,
    WEIGHT_LAYOUTS,
    detect,
    refuse_other_nets,
)
from fcn_jax.convert.manifest import WEIGHT_LAYOUTS as KNOWN
from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError

FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Numbers of VGG16's convolutions in torchvision's `features`."""


def _weight_file(*names: str, format: str = "pytorch") -> WeightFile:
    """A file that has these arrays, of no size to speak of."""
    return WeightFile(Path("x.pth"), format, {name: np.zeros(1) for name in names})


def _vgg16(classifier: tuple[int, ...]) -> list[str]:
    layers = [f"features.{n}" for n in FEATURES]
    layers += [f"classifier.{n}" for n in classifier]
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


@pytest.mark.parametrize(
    ("weight_file", "expected"),
    [
        (_weight_file("conv1_1[0]", format="caffemodel"), "caffe"),
        (_weight_file("conv1[0]", format="caffemodel (V1)"), "caffe"),
        (
            _weight_file(
                "block1_conv1/block1_conv1_W_1:0", "fc1/fc1_W_1:0", format="keras"
            ),
            "keras",
        ),
        (
            _weight_file("block1_conv1/block1_conv1_W_1:0", format="keras"),
            "keras-notop",
        ),
        (_weight_file("conv1_1[0]", format="npy"), "tensorflow-vgg"),
        (_weight_file(*_vgg16((1, 4, 6))), "jcjohnson"),
        (_weight_file(*_vgg16(()), "pre_logits.fc1.weight"), "torchvision"),
        (_weight_file("conv1_1/W", "conv1_1/b", format="npz"), "wkentaro"),
    ],
)
def test_an_origin_is_recognised(weight_file, expected):
    """Oracle: the names in the published files of each origin."""
    assert detect(weight_file, "vgg16") == expected


@pytest.mark.parametrize("format", ["pytorch", "safetensors", "npz"])
@pytest.mark.parametrize(
    ("names", "origins"),
    [
        (_vgg16((0, 3, 6)), ("torchvision", "torchvision-features", "wkentaro")),
        (
            _vgg16(()),
            ("torchvision", "torchvision-features", "jcjohnson", "wkentaro"),
        ),
        (["conv1_1.weight", "fc6.weight"], ("torchvision", "wkentaro")),
    ],
)
def test_names_that_origins_share_need_one_to_be_named(names, origins, format):
    """Oracle: whose published or ported files have such names, and what each reads."""
    with pytest.raises(WeightFileError, match="origins share") as error:
        detect(_weight_file(*names, format=format), "vgg16")
    for name in WEIGHT_LAYOUTS:
        assert (f"--origin={name}: " in str(error.value)) == (name in origins)
    assert "--origin=wkentaro: blue, green, red in 0..255" in str(error.value)


def test_the_names_of_an_fcn_have_one_origin():
    """Oracle: torchvision has published no FCN with Caffe's names of layers."""
    assert (
        detect(_weight_file("conv1_1.weight", "fc6.weight"), "voc-fcn8s") == "wkentaro"
    )


def test_names_of_no_origin_are_refused():
    """Oracle: the sentence names the arrays, what --origin takes, and the file."""
    with pytest.raises(
        WeightFileError, match="x.pth has the arrays 'layer1.weight'"
    ) as e:
        detect(_weight_file("layer1.weight", "layer2.weight"), "vgg16")
    for name in WEIGHT_LAYOUTS:
        assert name in str(e.value)


ALEXNET = [f"features.{n}.weight" for n in (0, 3, 6, 8, 10)]
"""torchvision's: one tower, five convolutions."""


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([*ALEXNET, "classifier.1.weight"], "a torch net other than VGG16.*AlexNet"),
        (
            ["conv1.conv.weight", "conv1.bn.running_mean", "inception3a.branch1.x"],
            "a GoogLeNet with batch normalisation.*3x3 in place of 5x5",
        ),
        (
            ["features.0.weight", "features.1.running_mean", "features.28.weight"],
            "a net with batch normalisation",
        ),
        # VGG11 and VGG13 end before features.28.
        (["features.0.weight", "features.24.weight"], "a torch net other than VGG"),
    ],
)
def test_nets_that_only_share_a_name_are_refused(names, reason):
    """Oracle: arrays of torchvision's alexnet, googlenet, vgg16_bn and vgg13."""
    with pytest.raises(WeightFileError, match=f"^x.pth is {reason}.*README"):
        detect(_weight_file(*names), "vgg16")


VGG19 = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)


@pytest.mark.parametrize(
    ("net", "names", "format"),
    [
        ("VGG19", [f"features.{n}.weight" for n in VGG19], "pytorch"),
        ("VGG19", [f"features.{n}.weight" for n in VGG19[:12]], "safetensors"),
        ("VGG19", ["conv1_1[0]", "conv3_4[0]"], "caffemodel (V1)"),
        ("VGG19", ["block1_conv1/block1_conv1_W_1:0", "block5_conv4/x:0"], "keras"),
        ("VGG19", ["conv2d/0", "conv2d_15/0"], "keras"),
        ("VGG19", ["conv1_1.weight", "conv4_4.weight"], "pytorch"),
        ("VGG13", [f"features.{n}.weight" for n in (0, 2, 5, 7, 10, 15)], "pytorch"),
        ("VGG11", [f"features.{n}.weight" for n in (0, 3, 6, 8, 11)], "pytorch"),
    ],
)
def test_other_vgg_nets_are_named(net, names, format):
    """Oracle: torchvision's configurations A, B and E, and Caffe's and Keras's names."""
    weight_file = _weight_file(*names, format=format)
    with pytest.raises(WeightFileError, match=f"^x.pth is {net}, .*allowed to be left"):
        refuse_other_nets(weight_file)


def test_vgg16_is_no_other_vgg():
    """Oracle: all its names are taken, those of a part of it too."""
    for count in (26, 20, 2):
        refuse_other_nets(_weight_file(*_vgg16(())[:count], "features.28.weight"))


@pytest.mark.parametrize(
    ("origin", "layer", "role", "expected"),
    [
        ("caffe", "conv1_1", "weight", "conv1_1[0]"),
        ("caffe", "score_fr_sem", "bias", "score_fr_sem[1]"),
        ("caffe", "upscore2", "upsampling", "upscore2[0]"),
        ("caffe", "inception_3a/5x5", "bias", "inception_3a/5x5[1]"),
        ("tensorflow-vgg", "fc6", "weight", "fc6[0]"),
        ("torchvision", "conv3_3", "weight", "features.14.weight"),
        ("torchvision", "conv5_3", "bias", "features.28.bias"),
        ("torchvision", "fc6", "weight", "classifier.0.weight"),
        ("torchvision", "fc7", "bias", "classifier.3.bias"),
        ("torchvision", "fc8", "weight", "classifier.6.weight"),
        ("torchvision-features", "conv1_2", "weight", "features.2.weight"),
        ("jcjohnson", "fc6", "weight", "classifier.1.weight"),
        ("jcjohnson", "fc7", "weight", "classifier.4.weight"),
        ("jcjohnson", "fc8", "bias", "classifier.6.bias"),
        ("keras", "conv4_2", "weight", "block4_conv2/block4_conv2_W_1:0"),
        ("keras", "conv4_2", "bias", "block4_conv2/block4_conv2_b_1:0"),
        ("keras", "conv4_2", "weight", "block4_conv2/block4_conv2/kernel:0"),
        ("keras", "fc6", "weight", "fc1/fc1_W_1:0"),
        ("keras", "fc7", "bias", "fc2/fc2/bias:0"),
        ("keras", "fc8", "weight", "predictions/predictions_W_1:0"),
        ("keras-notop", "conv1_1", "weight", "block1_conv1/block1_conv1_W_1:0"),
        ("wkentaro", "conv1_1", "weight", "conv1_1.weight"),
        ("wkentaro", "score_pool4", "bias", "score_pool4.bias"),
        ("wkentaro", "upscore8", "upsampling", "upscore8.weight"),
        ("wkentaro", "conv1_1", "bias", "conv1_1/b"),
        ("wkentaro", "upscore8", "upsampling", "upscore8/W"),
        ("wkentaro", "conv3_1", "weight", "features.10.weight"),
        ("wkentaro", "fc7", "bias", "classifier.3.bias"),
    ],
)
def test_an_array_is_found_under_its_name(origin, layer, role, expected):
    """Oracle: torchvision's and jcjohnson's numbers, Keras's and the ports' names."""
    assert expected in WEIGHT_LAYOUTS[origin].keys(layer, role)


def test_every_convolution_has_its_own_array():
    """Oracle: thirteen convolutions, and the numbers above."""
    assert len(VGG_CONVOLUTIONS) == 13
    found = [WEIGHT_LAYOUTS["torchvision"].keys(x, "weight") for x in VGG_CONVOLUTIONS]
    assert [keys[0] for keys in found] == [f"features.{n}.weight" for n in FEATURES]
    assert len({key for keys in found for key in keys}) == 2 * 13
    assert WEIGHT_LAYOUTS["torchvision"].keys("score_fr", "weight") == ()


def test_origins_are_those_of_the_manifest():
    """Oracle: the two lists, of which one is checked in the manifest's file."""
    assert sorted(WEIGHT_LAYOUTS) == sorted(KNOWN)


@pytest.mark.parametrize(
    ("origin", "layout", "colors", "mean", "deviation"),
    [
        ("caffe", "OIHW", "BGR", None, (1, 1, 1)),
        (
            "torchvision",
            "OIHW",
            "RGB",
            (123.675, 116.28, 103.53),
            (58.395, 57.12, 57.375),
        ),
        ("torchvision-features", "OIHW", "RGB", (123, 117, 104), (1, 1, 1)),
        ("jcjohnson", "OIHW", "BGR", None, (1, 1, 1)),
        ("keras", "HWIO", "BGR", None, (1, 1, 1)),
        ("keras-notop", "HWIO", "BGR", None, (1, 1, 1)),
        ("tensorflow-vgg", "HWIO", "BGR", None, (1, 1, 1)),
        ("wkentaro", "OIHW", "BGR", (122.67892, 116.66877, 104.00699), (1, 1, 1)),
    ],
)
def test_layout_and_input_of_an_origin(origin, layout, colors, mean, deviation):
    """Oracle: the publishers' preprocessing, in units of 0..255 and in RGB."""
    own = WEIGHT_LAYOUTS[origin]
    assert (own.kernel_layout, own.colors) == (layout, colors)
    assert own.deviation == pytest.approx(deviation)
    if mean is None:
        assert own.mean is None
    else:
        assert own.mean == pytest.approx(mean, abs=2e-3)
