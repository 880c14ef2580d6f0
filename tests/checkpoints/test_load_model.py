"""From a directory to a network: what is read, and what is signed, whole and wrong."""

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcn_jax import config as configuration
from fcn_jax.checkpoints.load_model import load_model
from fcn_jax.checkpoints.record import Record, check_manifest, check_record
from fcn_jax.checkpoints.store import CheckpointError, CheckpointStore
from fcn_jax.inference.classifier import Classifier
from fcn_jax.inference.segmenter import Segmenter
from fcn_jax.models.build import build, classifier_spec, fcn_spec
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.params.trees import flat_arrays
from tests.tiny import get_config

CLASSES = {"names": ["a", "b"], "palette": [[0, 0, 0], [9, 9, 9]]}
COLOR = {"mean": [1.0, 2.0, 3.0], "scale": 1.0, "logarithm": False, "origin": ""}
VERSIONS = (1, 2)


def _record(version: int = 1, **changes: Any) -> dict[str, Any]:
    """A record of the tiny net; of version 1 as 0.1.0 wrote it.

    Args:
        version: of its form.
        changes: in its form of version 1.
    """
    config = configuration.to_dict(get_config())
    del config["model"]["scores"]  # newer than 0.1.0
    record = {
        "network": "fcn",
        "config": config,
        "outputs": {"semantic": CLASSES},
        "preprocessing": {"color": COLOR},
        "origins": {"trunk.conv1_1.kernel": "initialised"},
        **changes,
    }
    if version == 1:
        return record
    return json.loads(json.dumps(Record.from_dict(record, "x").to_dict()))


def _classifier(version: int = 1) -> dict[str, Any]:
    return _record(version, network="classifier", outputs={}, categories=["a", "b"])


