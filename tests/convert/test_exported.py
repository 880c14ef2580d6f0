"""Export, then convert: the same net again, from what the file says of itself."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fcn_jax.checkpoints import store
from fcn_jax.checkpoints.record import Record
from fcn_jax.convert.__main__ import main
from fcn_jax.convert.export import export_checkpoint
from fcn_jax.convert.target import convert_file
from fcn_jax.data.labels import VOC, Classes
from fcn_jax.inference.segmenter import Segmenter
from fcn_jax.runtime import cli
from tests.convert.saved_nets import CLASSES, HHA, picture, save
from tests.convert.torch_nets import torch

pytestmark = pytest.mark.usefixtures("compiled_once")

WIDTH = 1 / 16
CASES = {
    "32s": {},
    "16s-learned": {"stride": 16, "upsampling": "learned"},
    "8s-same": {"stride": 8, "padding": "same"},
    "8s-max": {"stride": 8, "fusion": "max"},
    "8s-atonce-wider": {"stride": 8, "at_once": True, "width": 1 / 8},
    "pool4": {"score_at": "pool4"},
    "alexnet": {"backbone": "alexnet", "order": "norm-pool", "dropout_rate": 0.25},
}
SCORED = ("16s-learned", "8s-same", "8s-max")
SUFFIXES = (".pth", ".safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_net_that_comes_back_is_the_same(case, tmp_path):
    """Oracle: the scores before, bit for bit; nothing but the file is given."""
    suffix = SUFFIXES[list(CASES).index(case) % 2]
    save(tmp_path / "run", **CASES[case])
    export_checkpoint(tmp_path / "run", tmp_path / f"net{suffix}")
    report = convert_file(tmp_path / f"net{suffix}", tmp_path / "back")
    assert report.origin == "wkentaro"
    before, after = (store.load(tmp_path / name) for name in ("run", "back"))
    assert before.params.keys() == after.params.keys()
    stored, found = (Record.from_dict(own.record, "x") for own in (before, after))
    if stored.spec.dropout_rate is None:
        stored = replace(stored, spec=replace(stored.spec, dropout_rate=0.5))
    assert (stored.spec, stored.dtype) == (found.spec, found.dtype)
    for key in ("outputs", "preprocessing"):
        assert before.record[key] == after.record[key]
    if case not in SCORED:  # each takes two compilations
        return
    image = picture(1)
    expected, found = (
        Segmenter.load(tmp_path / name).scores(image)["semantic"]
        for name in ("run", "back")
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_several_inputs_and_outputs_come_back(tmp_path):
    """Oracle: the parameters and the record before; late fusion, a bfloat16 net."""
    outputs = {"semantic": CLASSES, "geometric": Classes(("a", "b"), VOC.palette[:2])}
    streams = {"color": ("color",), "hha": ("hha",)}
    records = {"hha": {**HHA, "scale": 1.0}}
    save(tmp_path / "run", outputs, streams=streams, records=records)
    export_checkpoint(tmp_path / "run", tmp_path / "net.pth")
    convert_file(tmp_path / "net.pth", tmp_path / "back")
    before, after = (store.load(tmp_path / name) for name in ("run", "back"))
    assert before.params.keys() == after.params.keys()
    for path, value in before.params.items():
        np.testing.assert_array_equal(after.params[path], value, err_msg=path)
    for key in ("outputs", "preprocessing"):
        assert before.record[key] == after.record[key]
    streams = Record.from_dict(after.record, "x").spec.streams
    assert {own.name: own.inputs for own in streams} == {
        "color": ("color",),
        "hha": ("hha",),
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An FCN-8s of five classes in both formats."""
    folder = tmp_path_factory.mktemp("exported")
    save(folder / "run", stride=8, padding="same")
    for suffix in SUFFIXES:
        export_checkpoint(folder / "run", folder / f"net{suffix}")
    return folder


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"net": "voc-fcn16s"}, "--net=voc-fcn16s has stride 16, the file 8"),
        ({"net": "voc-fcn8s-atonce"}, "has at_once True, the file False"),
        ({"net": "voc-fcn-alexnet"}, "has backbone 'alexnet', the file 'vgg16'"),
        ({"net": "vgg16"}, "has classifier True, the file False"),
        ({"width": 1.0}, "--width=1, the file has 0.0625"),
        ({"width": 0.125}, "--width=0.125, the file has 0.0625"),
        ({"classes": VOC}, "--classes has background, aeroplane"),
        ({"origin": "torchvision"}, "leave out --origin=torchvision"),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_option_that_contradicts_the_file_is_refused(
    option, words, suffix, exported, tmp_path
):
    """Oracle: what was exported; nothing is left behind."""
    with pytest.raises(ValueError, match=f"FCN-8s on vgg16.*{words}"):
        convert_file(exported / f"net{suffix}", tmp_path / "back", **option)
    assert list(tmp_path.iterdir()) == []


