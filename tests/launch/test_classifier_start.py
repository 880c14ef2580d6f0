"""The trunk of a classifier in the configuration of an FCN."""

from fcn_jax import config as defaults
from fcn_jax.checkpoints.load_model import read_checkpoint
from fcn_jax.checkpoints.record import Record
from fcn_jax.config import to_dict
from fcn_jax.experiment.reading import read_preprocessing
from fcn_jax.launch.classifier_start import (
    PACKAGED,
    start_anew,
    start_from,
    start_from_package,
    take_trunk,
)


def _changed(before, after, key=""):
    for name in before.keys() | after.keys():
        a, b = before.get(name), after.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _changed(a, b, f"{key}{name}.")
        elif a != b:
            yield f"{key}{name}"


def test_what_changes_and_what_does_not():
    """Oracle: the keys of a trunk and of a start, by hand; the classifier is left alone."""
    classifier = defaults.base().unlock()
    classifier.model.update(
        {"backbone": "googlenet", "width": 0.5, "normalization": "batch"}
    )
    classifier.model.update({"padding": "native", "head": "classifier", "stride": 8})
    classifier.preprocessing.color.mean = (1.0, 2.0, 3.0)
    classifier.optimizer.multipliers = (("*", 1.0, 1.0),)
    classifier.lock()
    config = defaults.base().unlock()
    before = to_dict(config)
    take_trunk(config, classifier)
    assert set(_changed(before, to_dict(config))) == {
        *("model.backbone", "model.width", "model.normalization"),
        *("preprocessing.color.mean", "optimizer.multipliers"),
    }
    assert config.model.normalization == "batch"
    with config.unlocked():
        config.preprocessing.color.mean = (4.0, 5.0, 6.0)
    assert classifier.preprocessing.color.mean == (1.0, 2.0, 3.0)
    before = to_dict(config)
    start_from(config, "runs/x")
    changed = {"init_from", "init_new", "init_unused"}
    assert set(_changed(before, to_dict(config))) == changed  # the default fine-tunes
    assert (config.recipe, config.init_from) == ("fine-tune", "runs/x")
    defaults.validate(config.lock())
    start_anew(config.unlock())
    assert set(_changed(before, to_dict(config))) == {"recipe"}
    assert config.recipe == "scratch"


def test_the_trunk_of_the_package_in_an_fcn():
    """Oracle: the network and the preprocessing in the record of the trunk's file."""
    config = defaults.base().unlock()
    start_from_package(config)
    defaults.validate(config.lock())
    record = Record.from_dict(read_checkpoint(PACKAGED).record, PACKAGED)
    (stream,) = record.spec.streams
    assert (config.recipe, config.init_from) == ("fine-tune", PACKAGED)
    assert (config.model.backbone, config.model.width) == (
        stream.backbone,
        record.spec.width,
    )
    assert config.model.normalization == dict(record.spec.options)["normalization"]
    assert read_preprocessing(config) == record.preprocessing