def _drawn(record: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Parameters of the net of a record, all of them 0.01."""
    spec = Record.from_dict(record, "x").spec
    size = 224 if spec.is_classifier else 64
    shapes = flat_arrays(parameter_shapes(build(spec), {"color": 3}, size))
    return {name: np.full(own.shape, 0.01, own.dtype) for name, own in shapes.items()}


def _save(directory: Path, record: Mapping[str, Any], params: Mapping[str, Any]):
    CheckpointStore(directory).save(0, params=params, optimizer={}, record=record)


@pytest.fixture(scope="module")
def params() -> dict[str, np.ndarray]:
    """Parameters of the tiny net."""
    return _drawn(_record())


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_checkpoint_labels_pictures(version, params, tmp_path):
    """Oracle: its own parameters, in the tree of the network."""
    _save(tmp_path, _record(version), params)
    for head in ("skips", None):
        found = load_model(tmp_path, head=head)
        assert (found.step, found.directory) == (0, tmp_path / "0")
        assert found.variables.keys() == {"params"}
        kernel = found.variables["params"]["trunk"]["conv1_1"]["kernel"]
        np.testing.assert_array_equal(kernel, params["trunk.conv1_1.kernel"])
        assert found.maps["semantic"].values.shape == (1, 64, 64, 2)
    picture = np.zeros((40, 36, 3), np.uint8)
    assert Segmenter.load(tmp_path).labels(picture)["semantic"].shape == (40, 36)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_classifier_scores_pictures(version, tmp_path):
    """Oracle: its own parameters and names; the size of VGG16's images."""
    record = _classifier(version)
    params = _drawn(record)
    assert params["head.fc8.kernel"].shape[-1] == 2
    _save(tmp_path, record, params)
    for head in ("classifier", None):
        found = load_model(tmp_path, head=head)
        kernel = found.variables["params"]["head"]["fc8"]["kernel"]
        np.testing.assert_array_equal(kernel, params["head.fc8.kernel"])
    own = Classifier.load(tmp_path)
    assert own.categories == ("a", "b")
    assert own.scores(np.zeros((224, 224, 3), np.uint8)).shape == (1, 1, 2)


NETS = {
    "tiny": ({}, {"stride": 8, "padding": "same", "dropout_rate": 0.5}),
    "at once": ({"at_once": True}, {"stride": 8, "at_once": True}),
    "one endpoint": ({"score_at": "pool3"}, {"score_at": "pool3"}),
    "own dropout": ({"dropout_rate": -1.0}, {"stride": 8}),
    "ablations": (
        {"fusion": "max", "upsampling": "learned", "score_init": "gaussian"},
        {
            "stride": 8,
            "fusion": "max",
            "upsampling": "learned",
            "score_init": "gaussian",
        },
    ),
    "alexnet": (
        {"backbone": "alexnet", "order": "norm-pool", "padding": "reference"},
        {"stride": 8, "backbone": "alexnet", "order": "norm-pool"},
    ),
    "late fusion": (
        {"streams": {"color": ["color"], "hha": ["hha"]}},
        {"stride": 8, "streams": {"color": ("color",), "hha": ("hha",)}},
    ),
    "early fusion": (
        {"streams": {"trunk": ["color", "hha"]}},
        {"stride": 8, "streams": {"trunk": ("color", "hha")}},
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_a_net_that_the_former_version_described(name):
    """Oracle: the same net, specified by hand; stored anew it is the same record."""
    settings, wanted = NETS[name]
    record = _record()
    record["config"]["model"].update(settings)
    record["config"]["dtype"] = "bfloat16"
    record["outputs"] = {"semantic": CLASSES, "geometric": CLASSES}
    inputs = {n for own in record["config"]["model"]["streams"].values() for n in own}
    record["preprocessing"] = dict.fromkeys(inputs, COLOR)
    found = Record.from_dict(record, "x")
    tiny = {"width": 1 / 16, "backbone": "vgg16", "padding": "same"}
    if name in ("alexnet", "at once"):
        tiny["padding"] = record["config"]["model"]["padding"]
    if name != "own dropout":
        tiny["dropout_rate"] = 0.5
    outputs = {"semantic": 2, "geometric": 2}
    assert found.spec == fcn_spec(outputs=outputs, **{**tiny, **wanted})
    assert found.dtype == "bfloat16"
    assert found.outputs["semantic"].names == ("a", "b")
    assert found.preprocessing["color"].mean == (1.0, 2.0, 3.0)
    assert found.origins == {"trunk.conv1_1.kernel": "initialised"}
    assert found.config == record["config"]
    stored = json.loads(json.dumps(found.to_dict()))
    assert stored["version"] == 2
    assert "network" not in stored
    assert Record.from_dict(stored, "x") == found


def test_a_classifier_that_the_former_version_described():
    """Oracle: the same net, specified by hand; what a conversion adds is kept."""
    record = {**_classifier(), "conversion": {"file": "x"}, "missing": ["a.b"]}
    record["config"]["model"].update(backbone="alexnet", order="norm-pool")
    found = Record.from_dict(record, "x")
    assert found.spec == classifier_spec(
        backbone="alexnet", classes=2, width=1 / 16, order="norm-pool"
    )
    assert (found.categories, found.outputs) == (("a", "b"), {})
    assert (found.missing, found.conversion) == (("a.b",), {"file": "x"})
    stored = json.loads(json.dumps(found.to_dict()))
    assert Record.from_dict(stored, "x") == found


def test_what_a_run_has_seen_is_kept():
    """Oracle: the record before it was stored, in both versions."""
    data = {"images": 3, "train": "0", "length": 9, "evaluation": "1"}
    found = Record.from_dict(_record(data=data), "x")
    assert found.data == data
    again = Record.from_dict(json.loads(json.dumps(found.to_dict())), "x")
    assert again == found
    assert Record.from_dict(replace(found, data=None).to_dict(), "x").data is None


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("change", ["shape", "type", "missing", "left over", "nested"])
def test_parameters_of_another_net_are_named(change, version, params, tmp_path):
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
    _save(tmp_path, _record(version), wrong)
    with pytest.raises(ValueError, match="does not fit this net") as caught:
        Segmenter.load(tmp_path)
    assert name in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_collections_that_the_net_has_not_are_named(params, tmp_path):
    """Oracle: the name of the array; the papers' nets keep nothing but parameters."""
    CheckpointStore(tmp_path).save(
        0,
        params=params,
        optimizer={},
        collections={"batch_stats.trunk.mean": np.zeros(1, np.float32)},
        record=_record(2),
    )
    with pytest.raises(ValueError, match="does not fit this net") as caught:
        load_model(tmp_path)
    assert "batch_stats.trunk.mean" in str(caught.value)


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


@pytest.mark.slow
@pytest.mark.parametrize(("version", "name"), CASES)
def test_a_record_of_no_network_is_one_sentence(version, name, params, tmp_path):
    """Oracle: the sentence names the checkpoint and the part."""
    change, words = ALTERED[version][name]
    record = copy.deepcopy(_record(version))
    change(record)
    _save(tmp_path, record, {"a": params["trunk.conv1_1.kernel"]})
    with pytest.raises(ValueError, match=words) as caught:
        load_model(tmp_path)
    assert str(tmp_path / "0") in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["vgg61", "x" * 10**5])
def test_a_classifier_of_no_backbone_is_one_sentence(version, name, tmp_path):
    """Oracle: the sentence names the checkpoint, the backbone, and those there are."""
    record = _classifier(version)
    if version == 1:
        record["config"]["model"]["backbone"] = name
    else:
        _first(record)["backbone"] = name
    _save(tmp_path, record, {"a": np.zeros(1)})
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
    record = _record(version)
    check_record(record, "x")
    with pytest.raises(ValueError, match=f"its record: {part} is .* must be"):
        check_record({**record, part: PARTS[part]}, "x")
    with pytest.raises(CheckpointError, match=f"its record: {part} is"):
        _save(tmp_path, {**record, part: PARTS[part]}, {})


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


@pytest.mark.parametrize("version", VERSIONS)
def test_a_classifier_needs_its_categories(version, tmp_path):
    """Oracle: the sentence names the part."""
    record = _classifier(version)
    _save(tmp_path / "more", {**record, "categories": ["a", "b", "c"]}, _drawn(record))
    if version == 2:
        with pytest.raises(ValueError, match="names the classes of {'imagenet': 3}"):
            load_model(tmp_path / "more")
    else:  # its head is as wide as there are names
        with pytest.raises(ValueError, match="head.fc8.bias .*2. instead of .*3"):
            load_model(tmp_path / "more")
    del record["categories"]
    words = "has no 'categories'" if version == 1 else "names the classes of"
    with pytest.raises(ValueError, match=words):
        Record.from_dict(record, "x")


@pytest.mark.parametrize("version", VERSIONS)
def test_another_head_is_refused(version, params, tmp_path):
    """Oracle: the sentence names the other command."""
    _save(tmp_path / "fcn", _record(version), params)
    _save(tmp_path / "classifier", _classifier(version), {"a": np.zeros(1)})
    with pytest.raises(ValueError, match="is an FCN, which .*without --classify"):
        load_model(tmp_path / "fcn", classifier=True)
    with pytest.raises(ValueError, match="is an ImageNet classifier.*config.init_from"):
        load_model(tmp_path / "classifier", classifier=False)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("make", [_record, _classifier])
def test_a_partial_net_is_refused(make, version, tmp_path):
    """Oracle: the parameters that it was converted without."""
    lost = ["trunk.fc6.bias", "trunk.fc6.kernel"]
    _save(tmp_path, {**make(version), "missing": lost}, {"a": np.zeros(1)})
    with pytest.raises(ValueError, match=f"is partial.* {', '.join(lost)}; it can"):
        load_model(tmp_path)
