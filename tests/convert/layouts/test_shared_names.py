"""VGG16 files whose names several origins share: whose numbers they have is asked."""

import shutil

import numpy as np
import pytest

from fcn_jax.checkpoints import store
from fcn_jax.convert.target import convert_file
from fcn_jax.inference.classifier import Classifier
from tests.convert.layouts.test_first_layer import CAFFE, TORCHVISION
from tests.convert.test_torch_parity import (
    CLASSES,
    NARROW,
    WKENTARO,
    picture,
    save,
    torchvision_input,
)
from tests.convert.torch_nets import VGG16, apply, error, randomize, torch

TORCH = (0, 3, 6)


def net(first=None, place=0, seed=3, level=1.0):
    made = randomize(VGG16(len(CLASSES), numbers=TORCH), seed, level)
    if first is not None:
        with torch.no_grad():
            made.features[0].weight[0, place] = torch.tensor(first)
    return made


def named_as_caffe(made) -> dict:
    """The state dictionary under Caffe's names of layers."""
    from fcn_jax.convert.layouts.weight_layouts import VGG_CONVOLUTIONS

    names = [n.removesuffix(".weight") for n in made.state_dict() if "weight" in n]
    layers = dict(zip(names, (*VGG_CONVOLUTIONS, "fc6", "fc7", "fc8"), strict=True))
    return {
        f"{layers[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value
        for name, value in made.state_dict().items()
    }


def timm(made) -> dict:
    """The state dictionary as timm's vgg16 has it, its first two layers convolutions."""
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2"}
    names["classifier.6"] = "head.fc"
    state = {}
    for name, value in made.state_dict().items():
        layer, _, kind = name.rpartition(".")
        if layer in ("classifier.0", "classifier.3") and kind == "weight":
            size = 7 if layer == "classifier.0" else 1
            value = value.reshape(value.shape[0], -1, size, size)
        state[f"{names.get(layer, layer)}.{kind}"] = value
    return state


def scores_agree(directory, made, prepare):
    image = picture((224, 224))
    found = Classifier.load(directory).scores(image)[0, 0]
    assert error(found, apply(made, prepare(image))) < 1e-4


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("names", ["torchvision", "Caffe"])
def test_shared_names_need_an_origin(names, suffix, tmp_path):
    """Oracle: the origins that have such names; nothing is written."""
    made = net()
    file = tmp_path / f"vgg16_caffe{suffix}"
    if names == "torchvision":
        save(made, file)
    elif suffix == ".pth":
        torch.save(named_as_caffe(made), file)
    else:
        from safetensors.torch import save_file

        save_file(named_as_caffe(made), file)
    with pytest.raises(ValueError, match="origins share.*wkentaro: blue") as refusal:
        convert_file(file, tmp_path / "out", net="vgg16", **NARROW)
    assert "--origin=torchvision: red, green, blue" in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_caffes_numbers_under_torchvisions_names(tmp_path):
    """Oracle: the torch net on Caffe's input; told by its first filter otherwise."""
    made = net(CAFFE)
    file = save(made, tmp_path / "vgg16_caffe.pth")
    settings = {"net": "vgg16", **NARROW}
    with pytest.raises(
        ValueError, match="has Caffe's first filter, .*0..255, and torch"
    ):
        convert_file(file, tmp_path / "out", origin="torchvision", **settings)
    assert not (tmp_path / "out").exists()
    report = convert_file(file, tmp_path / "out", origin="wkentaro", **settings)
    assert report.warnings == ()
    scores_agree(tmp_path / "out", made, WKENTARO)
    allowed = convert_file(
        file, tmp_path / "allowed", origin="torchvision", allow=["input"], **settings
    )
    assert "Caffe's first filter" in allowed.warnings[0]
    assert allowed.lines()[-1].startswith("warning: vgg16_caffe.pth: has Caffe's")
    scores_agree(tmp_path / "allowed", made, torchvision_input)


