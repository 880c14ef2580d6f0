"""Batch statistics travel with the parameters that a run starts from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax import config as configuration
from fcn_jax.checkpoints.load_model import load_model
from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.experiment.reading import read_preprocessing
from fcn_jax.params.paths import flatten
from fcn_jax.training import initialize
from fcn_jax.training.checks.trunk import sown
from tests import tiny
from tests.drawn_classifier import draw_classifier

NAMES = ("a", "b", "c")


def _config(directory, *, stream="trunk", rules=()):
    """An FCN on the trunk of the classifier in a directory."""
    config = tiny.get_config().unlock()
    config.model.update({"backbone": "alexnet", "stride": 32, "normalization": "batch"})
    config.model.streams = type(config.model)({stream: ("color",)})
    path = str(directory)
    config.init_from = ((path, rules),) if rules else path
    config.init_new = ("head.*",)
    config.init_unused = ("head.*",)
    return config.lock()


@pytest.fixture
def classifier(tmp_path):
    """A stored classifier with random parameters and running statistics."""
    spec, params, statistics = draw_classifier("alexnet", len(NAMES))
    record = Record(
        spec=spec,
        outputs={},
        preprocessing=read_preprocessing(tiny.get_config()),
        categories=NAMES,
    )
    CheckpointStore(tmp_path / "classifier").save(
        0,
        params=params,
        optimizer={},
        record=record.to_dict(),
        collections=statistics,
    )
    return tmp_path / "classifier"


def _endpoint(model, variables, image, name):
    _, shown = model.apply(
        variables, {"color": image}, train=False, mutable=["endpoints"]
    )
    ((_, maps),) = sown(shown, "endpoints").items()
    return np.asarray(maps[name].values)


def test_an_fcn_starts_with_the_statistics_of_its_classifier(classifier):
    """Oracle: the classifier's own arrays, and its fc7 of an image."""
    run = Experiment.from_config(_config(classifier))
    state, origins = initialize.initial_state(run, None)
    loaded = load_model(classifier, classifier=True)
    expected = flatten(loaded.variables["batch_stats"])
    found = flatten(state.collections["batch_stats"])
    assert found.keys() == expected.keys()
    for path, value in found.items():
        np.testing.assert_array_equal(value, expected[path], err_msg=path)
    assert origins["trunk.conv1_bn.scale"] == str(loaded.directory)
    image = jnp.asarray(np.random.default_rng(1).normal(size=(1, 64, 70, 3)), "float32")
    own = _endpoint(run.model, state.variables, image, "fc7")
    theirs = _endpoint(loaded.model, loaded.variables, image, "fc7")
    assert own.std() > 0
    np.testing.assert_array_equal(own, theirs)


def test_statistics_follow_the_renaming_rules(classifier):
    """Oracle: the classifier's arrays; the net calls its trunk by another name."""
    config = _config(classifier, stream="color", rules=(("trunk.*", "color.*"),))
    state, _ = initialize.initial_state(Experiment.from_config(config), None)
    expected = flatten(load_model(classifier).variables["batch_stats"]["trunk"])
    found = flatten(state.collections["batch_stats"]["color"])
    assert found.keys() == expected.keys()
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_layers_that_start_afresh_have_fresh_statistics(classifier):
    """Oracle: zeros and ones; the layers beside them keep the classifier's."""
    config = _config(classifier).unlock()
    config.init_new = ("head.*", "trunk.fc6*")
    configuration.validate(config)
    state, origins = initialize.initial_state(Experiment.from_config(config), None)
    trunk = state.collections["batch_stats"]["trunk"]
    assert origins["trunk.fc6_bn.bias"] == "initialised"
    assert (np.asarray(trunk["fc6_bn"]["mean"]) == 0).all()
    assert (np.asarray(trunk["fc6_bn"]["var"]) == 1).all()
    assert (np.asarray(trunk["fc7_bn"]["mean"]) > 0).all()
