"""Parts of a user's own, each one file of tests/seams: trained, resumed, scored.

Nothing of the package changes for them. CONTRIBUTING points here.
"""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fcn_jax
from fcn_jax.checkpoints import store
from fcn_jax.data.labels import Classes
from fcn_jax.data.sources.synthetic import SyntheticSource, SyntheticSpec
from fcn_jax.experiment.experiment import Experiment
from tests import tiny
from tests.seams.array_source import ArraySource
from tests.seams.class_balanced import class_balanced
from tests.seams.dice_loss import dice_loss
from tests.seams.pixel_sampling import half_of_the_pixels

ROOT = Path(__file__).parents[1]
STEPS = 6


def _config(**model):
    config = tiny.get_config()
    config.steps = STEPS
    config.evaluation.every = STEPS
    config.evaluation.pictures = 1
    config.checkpoint.every = 3
    config.model.update(model)
    return config


def _rows(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["split"] == "train"]


def _state(workdir):
    found = store.load(workdir, which="newest", optimizer=True)
    return {
        **{f"params.{name}": array for name, array in found.params.items()},
        **{
            f"optimizer.{name}": array
            for name, array in (found.optimizer or {}).items()
        },
        **found.collections,
    }


def _stop_half_way(experiment, workdir):
    """What a kill after the third update leaves: its checkpoint alone."""
    fcn_jax.train(experiment, workdir)
    for path in (workdir / "checkpoints").iterdir():
        if path.name != "3":
            for file in sorted(path.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            path.rmdir()


def _trains_resumes_and_is_scored(make, tmp_path):
    """Oracle: a run that went on from update 3 ends in the bits of one that did not."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    result = fcn_jax.train(make(), whole)
    _stop_half_way(make(), resumed)
    fcn_jax.train(make(), resumed)
    expected, found = _state(whole), _state(resumed)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert [row["loss"] for row in _rows(whole)] == [
        row["loss"] for row in _rows(resumed)
    ]
    assert np.isfinite(result.loss)
    scores = json.loads((whole / "scores.json").read_text())
    assert scores["step"] == STEPS
    assert scores["loss"] == pytest.approx(result.loss)
    return whole


def _arrays(split, count, seed):
    drawn = SyntheticSource(
        SyntheticSpec(
            num_classes=3,
            num_train=count,
            num_val=count,
            min_size=(32, 32),
            max_size=(48, 48),
            seed=seed,
        ),
        split,
    )
    examples = [drawn[index] for index in range(count)]
    return ArraySource(
        split,
        tuple(example.inputs["color"] for example in examples),
        tuple(example.labels["semantic"] for example in examples),
        drawn.outputs["semantic"],
    )


@pytest.mark.slow
def test_a_source_of_numpy_arrays(tmp_path):
    """Oracle: the procedural source that the arrays were copied from: the same losses."""
    sources = {
        "train_source": _arrays("train", 10, 0),
        "eval_source": _arrays("val", 5, 0),
    }
    workdir = _trains_resumes_and_is_scored(
        lambda: Experiment.from_config(_config(), **sources), tmp_path
    )
    usual = tmp_path / "usual"
    fcn_jax.train(Experiment.from_config(_config()), usual)
    assert [row["loss"] for row in _rows(workdir)] == [
        row["loss"] for row in _rows(usual)
    ]


def test_other_arrays_are_other_data(tmp_path):
    """Oracle: a run is not continued on arrays with another pixel."""
    source = _arrays("train", 10, 0)
    evaluation = _arrays("val", 5, 0)
    config = _config()
    config.steps = 3
    make = Experiment.from_config
    fcn_jax.train(make(config, train_source=source, eval_source=evaluation), tmp_path)
    source.images[0][0, 0, 0] ^= 1
    config.steps = 4
    with pytest.raises(ValueError, match="training data are not those"):
        fcn_jax.train(
            make(config, train_source=source, eval_source=evaluation), tmp_path
        )


def test_dice_by_hand():
    """Oracle: two pixels of one image, one of them ignored, by hand."""
    scores = jnp.log(jnp.array([[[[0.75, 0.25], [0.5, 0.5]]]], jnp.float32))
    terms = dice_loss(scores, jnp.array([[[0, 255]]], jnp.uint8))
    # Class 0: 2 * 0.75 / (0.75 + 1); class 1: 0 / 0.25.
    assert float(terms.total) == pytest.approx(1 - (1.5 / 1.75 + 0) / 2)
    assert float(terms.weight) == 1
    assert int(terms.valid) == 1


@pytest.mark.slow
def test_a_loss_and_an_optimizer(tmp_path):
    """Oracle: Dice is what is logged and scored; it falls from that of equal scores."""

    def make():
        config = _config()
        config.steps = STEPS
        return Experiment.from_config(
            config, loss=dice_loss, make_optimizer=lambda params: optax.adam(1e-2)
        )

    workdir = _trains_resumes_and_is_scored(make, tmp_path)
    losses = [row["loss"] for row in _rows(workdir)]
    assert all(0 <= loss <= 1 for loss in losses)
    assert losses[-1] < losses[0]
    found = store.load(workdir, which="newest", optimizer=True)
    assert any(".mu." in name for name in found.optimizer)  # Adam's first moment


def test_a_balanced_sampler_by_hand():
    """Oracle: labels of three images by hand; class 1 is in the last alone."""
    blank = np.zeros((4, 4), np.uint8)
    one = blank.copy()
    one[0, 0] = 1
    classes = Classes(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    images = (np.zeros((4, 4, 3), np.uint8),) * 3
    sampler = class_balanced(ArraySource("train", images, (blank, blank, one), classes))
    assert sampler.members == ((0, 1, 2), (2,))  # no image has class 2
    drawn = [sampler(position) for position in range(400)]
    assert drawn[1::2] == [2] * 200
    assert set(drawn[::2]) == {0, 1, 2}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_sampler(workers, tmp_path):
    """Oracle: the images of each batch are those that the sampler names."""

    def make():
        config = _config()
        config.data.workers = workers
        return Experiment.from_config(config, make_sampler=class_balanced)

    run = make()
    sizes = run.train_source.sizes()
    batch = next(run.batches(0))
    expected = [sizes[run.sampler(position)] for position in range(4)]
    np.testing.assert_array_equal(batch["sizes"].reshape(-1, 2), expected)
    _trains_resumes_and_is_scored(make, tmp_path)


@pytest.mark.slow
def test_a_pixel_mask(tmp_path):
    """Oracle: the share of pixels by the mask itself; the same bits after a resume."""
    keys = jax.random.split(jax.random.key(0), 2)
    labels = jnp.ones((2, 64, 64), jnp.uint8)
    kept = np.asarray(half_of_the_pixels(labels, keys) == 1)
    assert 0.45 < kept.mean() < 0.55
    assert (kept[0] != kept[1]).any()

    def make():
        config = _config()
        config.loss.reduction = "sum"
        config.optimizer.learning_rate = 1e-6
        return Experiment.from_config(config, pixel_mask=half_of_the_pixels)

    masked = _rows(_trains_resumes_and_is_scored(make, tmp_path))
    config = _config()
    config.loss.reduction = "sum"
    config.optimizer.learning_rate = 1e-6
    fcn_jax.train(Experiment.from_config(config), tmp_path / "all")
    share = masked[0]["loss"] / _rows(tmp_path / "all")[0]["loss"]
    assert 0.45 < share < 0.55


SKIPS = (("fc7", 1.0), ("pool4", 1.0), ("pool3", 1.0), ("pool2", 0.5))


@pytest.mark.slow
def test_any_set_of_skips(tmp_path):
    """Oracle: the score layers by name; stride 4 is one more than the papers have."""
    config = _config(scores=SKIPS)
    workdir = _trains_resumes_and_is_scored(
        lambda: Experiment.from_config(config), tmp_path
    )
    loaded = fcn_jax.load_model(workdir)
    assert set(loaded.variables["params"]["head"]) == {
        *("score_fr", "score_pool4", "score_pool3", "score_pool2")
    }
    assert [layer.scale for layer in loaded.record.spec.scores] == [1, 1, 1, 0.5]


EXPERIMENT = """
from tests import tiny
from tests.seams.dice_loss import dice_loss


def get_config():
    config = tiny.get_config()
    config.steps = 2
    return config


def get_parts(config):
    return {"loss": dice_loss}
"""


@pytest.mark.slow
def test_an_experiment_file_passes_parts(tmp_path):
    """Oracle: Dice in the log of the command, which is at most 1."""
    file = tmp_path / "own.py"
    file.write_text(EXPERIMENT)
    command = [sys.executable, "-m", "fcn_jax.main", f"--config={file}"]
    workdir = tmp_path / "run"
    subprocess.run([*command, f"--workdir={workdir}"], check=True, cwd=ROOT)
    assert all(0 < row["loss"] <= 1 for row in _rows(workdir))
