"""Trained FCNs for PyTorch: values, names, metadata, and the way back."""

import json
from pathlib import Path

import numpy as np
import pytest

from fcn_jax import Segmenter
from fcn_jax.checkpoints import store
from fcn_jax.convert.export import export_checkpoint
from fcn_jax.convert.target import convert_file
from fcn_jax.data.labels import VOC, Classes
from tests.convert import torch_nets
from tests.convert.saved_nets import CLASSES, DEPTH, HHA, MEAN, SIZE, picture, save
from tests.convert.test_export_files import _metadata
from tests.convert.torch_nets import FCN, apply, error, torch

safetensors = pytest.importorskip("safetensors.torch", reason="it reads the files")

pytestmark = pytest.mark.usefixtures("compiled_once")


def bgr(image: np.ndarray) -> np.ndarray:
    """What pytorch-fcn's data sets give: BGR in 0..255 minus the mean."""
    return image[:, :, ::-1].astype(np.float32) - MEAN


def load(file: Path) -> dict:
    """A state dictionary, as a user of torch reads it."""
    if file.suffix == ".pth":
        return torch.load(file, weights_only=True)
    return safetensors.load_file(file)


CASES = {
    "32s": ({}, ".pth"),
    "16s": ({"stride": 16}, ".safetensors"),
    "8s": ({"stride": 8}, ".pth"),
    "8s-atonce": ({"stride": 8, "at_once": True}, ".safetensors"),
    "8s-learned": ({"stride": 8, "upsampling": "learned"}, ".pth"),
    "16s-learned": ({"stride": 16, "upsampling": "learned"}, ".safetensors"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_exported_nets_score_as_ours(case, tmp_path):
    """Oracle: pytorch-fcn's net in torch, loaded strictly; an odd image size."""
    model, suffix = CASES[case]
    save(tmp_path / "run", **model)
    file = tmp_path / f"net{suffix}"
    summary = export_checkpoint(tmp_path / "run", file)
    net = FCN(
        model.get("stride", 32), len(CLASSES), at_once=model.get("at_once", False)
    )
    net.load_state_dict(load(file), strict=True)
    image = picture(1)
    expected = apply(net, bgr(image))
    scores = Segmenter.load(tmp_path / "run").scores(image)["semantic"]
    assert error(scores, expected) < 1e-4
    assert f"{len(net.state_dict())} arrays" in summary
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir() if path.name != "run"] == [
        file.name
    ]


def test_fixed_kernels_are_written(tmp_path):
    """Oracle: the dense bilinear kernels of pytorch-fcn."""
    save(tmp_path / "run", stride=8)
    export_checkpoint(tmp_path / "run", tmp_path / "net.pth")
    found = load(tmp_path / "net.pth")
    for name, size in (("upscore2", 4), ("upscore_pool4", 4), ("upscore8", 16)):
        expected = torch_nets.bilinear(len(CLASSES), size)
        assert torch.equal(found[f"{name}.weight"], expected)


def test_a_wrong_layout_would_be_seen(tmp_path):
    """Oracle: the scores themselves; every wrong kernel moves them visibly."""
    save(tmp_path / "run", stride=8, upsampling="learned")
    export_checkpoint(tmp_path / "run", tmp_path / "net.pth")
    found = load(tmp_path / "net.pth")
    image = picture(2)
    net = FCN(8, len(CLASSES))
    net.load_state_dict(found)
    expected = apply(net, bgr(image))
    wrong = {
        "conv1_1.weight": lambda kernel: kernel.flip(1),
        "conv3_1.weight": lambda kernel: kernel.transpose(2, 3),
        "fc7.weight": lambda kernel: kernel.transpose(0, 1),
        "upscore2.weight": lambda kernel: kernel.transpose(0, 1),
        "upscore8.weight": lambda kernel: kernel.flip(2, 3),
    }
    for name, change in wrong.items():
        net.load_state_dict({**found, name: change(found[name])})
        assert error(apply(net, bgr(image)), expected) > 1e-2, name


@pytest.mark.slow
def test_scales_go_into_the_first_kernel(tmp_path):
    """Oracle: the torch net on BGR in 0..255, which knows of no scale."""
    color = {
        "mean": (10.0, 20.0, 30.0),
        "scale": 1 / 57,
        "logarithm": False,
        "origin": "its own",
    }
    save(tmp_path / "run", stride=16, records={"color": color})
    export_checkpoint(tmp_path / "run", tmp_path / "net.safetensors")
    net = FCN(16, len(CLASSES))
    net.load_state_dict(load(tmp_path / "net.safetensors"))
    image = picture(3)
    inputs = image[:, :, ::-1] - np.array([30, 20, 10], np.float32)
    scores = Segmenter.load(tmp_path / "run").scores(image)["semantic"]
    assert error(scores, apply(net, inputs)) < 1e-4
    record = json.loads(_metadata(tmp_path / "net.safetensors")["preprocessing"])
    assert record["color"]["mean"] == [30, 20, 10]
    assert record["color"]["order"] == "BGR"
    assert record["color"]["scale"] == 1


@pytest.mark.slow
def test_late_fusion_has_caffes_names(tmp_path):
    """Oracle: a torch net with the names of nyud-fcn32s-color-hha; HHA is unflipped."""
    streams = {"color": ("color",), "hha": ("hha",)}
    save(tmp_path / "run", streams=streams, records={"hha": HHA})
    summary = export_checkpoint(tmp_path / "run", tmp_path / "net.pth")
    assert "no class of such a net" in summary
    assert "2 trunks" in summary
    net = FCN(32, len(CLASSES), trunks=(("color", "", 3), ("hha", "", 3)))
    net.load_state_dict(load(tmp_path / "net.pth"), strict=True)
    assert "score_frhha" in dict(net.named_children())
    color, hha = picture(4), picture(5)
    expected = apply(net, bgr(color), hha - np.array(HHA["mean"], np.float32))
    segmenter = Segmenter.load(tmp_path / "run")
    scores = segmenter.scores({"color": color, "hha": hha})["semantic"]
    assert error(scores, expected) < 1e-4


@pytest.mark.slow
def test_early_fusion_folds_each_scale(tmp_path):
    """Oracle: a torch net with the names of nyud-fcn32s-color-d."""
    streams = {"trunk": ("color", "depth")}
    save(tmp_path / "run", streams=streams, records={"depth": DEPTH})
    export_checkpoint(tmp_path / "run", tmp_path / "net.safetensors")
    net = FCN(32, len(CLASSES), trunks=(("", "_bgrd", 4),))
    net.load_state_dict(load(tmp_path / "net.safetensors"), strict=True)
    color = picture(6)
    depth = np.random.default_rng(6).uniform(500, 9000, SIZE).astype(np.float32)
    logarithm = np.log(depth)[:, :, None] - np.float32(7.844)
    expected = apply(net, np.concatenate([bgr(color), logarithm], axis=2))
    segmenter = Segmenter.load(tmp_path / "run")
    scores = segmenter.scores({"color": color, "depth": depth})["semantic"]
    assert error(scores, expected) < 1e-4
    text = _metadata(tmp_path / "net.safetensors")["input"]
    assert text.startswith("BGR, 0..255, minus mean (104.007, 116.669, 122.679); depth")
    assert "natural logarithm" in text


ALEXNET = {
    "conv1": (6, 3, 11, 11),
    "conv2": (16, 3, 5, 5),
    "conv3": (24, 16, 3, 3),
    "conv4": (24, 12, 3, 3),
    "conv5": (16, 12, 3, 3),
    "fc6": (256, 16, 6, 6),
    "fc7": (256, 256, 1, 1),
    "score_fr": (5, 256, 1, 1),
}
"""Kernels at width 1/16, `[O, I / groups, k, k]`."""


def test_alexnet_keeps_its_groups(tmp_path):
    """Oracle: the net in torch, and the shapes of its Caffe layers."""
    save(tmp_path / "run", backbone="alexnet")
    export_checkpoint(tmp_path / "run", tmp_path / "net.pth")
    found = load(tmp_path / "net.pth")
    shapes = {
        name.removesuffix(".weight"): tuple(value.shape)
        for name, value in found.items()
        if name.endswith(".weight")
    }
    assert shapes == {**ALEXNET, "upscore": (5, 5, 63, 63)}
    image = picture(7)
    scores = Segmenter.load(tmp_path / "run").scores(image)["semantic"]
    assert error(scores, apply(torch_nets.fcn_alexnet(found), bgr(image))) < 1e-4


@pytest.mark.slow
def test_googlenet_and_several_outputs_have_caffes_names(tmp_path):
    """Oracle: layers of bvlc_googlenet and siftflow-fcn8s, typed here."""
    outputs = {"semantic": CLASSES, "geometric": Classes(("a", "b"), VOC.palette[:2])}
    save(tmp_path / "run", outputs, backbone="googlenet", stride=16)
    summary = export_checkpoint(tmp_path / "run", tmp_path / "net.pth")
    assert "(googlenet, width 0.0625, 2 outputs)" in summary
    assert "zero padding 18 in conv1/7x7_s2" in summary
    found = load(tmp_path / "net.pth")
    blocks = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    branches = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
    layers = [f"inception_{block}/{own}" for block in blocks for own in branches]
    layers += ["conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3"]
    layers += [f"score_{at}_{end}" for at in ("fr", "pool3") for end in ("sem", "geo")]
    expected = {f"{name}.{kind}" for name in layers for kind in ("weight", "bias")}
    expected |= {f"upscore{f}_{e}.weight" for f in (2, 16) for e in ("sem", "geo")}
    assert set(found) == expected
    assert found["score_pool3_geo.weight"].shape[0] == 2
    params = store.load(tmp_path / "run").params
    kernel = params["trunk.conv1_7x7_s2.kernel"]
    stored = found["conv1/7x7_s2.weight"].numpy()
    for color in range(3):
        np.testing.assert_array_equal(
            stored[:, color], kernel[:, :, 2 - color].transpose(2, 0, 1)
        )
    module = torch.nn.Module()
    module.add_module("inception_3a/1x1", torch.nn.Conv2d(1, 1, 1))
    assert set(module.state_dict()) == {
        "inception_3a/1x1.weight",
        "inception_3a/1x1.bias",
    }


NETS = {
    "voc-fcn8s": ({"stride": 8}, ".safetensors"),
    "voc-fcn8s-atonce": ({"stride": 8, "at_once": True}, ".pth"),
    "voc-fcn16s": ({"stride": 16, "upsampling": "learned"}, ".pth"),
    "voc-fcn32s": ({}, ".safetensors"),
}


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
def test_the_way_back_is_bit_for_bit(net, tmp_path):
    """Oracle: the checkpoint's own arrays."""
    model, suffix = NETS[net]
    save(tmp_path / "run", **model)
    file = tmp_path / f"net{suffix}"
    export_checkpoint(tmp_path / "run", file)
    report = convert_file(
        file, tmp_path / "back", net=net, width=1 / 16, classes=CLASSES
    )
    assert report.origin == "wkentaro"
    before, after = (store.load(tmp_path / name) for name in ("run", "back"))
    assert before.params.keys() == after.params.keys()
    for path, value in before.params.items():
        np.testing.assert_array_equal(after.params[path], value, err_msg=path)
    keys = ("mean", "scale", "logarithm")
    first, second = (
        {key: found.record["preprocessing"]["color"][key] for key in keys}
        for found in (before, after)
    )
    assert first == second


@pytest.mark.slow
def test_the_mean_comes_back_from_the_metadata(tmp_path):
    """Oracle: the mean of the run, which is not the reference's; nonsense is refused."""
    own = {"mean": (10.0, 20.0, 30.0), "scale": 1.0, "logarithm": False, "origin": ""}
    save(tmp_path / "run", stride=8, records={"color": own})
    file = tmp_path / "net.safetensors"
    export_checkpoint(tmp_path / "run", file)
    arguments = {"net": "voc-fcn8s", "width": 1 / 16, "classes": CLASSES}
    convert_file(file, tmp_path / "back", **arguments)
    record = store.load(tmp_path / "back").record
    assert record["preprocessing"]["color"]["mean"] == [10.0, 20.0, 30.0]
    content = file.read_bytes()
    assert content.count(b"[30.0, 20.0, 10.0]") == 1
    file.write_bytes(content.replace(b"[30.0, 20.0, 10.0]", b"[30.0, 20.0      ]"))
    with pytest.raises(ValueError, match="preprocessing in its metadata"):
        convert_file(file, tmp_path / "broken", **arguments)
