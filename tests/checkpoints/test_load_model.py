"""From a directory to a network: what is read, and what is signed, whole and wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fcn_jax.checkpoints.load_model import load_model
from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.inference.classifier import Classifier
from fcn_jax.inference.segmenter import Segmenter
from fcn_jax.models.build import classifier_spec, fcn_spec
from tests.checkpoints.records import (
    CLASSES,
    COLOR,
    VERSIONS,
    classifier_record,
    drawn_params,
    save,
    tiny_record,
)

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module")
def params() -> dict[str, np.ndarray]:
    """Parameters of the tiny net."""
    return drawn_params(tiny_record())


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_checkpoint_labels_pictures(version, params, tmp_path):
    """Oracle: its own parameters, in the tree of the network."""
    save(tmp_path, tiny_record(version), params)
    for classifier in (False, None):
        found = load_model(tmp_path, classifier=classifier)
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
    record = classifier_record(version)
    params = drawn_params(record)
    assert params["head.fc8.kernel"].shape[-1] == 2
    save(tmp_path, record, params)
    for classifier in (True, None):
        found = load_model(tmp_path, classifier=classifier)
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
    record = tiny_record()
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
    record = {**classifier_record(), "conversion": {"file": "x"}, "missing": ["a.b"]}
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
    found = Record.from_dict(tiny_record(data=data), "x")
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
    save(tmp_path, tiny_record(version), wrong)
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
        record=tiny_record(2),
    )
    with pytest.raises(ValueError, match="does not fit this net") as caught:
        load_model(tmp_path)
    assert "batch_stats.trunk.mean" in str(caught.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_classifier_needs_its_categories(version, tmp_path):
    """Oracle: the sentence names the part."""
    record = classifier_record(version)
    save(
        tmp_path / "more",
        {**record, "categories": ["a", "b", "c"]},
        drawn_params(record),
    )
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
    save(tmp_path / "fcn", tiny_record(version), params)
    save(tmp_path / "classifier", classifier_record(version), {"a": np.zeros(1)})
    with pytest.raises(ValueError, match="is an FCN, which .*without --classify"):
        load_model(tmp_path / "fcn", classifier=True)
    with pytest.raises(ValueError, match="is an ImageNet classifier.*config.init_from"):
        load_model(tmp_path / "classifier", classifier=False)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("make", [tiny_record, classifier_record])
def test_a_partial_net_is_refused(make, version, tmp_path):
    """Oracle: the parameters that it was converted without."""
    lost = ["trunk.fc6.bias", "trunk.fc6.kernel"]
    save(tmp_path, {**make(version), "missing": lost}, {"a": np.zeros(1)})
    with pytest.raises(ValueError, match=f"is partial.* {', '.join(lost)}; it can"):
        load_model(tmp_path)