def test_options_that_agree_are_taken(exported, tmp_path):
    """Oracle: what was exported."""
    settings = {"net": "voc-fcn8s", "width": WIDTH, "classes": CLASSES}
    convert_file(exported / "net.pth", tmp_path / "back", **settings)
    found = Record.from_dict(store.load(tmp_path / "back").record, "x")
    assert found.spec.padding == "same"
    assert found.outputs["semantic"] == CLASSES


def test_a_file_of_others_needs_a_net(exported, tmp_path):
    """Oracle: the arrays alone, which torch saves without the attribute."""
    state = dict(torch.load(exported / "net.pth", weights_only=True))
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError, match="does not say which net.*--net=NAME"):
        convert_file(tmp_path / "net.pth", tmp_path / "back")


def _color(**changes):
    own = {"order": "BGR", "logarithm": False, "mean": [1.0] * 3, "scale": 1.0}
    return own | {"origin": "x"} | changes


BROKEN = {
    "no configuration": ({"configuration": None}, "configuration is not there"),
    "no JSON": ({"configuration": "{"}, "cannot be used"),
    "a list": ({"configuration": "[]"}, "cannot be used"),
    "deep": ({"classes": "[" * 100_000}, "cannot be used"),
    "stride": ({"configuration": {"stride": 7}}, "stride"),
    "stride of text": ({"configuration": {"stride": "8"}}, "stride is a str"),
    "padding": ({"configuration": {"padding": "valid"}}, "padding"),
    "new setting": ({"configuration": {"depth": 3}}, "the settings depth"),
    "crops": ({"configuration": {"crops": {"semantic": [1]}}}, "its crops are"),
    "factors": ({"configuration": {"factors": {"pool4": 0.5}}}, "its factors are"),
    "width": ({"configuration": {"width": -1.0}}, "width"),
    "dtype": ({"configuration": {"dtype": "int8"}}, "dtype"),
    "input of a trunk": ({"configuration": {"streams": {"trunk": [3]}}}, "cannot be"),
    "inputs": ({"preprocessing": {"depth": {}}}, "preprocessing is of"),
    "classes": ({"classes": {"semantic": {"names": ["a", "a"]}}}, "cannot be used"),
    "class names": (
        {"classes": {"semantic": {"names": [1, 2, 3], "palette": [[0, 0, 0]] * 3}}},
        "a class is called 1",
    ),
    "scale of nothing": ({"preprocessing": {"color": _color(scale=0)}}, "no mean and"),
    "scale of text": ({"preprocessing": {"color": _color(scale="1")}}, "no mean and"),
    "mean of bool": ({"preprocessing": {"color": _color(mean=[True] * 3)}}, "no mean"),
    "another net": ({"net": "FCN-16s on vgg16"}, "it says 'FCN-16s on vgg16'"),
    "no words": ({"net": "FCN\x1b[31m"}, "it says"),
    "at once": ({"at_once": "multiplied already"}, "it says 'multiplied already'"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_metadata_that_export_does_not_write_are_refused(kind, exported, tmp_path):
    """Oracle: the table; one sentence, and nothing is left behind."""
    changes, words = BROKEN[kind]
    state = torch.load(exported / "net.pth", weights_only=True)
    for key, value in changes.items():
        if isinstance(value, dict):
            value = json.dumps(json.loads(state.fcn_jax[key]) | value)
        state.fcn_jax[key] = value
    state.fcn_jax = {k: v for k, v in state.fcn_jax.items() if v is not None}
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=f"metadata.*{words}|{words}") as error:
        convert_file(tmp_path / "net.pth", tmp_path / "back")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_tilde_is_the_home_directory(exported, tmp_path, monkeypatch, capsys):
    """Oracle: the parameters that were exported; nothing is called `~`."""
    monkeypatch.setenv("HOME", str(exported))
    monkeypatch.chdir(tmp_path)
    for words in ("export ~/run ~/own/net.pth", "~/own/net.pth ~/own/back"):
        with pytest.raises(SystemExit) as ended:
            cli.run(main, words.split())
        assert not ended.value.code, capsys.readouterr().err
    before, after = (store.load(exported / n).params for n in ("run", "own/back"))
    assert before.keys() == after.keys()
    for path, value in before.items():
        np.testing.assert_array_equal(after[path], value, err_msg=path)
    assert list(tmp_path.iterdir()) == []
