"""Records and manifests with a part of another value or type: one sentence each."""

import copy
from typing import Any

import numpy as np
import pytest

from fcn_jax.checkpoints.load_model import load_model
from fcn_jax.checkpoints.record import check_manifest, check_record
from fcn_jax.checkpoints.store import CheckpointError
from tests.checkpoints.records import (
    COLOR,
    VERSIONS,
    classifier_record,
    drawn_params,
    save,
    tiny_record,
)


def _first(record: dict[str, Any]) -> dict[str, Any]:
    return record["spec"]["streams"][0]


ALTERED = {
    1: {
        "no config": (lambda r: r.pop("config"), "has no 'config'"),
        "no network in it": (
            lambda r: r["config"].pop("model"),
            "no configuration of a network",
        ),
        "no outputs": (lambda r: r.pop("outputs"), "has no 'outputs'"),
        "empty outputs": (lambda r: r["outputs"].clear(), "at least .*one output"),
        "no preprocessing": (
            lambda r: r.pop("preprocessing"),
            "has no 'preprocessing'",
        ),
        "another input": (
            lambda r: r.update(preprocessing={"depth": COLOR}),
            "for .'depth'., its network reads .'color'.",
        ),
        "value of a key": (
            lambda r: r["config"]["model"].update(stride="x"),
            "stride is 'x'",
        ),
        "inputs of another type": (
            lambda r: r["config"]["model"]["streams"].update(trunk=[[0]]),
            "streams of the network",
        ),
        "new key": (
            lambda r: r["config"]["model"].update(newer=1),
            "no network can be built",
        ),
        "dtype": (lambda r: r["config"].update(dtype="int8"), "has the dtype 'int8'"),
        "wide": (lambda r: r["config"]["model"].update(width=1e9), "width"),
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
    },
    2: {
        "a later version": (
            lambda r: r.update(version=3),
            "has the version 3, this code reads up to 2",
        ),
        "no version of this": (lambda r: r.update(version=0), "has the version 0"),
        "no spec": (lambda r: r.pop("spec"), "has no 'spec'"),
        "no dtype": (lambda r: r.pop("dtype"), "has no 'dtype'"),
        "no outputs": (lambda r: r.pop("outputs"), "has no 'outputs'"),
        "empty outputs": (lambda r: r["outputs"].clear(), "names the classes of {}"),
        "no preprocessing": (
            lambda r: r.pop("preprocessing"),
            "has no 'preprocessing'",
        ),
        "another input": (
            lambda r: r.update(preprocessing={"depth": COLOR}),
            "for .'depth'., its network reads .'color'.",
        ),
        "later spec": (lambda r: r["spec"].update(version=9), "the version 9"),
        "spec of no version": (lambda r: r["spec"].pop("version"), "version None"),
        "part too many": (lambda r: r["spec"].update(newer=1), "'newer'"),
        "part too few": (lambda r: r["spec"].pop("scores"), "'scores'"),
        "part of a stream": (lambda r: _first(r).pop("name"), "streams of the network"),
        "type of a part": (
            lambda r: r["spec"].update(outputs=[["semantic", "2"]]),
            "outputs of the network",
        ),
        "other classes": (
            lambda r: r["spec"].update(outputs=[["semantic", 3]]),
            "names the classes of {'semantic': 2}, its network scores {'semantic': 3}",
        ),
        "dtype": (lambda r: r.update(dtype="int8"), "has the dtype 'int8'"),
        "no such backbone": (
            lambda r: _first(r).update(backbone="vgg61"),
            "backbone is 'vgg61'.* did you mean vgg16",
        ),
        "no such padding": (
            lambda r: r["spec"].update(padding="wide"),
            "padding is 'wide'",
        ),
        "wide": (lambda r: r["spec"].update(width=1e9), "width"),
        "no such endpoint": (
            lambda r: r["spec"]["scores"][0].update(endpoint="nothing"),
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
    },
}
CASES = [(version, name) for version, own in ALTERED.items() for name in own]


@pytest.fixture(scope="module")
def params() -> dict[str, np.ndarray]:
    """Parameters of the tiny net."""
    return drawn_params(tiny_record())


@pytest.mark.slow
@pytest.mark.parametrize(("version", "name"), CASES)
def test_a_record_of_no_network_is_one_sentence(version, name, params, tmp_path):
    """Oracle: the sentence names the checkpoint and the part."""
    change, words = ALTERED[version][name]
    record = copy.deepcopy(tiny_record(version))
    change(record)
    save(tmp_path, record, {"a": params["trunk.conv1_1.kernel"]})
    with pytest.raises(ValueError, match=words) as caught:
        load_model(tmp_path)
    assert str(tmp_path / "0") in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["vgg61", "x" * 10**5])
def test_a_classifier_of_no_backbone_is_one_sentence(version, name, tmp_path):
    """Oracle: the sentence names the checkpoint, the backbone, and those there are."""
    record = classifier_record(version)
    if version == 1:
        record["config"]["model"]["backbone"] = name
    else:
        _first(record)["backbone"] = name
    save(tmp_path, record, {"a": np.zeros(1)})
    with pytest.raises(
        ValueError, match=f"backbone is '{name[:9]}.* one of vgg16"
    ) as e:
        load_model(tmp_path)
    assert str(tmp_path / "0") in str(e.value)
    assert len(str(e.value)) < 1000


PARTS = {
    "version": "2",
    "spec": [],
    "dtype": 32,
    "config": [],
    "conversion": "x",
    "outputs": {"semantic": {"names": "ab", "palette": []}},
    "categories": [1],
    "preprocessing": {"color": {**COLOR, "mean": 3}},
    "origins": {"a": None},
    "missing": "a",
    "network": 5,
    "data": 7,
}


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_another_type_is_damage(part, version, tmp_path):
    """Oracle: CheckpointError with the part, where the record is read."""
    record = tiny_record(version)
    check_record(record, "x")
    with pytest.raises(ValueError, match=f"its record: {part} is .* must be"):
        check_record({**record, part: PARTS[part]}, "x")
    with pytest.raises(CheckpointError, match=f"its record: {part} is"):
        save(tmp_path, {**record, part: PARTS[part]}, {})


MANIFEST = {
    "step": 3,
    "score": 0.5,
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
        ("score", "0.5"),
        ("score", [1]),
        ("arrays", {}),
        ("arrays", {"params": [], "optimizer": {}}),
        ("arrays", {"params": {"a": {"dtype": "float32"}}, "optimizer": {}}),
        ("record", []),
    ],
)
def test_a_manifest_of_another_type(part, value):
    """Oracle: the sentence names the part; without it, too."""
    check_manifest(MANIFEST, "x")
    check_manifest({**MANIFEST, "score": None}, "x")
    with pytest.raises(ValueError, match=f"^x: {part} is"):
        check_manifest({**MANIFEST, part: value}, "x")
    with pytest.raises(ValueError, match=f"^x has no {part}"):
        check_manifest({k: v for k, v in MANIFEST.items() if k != part}, "x")
