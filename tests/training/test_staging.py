"""The papers' chain 32s -> 16s -> 8s, from a converted ImageNet trunk."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcn_jax.checkpoints.load_model import load_model
from fcn_jax.convert.target import convert_file
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.training.checks.trunk import sown
from fcn_jax.training.initialize import initial_state
from fcn_jax.training.loop import train
from tests.convert.narrow_vgg16 import WIDTH, vgg16_caffemodel
from tests.test_experiments import EXPERIMENTS, load

CLASSES = 21
RATE = 1e-7  # enough for scores that differ from zero after two updates


def _experiment(name: str, init_from: Path) -> Experiment:
    """An experiment, narrow and on procedural images, of two updates."""
    config = load(EXPERIMENTS / f"{name}.py")
    config.steps = 2
    config.init_from = str(init_from)
    config.model.width = WIDTH
    config.model.dropout_rate = 0.0
    config.data.name = "synthetic"
    config.synthetic.classes = CLASSES
    config.synthetic.train_length = 4
    config.synthetic.eval_length = 2
    config.synthetic.min_size = 40
    config.synthetic.max_size = 56
    config.data.order = "shuffle"
    config.optimizer.learning_rate = RATE
    config.checks.learning_rate = False
    config.devices = 1
    config.evaluation.pictures = 0
    config.log.every = 1
    return Experiment.from_config(config)


def _first_update(workdir: Path) -> dict[str, Any]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return next(row for row in rows if row["split"] == "train")


def _scores(model: Any, params: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Coarse score maps by layer, and the scores of every pixel of an image."""
    rng = np.random.default_rng(9)
    image = rng.normal(0, 60, (1, 93, 101, 3)).astype(np.float32)
    maps, variables = model.apply(
        {"params": params}, {"color": image}, train=False, mutable=["scores"]
    )
    coarse = {n: np.asarray(m.values) for n, m in sown(variables, "scores").items()}
    return coarse, np.asarray(maps["semantic"].values[0])


def _stored_scores(workdir: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    found = load_model(workdir)
    return _scores(found.model, found.variables["params"])


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """A converted checkpoint of the narrow VGG16."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "vgg16.caffemodel").write_bytes(vgg16_caffemodel())
    convert_file(
        folder / "vgg16.caffemodel", folder / "vgg16", net="vgg16", width=WIDTH
    )
    return folder / "vgg16"


@pytest.mark.slow
def test_the_staged_chain_starts_from_the_stage_before(trunk, tmp_path):
    """Oracle: ln 21 a valid pixel; the score maps of the stage before, bit for bit.

    What is equal is every score map that a later stage takes over, while the new one
    is zero everywhere and changes nothing. Its pixels, upsampled in one more step, are
    those of the stage before where that step does not cut a corner of the piecewise
    bilinear surface: on half of each axis, a quarter of the pixels.
    """
    train(_experiment("fcn32s", trunk), tmp_path / "fcn32s")
    first = _first_update(tmp_path / "fcn32s")
    assert first["loss_per_pixel"] == pytest.approx(math.log(CLASSES), rel=1e-6)
    pixels = first["loss"] / math.log(CLASSES)
    assert round(pixels) in range(40 * 40 // 2, 56 * 56 + 1)
    assert pixels == pytest.approx(round(pixels), rel=1e-6)
    for name, new, before in (
        ("fcn16s", "score_pool4", "fcn32s"),
        ("fcn8s", "score_pool3", "fcn16s"),
    ):
        run = _experiment(name, tmp_path / before)
        state, origins = initial_state(run, None)
        started, pixels = _scores(run.model, state.params)
        stored, before_pixels = _stored_scores(tmp_path / before)
        assert set(started) == {*stored, new}
        for layer, values in stored.items():
            assert np.ptp(values) > 0
            np.testing.assert_array_equal(started[layer], values)
        np.testing.assert_array_equal(started[new], 0)
        same = np.abs(pixels - before_pixels).max(axis=-1) < 1e-5 * pixels.std()
        assert 0.2 < same.mean() < 0.4
        assert {
            path for path, origin in origins.items() if origin == "initialised"
        } == {
            f"head.{new}.kernel",
            f"head.{new}.bias",
        }
        if name == "fcn16s":  # where the last stage starts
            train(run, tmp_path / name)