def test_torchvisions_numbers_under_caffes_names(tmp_path):
    """Oracle: the torch net on torchvision's input; told by its first filter otherwise."""
    made = net(TORCHVISION)
    torch.save(named_as_caffe(made), tmp_path / "vgg16.pth")
    settings = {"net": "vgg16", **NARROW}
    with pytest.raises(ValueError, match="has torchvision's first filter"):
        convert_file(
            tmp_path / "vgg16.pth", tmp_path / "out", origin="wkentaro", **settings
        )
    convert_file(
        tmp_path / "vgg16.pth", tmp_path / "out", origin="torchvision", **settings
    )
    scores_agree(tmp_path / "out", made, torchvision_input)


def test_timms_names_have_one_origin(tmp_path):
    """Oracle: the torch net on torchvision's input, whose numbers timm has."""
    made = net()
    torch.save(timm(made), tmp_path / "vgg16.pth")
    report = convert_file(
        tmp_path / "vgg16.pth", tmp_path / "out", net="vgg16", **NARROW
    )
    assert report.origin == "torchvision"
    scores_agree(tmp_path / "out", made, torchvision_input)


def test_a_manifest_name_tells_the_origin(tmp_path):
    """Oracle: the manifest's entry of that name."""
    file = save(net(level=60.0), tmp_path / "a.pth")
    shutil.copy(file, tmp_path / "vgg16_from_caffe.pth")
    report = convert_file(
        tmp_path / "vgg16_from_caffe.pth", tmp_path / "out", net="vgg16", **NARROW
    )
    assert report.origin == "wkentaro"


@pytest.mark.parametrize(
    ("origin", "factor", "warned"),
    [
        ("torchvision", 1.0, False),
        ("torchvision", 1 / 57, True),
        ("wkentaro", 1.0, False),
        ("wkentaro", 1 / 57, False),
        ("wkentaro", 57.0, True),
    ],
)
def test_a_first_layer_of_odd_size_is_warned_of(origin, factor, warned, tmp_path):
    """Oracle: the factor between the units of the inputs, in the first kernel."""
    made = net()
    with torch.no_grad():
        made.features[0].weight *= factor
    file = save(made, tmp_path / "a.pth")
    report = convert_file(file, tmp_path / "out", net="vgg16", origin=origin, **NARROW)
    assert bool(report.warnings) == warned


@pytest.mark.slow
def test_rules_find_a_net_under_any_names(tmp_path):
    """Oracle: the parameters of the same net under its own names."""
    made = net()
    settings = {"net": "vgg16", "origin": "torchvision", **NARROW}
    convert_file(save(made, tmp_path / "a.pth"), tmp_path / "a", **settings)
    other = {f"student.{n}": v for n, v in made.state_dict().items()}
    torch.save({**other, "teacher.weight": torch.ones(3)}, tmp_path / "b.pth")
    with pytest.raises(ValueError, match="does not fit"):
        convert_file(tmp_path / "b.pth", tmp_path / "b", **settings)
    convert_file(
        tmp_path / "b.pth",
        tmp_path / "b",
        rename=[("student.*", "*")],
        allow=["teacher.*"],
        **settings,
    )
    expected, found = (store.load(tmp_path / n).params for n in "ab")
    assert expected.keys() == found.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value)


def test_vgg19_is_refused_whatever_is_allowed(tmp_path):
    """Oracle: torchvision's configuration E; the sentence gives no way around."""
    numbers = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    state = {f"features.{n}.weight": torch.ones(2, 3, 3, 3) for n in numbers}
    torch.save(state, tmp_path / "vgg19.pth")
    for origin in ("", "torchvision", "wkentaro"):
        with pytest.raises(ValueError, match="is VGG19, which has other layers"):
            convert_file(
                tmp_path / "vgg19.pth",
                tmp_path / "out",
                net="vgg16",
                origin=origin,
                allow=["features.*", "fc6", "fc7", "fc8"],
            )
