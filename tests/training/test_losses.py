"""Runs with another loss than the softmax's, and with pixels left out."""

import json
import math

import numpy as np
import pytest

from fcn_jax.checkpoints.load_model import load_model
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.params.paths import flatten
from fcn_jax.training.loop import train
from tests import tiny


def _config(**loss):
    config = tiny.get_config().unlock()
    config.accumulation = 1
    config.steps = 12
    config.evaluation.every = config.checkpoint.every = 12
    config.optimizer.name, config.optimizer.learning_rate = "adam", 3e-3
    config.loss.update(loss)
    return config.lock()


def _rows(workdir, split="train"):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [own for own in map(json.loads, lines) if own["split"] == split]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "zero"),
    [("sigmoid", 3 * math.log(2)), ("null-background", 2 * math.log(2))],
)
def test_other_losses_learn(name, zero, tmp_path):
    """Oracle: ln 2 for each class that is scored; a null background stays at zero."""
    run = Experiment.from_config(_config(name=name))
    train(run, tmp_path)
    losses = [row["loss"] for row in _rows(tmp_path)]
    assert losses[0] == pytest.approx(zero, rel=1e-6)
    assert _rows(tmp_path, "val")[-1]["loss"] < zero
    params = flatten(load_model(tmp_path).variables["params"])
    for layer in ("score_fr", "score_pool4", "score_pool3"):
        kernel = np.asarray(params[f"head.{layer}.kernel"])
        assert (kernel[..., 1:] != 0).any()
        assert (kernel[..., 0] == 0).all() == (name == "null-background")
        bias = np.asarray(params[f"head.{layer}.bias"])
        assert (bias[0] == 0) == (name == "null-background")


@pytest.mark.slow
def test_sampled_pixels(tmp_path):
    """Oracle: a quarter of the cells have about a quarter of the summed first loss."""
    sums = []
    for share in (1.0, 0.25):
        config = _config(sampling=share, sampling_cell=2, reduction="sum").unlock()
        config.steps, config.optimizer.learning_rate = 1, 1e-6
        run = Experiment.from_config(config.lock())
        train(run, tmp_path / str(share))
        sums += [row["loss"] for row in _rows(tmp_path / str(share))]
    assert sums[1] / sums[0] == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"name": "sigmoid", "smoothing": 0.1}, "loss.smoothing is 0.1, which only"),
        ({"class_sampling": (0.5, 1.0)}, "2 numbers, and semantic has 3 classes"),
        ({"class_sampling": (0.0, 0.0, 0.0)}, "numbers in .0, 1., one above 0"),
        ({"class_sampling": (0.5, 1.5, 1.0)}, "numbers in .0, 1., one above 0"),
        ({"sampling": 0.0}, "loss.sampling is 0.0; it must be above 0, at most 1"),
        ({"sampling": 1.5}, "above 0, at most 1"),
        ({"sampling_cell": 0}, "loss.sampling_cell is 0; it must be at least 1"),
        ({"name": "sigmoids"}, "did you mean sigmoid"),
    ],
)
def test_what_cannot_work_is_refused(loss, said):
    """Oracle: what the keys allow."""
    with pytest.raises(ValueError, match=said):
        Experiment.from_config(_config(**loss))


def test_a_null_background_starts_at_zero():
    """Oracle: a random start would give it a score that never changes."""
    config = _config(name="null-background").unlock()
    config.model.score_init = "gaussian"
    with pytest.raises(ValueError, match="keeps the score zero"):
        Experiment.from_config(config.lock())


def test_without_these_keys_nothing_is_left_out():
    """Oracle: the plain functions themselves."""
    run = Experiment.from_config(_config())
    assert run.pixel_mask is None
    assert run.zero_loss["semantic"].formula == "ln 3"
    assert Experiment.from_config(_config(sampling=0.5)).pixel_mask is not None
