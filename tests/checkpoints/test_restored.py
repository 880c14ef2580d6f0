"""Checkpoints that are signed and whole, and still not what a network needs."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from fcn_jax import config as configuration
from fcn_jax.checkpoints import restored
from fcn_jax.checkpoints import store as checkpoint
from fcn_jax.checkpoints.record import check_manifest, check_record, required
from fcn_jax.checkpoints.store import CheckpointError, CheckpointStore
from fcn_jax.inference.segmenter import Segmenter
from fcn_jax.params.trees import flat_arrays
from tests.tiny import get_config

CLASSES = {"names": ["a", "b"], "palette": [[0, 0, 0], [9, 9, 9]]}
COLOR = {"mean": [1.0, 2.0, 3.0], "scale": 1.0, "logarithm": False, "origin": ""}


def _record() -> dict[str, Any]:
    return {
        "network": "fcn",
        "config": configuration.to_dict(get_config()),
        "outputs": {"semantic": CLASSES},
        "preprocessing": {"color": COLOR},
        "origins": {},
    }


def _saved(directory: Path, record: Mapping[str, Any], params: Mapping[str, Any]):
    store = CheckpointStore(directory)
    store.save(0, params=params, optimizer={}, record=record)
    return checkpoint.load(directory)


@pytest.fixture(scope="module")
def params() -> dict[str, np.ndarray]:
    """Parameters of the tiny net, all of them 0.01."""
    shapes = flat_arrays(restored.fcn(_record(), "x").shapes)
    return {name: np.full(own.shape, 0.01, own.dtype) for name, own in shapes.items()}


def test_a_whole_checkpoint_labels_pictures(params, tmp_path):
    """Oracle: its own parameters, in the tree of the network."""
    found = _saved(tmp_path, _record(), params)
    own = restored.parameters(restored.fcn(found.record, "x"), found)
    kernel = own["trunk"]["conv1_1"]["kernel"]
    np.testing.assert_array_equal(kernel, params["trunk.conv1_1.kernel"])
    picture = np.zeros((40, 36, 3), np.uint8)
    assert Segmenter.load(tmp_path).labels(picture)["semantic"].shape == (40, 36)


@pytest.mark.parametrize("change", ["shape", "type", "missing", "left over", "nested"])
def test_parameters_of_another_net_are_named(change, params, tmp_path):
    """Oracle: the name of the parameter in the sentence, for every reader."""
    wrong, name = dict(params), "trunk.conv1_1.kernel"
    if change == "shape":
        wrong[name] = np.zeros((3, 3, 3, 5), np.float32)
    elif change == "type":
        wrong[name] = wrong[name].astype(np.float16)
    elif change == "missing":
        del wrong[name]
    else:
        name = "more" if change == "left over" else f"{name}.more"
        wrong[name] = np.zeros(1, np.float32)
    _saved(tmp_path, _record(), wrong)
    with pytest.raises(ValueError, match="does not fit this net") as caught:
        Segmenter.load(tmp_path)
    assert name in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def _altered(change) -> dict[str, Any]:
    record = copy.deepcopy(_record())
    change(record)
    return record


ALTERED = {
    "no config": (lambda r: r.pop("config"), "has no 'config'"),
    "no outputs": (lambda r: r.pop("outputs"), "has no 'outputs'"),
    "empty outputs": (lambda r: r["outputs"].clear(), "has no outputs"),
    "no preprocessing": (lambda r: r.pop("preprocessing"), "has no 'preprocessing'"),
    "another input": (
        lambda r: r.update(preprocessing={"depth": COLOR}),
        "for .'depth'., its network reads .'color'.",
    ),
    "value of a key": (lambda r: r["config"].update(steps="x"), "config.steps is 'x'"),
    "wide": (lambda r: r["config"]["model"].update(width=1e9), "config.model.width"),
    "no such endpoint": (
        lambda r: r["config"]["model"].update(score_at="nothing"),
        "no network can be built",
    ),
    "one colour short": (
        lambda r: r["outputs"]["semantic"].update(names=["a", "b", "c"]),
        "3 class names and 2 colours",
    ),
    "no class": (
        lambda r: r["outputs"]["semantic"].update(names=[], palette=[]),
        "0 classes given",
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_a_record_of_no_network_is_one_sentence(name, tmp_path):
    """Oracle: the sentence names the checkpoint and the part."""
    change, words = ALTERED[name]
    with pytest.raises(ValueError, match=words) as caught:
        restored.fcn(_altered(change), "runs/x/0")
    assert "runs/x/0" in str(caught.value)


PARTS = {
    "config": [],
    "outputs": {"semantic": {"names": "ab", "palette": []}},
    "categories": [1],
    "preprocessing": {"color": {**COLOR, "mean": 3}},
    "origins": {"a": None},
    "missing": "a",
    "network": 5,
    "data": 7,
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_another_type_is_damage(part, tmp_path):
    """Oracle: CheckpointError with the part, where the record is read."""
    check_record(_record(), "x")
    with pytest.raises(ValueError, match=f"its record: {part} is .* must be"):
        check_record({**_record(), part: PARTS[part]}, "x")
    with pytest.raises(CheckpointError, match=f"its record: {part} is"):
        _saved(tmp_path, {**_record(), part: PARTS[part]}, {})


MANIFEST = {
    "step": 3,
    "mean_iu": 0.5,
    "arrays": {
        "params": {"a": {"dtype": "float32", "shape": [1], "sha256": "0"}},
        "optimizer": {},
    },
    "record": {},
}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("step", "3"),
        ("step", -1),
        ("step", True),
        ("mean_iu", "0.5"),
        ("mean_iu", [1]),
        ("arrays", {}),
        ("arrays", {"params": [], "optimizer": {}}),
        ("arrays", {"params": {"a": {"dtype": "float32"}}, "optimizer": {}}),
        ("record", []),
    ],
)
def test_a_manifest_of_another_type(part, value):
    """Oracle: the sentence names the part; without it, too."""
    check_manifest(MANIFEST, "x")
    check_manifest({**MANIFEST, "mean_iu": None}, "x")
    with pytest.raises(ValueError, match=f"^x: {part} is"):
        check_manifest({**MANIFEST, part: value}, "x")
    with pytest.raises(ValueError, match=f"^x has no {part}"):
        check_manifest({k: v for k, v in MANIFEST.items() if k != part}, "x")


def test_a_classifier_needs_its_categories():
    """Oracle: the sentence names the part; one of an FCN is refused as such."""
    record = {**_record(), "network": "classifier"}
    with pytest.raises(ValueError, match="has no 'categories'"):
        restored.classifier(record, "x")
    with pytest.raises(ValueError, match="is an FCN"):
        restored.classifier({**record, "network": "fcn"}, "x")
    own = restored.classifier({**record, "categories": ["a", "b"]}, "x")
    shapes = flat_arrays(own.shapes)
    assert shapes["head.fc8.kernel"].shape[-1] == 2
    assert isinstance(shapes["head.fc8.kernel"], jax.ShapeDtypeStruct)
    assert required({"a": 1}, "a", "x") == 1
