"""A whole run of a classifier: train, stop, continue, score, load, start an FCN from it."""

import contextlib
import json

import jax
import numpy as np
import pytest

from fcn_jax import config as defaults
from fcn_jax.checkpoints import stored
from fcn_jax.checkpoints.load_model import load_model
from fcn_jax.convert.__main__ import main as convert
from fcn_jax.evaluation.evaluate import evaluate
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.experiment.scoring import Scoring
from fcn_jax.inference.classifier import Classifier
from fcn_jax.models.published import VGG_MEAN
from fcn_jax.training import initialize
from fcn_jax.training.loop import train
from tests import tiny
from tests.convert.narrow_vgg16 import WIDTH, vgg16_caffemodel
from tests.data.image_folders import write_image_folder

CLASSES = ("cat", "dog", "egg")
STEPS, STOPPED = 8, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    splits = {
        split: {name: [f"{split}{name}{i}.png" for i in range(n)] for name in CLASSES}
        for split, n in (("train", 5), ("val", 2))
    }
    return write_image_folder(tmp_path_factory.mktemp("images"), splits, (40, 48))


def _config(folder):
    config = defaults.base()
    config.recipe = "scratch"
    config.steps = STEPS
    config.batch_size = 2
    config.accumulation = 2
    config.average_decay = 0.9
    config.mixup = 0.3
    config.model.head = "classifier"
    config.model.width = 1 / 16
    config.model.padding = "same"
    config.model.normalization = "batch"
    config.preprocessing.color.scale = 1 / 64
    config.data.name = "image_folder"
    config.data.folder = str(folder)
    config.data.order = "shuffle"
    config.data.mirror = True
    config.images.size = 32
    config.data.color = (0.2, 0.2, 0.2)
    config.images.view_side = 36
    config.loss.reduction = "mean"
    config.loss.smoothing = 0.1
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.evaluation.every = 4
    config.evaluation.batch_size = 4
    config.checkpoint.every = 2
    config.log.every = 1
    config.devices = 1
    return config


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    result = train(Experiment.from_config(_config(folder)), directory)
    return directory, result


def _arrays(directory):
    found = stored.load(directory, which="newest", optimizer=True)
    return {**found.params, **found.collections, **(found.optimizer or {})}


@pytest.mark.slow
def test_a_run_leaves_its_scores(finished):
    """Oracle: the counts of scores.json themselves, 6 images of 3 classes."""
    directory, result = finished
    scores = json.loads((directory / "scores.json").read_text())
    counts = np.array(scores["confusion"]["counts"])
    assert counts.sum(axis=1).tolist() == [2, 2, 2]
    assert scores["top1"] == pytest.approx(np.trace(counts) / 6)
    assert scores["top5"] == 1.0
    assert scores["mean_class_accuracy"] == pytest.approx(
        (np.diag(counts) / counts.sum(axis=1)).mean()
    )
    assert result.scores("script")["top1"] == scores["top1"]
    assert stored.load(directory).score == max(
        json.loads(line)["top1"]
        for line in (directory / "metrics.jsonl").read_text().splitlines()
        if '"val"' in line
    )
    assert list(directory.rglob("*.png"))


@pytest.mark.slow
def test_a_stopped_run_continues_bit_for_bit(folder, finished, tmp_path, monkeypatch):
    """Oracle: the uninterrupted run; parameters, average, statistics, optimiser."""
    own = Experiment.batches

    def batches(run, begin):
        for step, batch in enumerate(own(run, begin), begin + 1):
            if step > STOPPED:
                raise RuntimeError("stopped")
            yield batch

    run = Experiment.from_config(_config(folder))
    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "batches", batches)
        with pytest.raises(RuntimeError, match="stopped"):
            train(run, tmp_path)
    assert stored.load(tmp_path, which="newest").step == STOPPED
    train(Experiment.from_config(_config(folder)), tmp_path)
    ours, theirs = _arrays(tmp_path), _arrays(finished[0])
    assert ours.keys() == theirs.keys()
    assert any(path.startswith("trained.batch_stats.") for path in theirs)
    for path, value in theirs.items():
        np.testing.assert_array_equal(ours[path], value, err_msg=path)


@pytest.mark.slow
def test_scores_do_not_depend_on_how_images_are_batched(folder, finished):
    """Oracle: one image at a time, of whole images of three sizes in padded batches."""
    config, found = _config(folder), []
    config.images.view = "whole"
    config.images.view_side = 0
    for size in (1, 4):
        config.evaluation.batch_size = size
        result = evaluate(Scoring.from_config(config), finished[0])
        found.append((result.confusion["imagenet"].counts, result.loss))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)


@pytest.mark.slow
def test_the_checkpoint_classifies(folder, finished):
    """Oracle: the scores of the evaluation; a whole image's map of scores, averaged."""
    config = _config(folder)
    config.images.view = "whole"
    config.images.view_side = 0
    scoring = Scoring.from_config(config)
    classifier = Classifier.load(finished[0])
    assert classifier.categories == CLASSES
    counts = np.zeros((3, 3), int)
    for index in range(len(scoring.source)):
        example = scoring.source[index]
        scores = classifier.scores(example.inputs["color"]).mean(axis=(0, 1))
        counts[int(example.labels["imagenet"][0, 0]), scores.argmax()] += 1
    result = evaluate(scoring, finished[0])
    np.testing.assert_array_equal(result.confusion["imagenet"].counts, counts)


@pytest.mark.slow
def test_an_fcn_starts_from_the_classifier(finished):
    """Oracle: the classifier's arrays; only the score layers are new."""
    config = tiny.get_config()
    config.recipe = "fine-tune"
    config.model.normalization = "batch"
    config.init_from = str(finished[0])
    config.init_new = ("head.*",)
    config.init_unused = ("head.*",)
    state, origins = initialize.initial_state(Experiment.from_config(config), None)
    trunk = load_model(finished[0]).variables
    for name, kept in (("params", state.params), ("batch_stats", state.collections)):
        own = kept["trunk"] if name == "params" else kept["batch_stats"]["trunk"]
        jax.tree.map(np.testing.assert_array_equal, own, trunk[name]["trunk"])
    new = {path for path, origin in origins.items() if origin == "initialised"}
    assert {path.split(".")[0] for path in new} == {"head"}


@pytest.mark.slow
def test_a_converted_classifier_is_fine_tuned(folder, tmp_path):
    """Oracle: the file's own conv1_1 in Caffe's layout, before the first update.

    A published file of 1,000 classes goes on as a classifier of three, at its native size.
    """
    (tmp_path / "x.caffemodel").write_bytes(vgg16_caffemodel())
    with contextlib.chdir(tmp_path):
        convert(["x.caffemodel", "weights", "--net=vgg16", f"--width={WIDTH}"])
    config = _config(folder)
    config.recipe = "fine-tune"
    config.steps = 2
    config.accumulation = 1
    config.average_decay = 0.0
    config.images.size = 224
    config.images.view_side = 224
    config.model.padding = "native"
    config.model.normalization = ""
    config.preprocessing.color.scale = 1.0
    config.preprocessing.color.mean = VGG_MEAN
    config.init_from = str(tmp_path / "weights")
    config.init_new = ("head.fc8.*",)
    run = Experiment.from_config(config)
    state, _ = initialize.initial_state(run, None)
    kernel = np.asarray(state.params["trunk"]["conv1_1"]["kernel"])
    drawn = np.random.default_rng(5).normal(0, (2 / 27) ** 0.5, (4, 3, 3, 3))
    weight = drawn.astype(np.float32)  # the first numbers of the file
    np.testing.assert_array_equal(kernel, weight.transpose(2, 3, 1, 0)[:, :, ::-1])
    result = train(run, tmp_path / "run")
    assert np.isfinite(result.loss)
    assert Classifier.load(tmp_path / "run").categories == CLASSES


def test_a_classifier_and_labels_of_pixels_do_not_mix(folder):
    """Oracle: the sentence names the key to change, whichever is wrong."""
    config = _config(folder)
    config.data.name = "synthetic"
    with pytest.raises(ValueError, match="one class an image.*set config.data.name to"):
        Experiment.from_config(config)
    config = tiny.get_config()
    config.data.name = "image_folder"
    config.data.folder = str(folder)
    with pytest.raises(ValueError, match="config.model.head to 'classifier'"):
        Experiment.from_config(config)
    config = tiny.get_config()
    config.mixup = 0.2
    with pytest.raises(ValueError, match="config.mixup is 0.2; it mixes images with"):
        Experiment.from_config(config)
