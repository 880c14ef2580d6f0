"""Parts of a user's own, each one file of tests/seams: trained, resumed, scored.

Nothing of the package changes for them. CONTRIBUTING points here.
"""

import json
import shutil
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
from fcn_jax.convert.export import export_checkpoint
from fcn_jax.data.examples import Example
from fcn_jax.data.labels import Classes
from fcn_jax.data.sources.synthetic import SyntheticSource, SyntheticSpec
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.models.build import (
    BACKBONES,
    build,
    fcn_spec,
    settings_of,
    spec_of_settings,
)
from fcn_jax.models.fcn import score_maps
from fcn_jax.models.heads import HEADS
from fcn_jax.models.spec import ModelSpec
from fcn_jax.optim.optimizers import promoting
from tests import tiny
from tests.seams.array_source import ArraySource
from tests.seams.brightness import Brightness
from tests.seams.class_balanced import class_balanced
from tests.seams.context_head import context_head
from tests.seams.dice_loss import dice_loss
from tests.seams.pixel_sampling import half_of_the_pixels
from tests.seams.residual import RESNET

ROOT = Path(__file__).parents[1]
STEPS = 6
pytestmark = pytest.mark.usefixtures("compiled_once")


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


def _trains_resumes_and_is_scored(make, workdir):
    """Oracle: a run that went on from update 3 ends in the bits of one that did not."""
    result = fcn_jax.train(make(), workdir)
    whole, rows = _state(workdir), _rows(workdir)
    shutil.rmtree(workdir / "checkpoints" / str(STEPS))  # as if killed after update 3
    fcn_jax.train(make(), workdir)
    found = _state(workdir)
    assert whole.keys() == found.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert [row["loss"] for row in rows] == [row["loss"] for row in _rows(workdir)]
    scores = json.loads((workdir / "scores.json").read_text())
    assert scores["step"] == STEPS
    assert scores["loss"] == pytest.approx(result.loss)
    return rows


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
def test_parts_of_all_kinds_in_one_run(tmp_path):
    """Oracle: the same bits after a resume; Dice is at most 1 and falls.

    A residual backbone with batch normalisation, arrays, Dice, a balanced sampler and an
    optimiser of optax: none is known to the package.
    """
    backbones = {**BACKBONES, "resnet": RESNET}

    def make():
        config = _config(backbone="resnet", padding="reference", width=2.0)
        config.model.dropout_rate = -1.0
        return Experiment.from_config(
            config,
            train_source=_arrays("train", 10, 0),
            eval_source=_arrays("val", 5, 0),
            make_sampler=class_balanced,
            loss=dice_loss,
            make_optimizer=lambda params: promoting(optax.adam(1e-2)),
            backbones=backbones,
        )

    rows = _trains_resumes_and_is_scored(make, tmp_path)
    losses = [row["loss"] for row in rows]
    assert all(0 < loss <= 1 for loss in losses)
    assert losses[-1] < losses[0]

    found = store.load(tmp_path, which="newest", optimizer=True)
    assert any(".mu." in name for name in found.optimizer)  # Adam's first moment
    statistics = found.collections["batch_stats.trunk.bn1.var"]
    assert (statistics != 1).all()  # its initial value
    loaded = fcn_jax.load_model(tmp_path, backbones=backbones)
    assert loaded.variables.keys() == {"params", "batch_stats"}
    segmenter = fcn_jax.Segmenter.load(tmp_path, backbones=backbones)
    image = _arrays("val", 1, 0).images[0]
    labels = segmenter.labels(image)["semantic"]
    assert labels.shape == image.shape[:2]
    scored = fcn_jax.evaluate(make().scoring, tmp_path, backbones=backbones)
    assert scored.loss == pytest.approx(
        json.loads((tmp_path / "scores.json").read_text())["loss"]
    )
    with pytest.raises(ValueError, match="backbone is 'resnet'; it must be one of"):
        fcn_jax.load_model(tmp_path)
    with pytest.raises(ValueError, match="backbone"):
        export_checkpoint(tmp_path, tmp_path / "net.safetensors")


@pytest.mark.slow
def test_a_head_and_an_augmentation(tmp_path):
    """Oracle: the same bits after a resume; NumPy's argmax of what the net scores."""
    heads = {**HEADS, "context": context_head}

    def make():
        config = _config(head="context")
        return Experiment.from_config(config, augmentation=Brightness(40), heads=heads)

    _trains_resumes_and_is_scored(make, tmp_path)
    loaded = fcn_jax.load_model(tmp_path, heads=heads)
    assert loaded.record.spec.head == "context"
    params = loaded.variables["params"]["head"]
    assert params.keys() == {"context", "score_semantic"}
    image = _arrays("val", 1, 0).images[0]
    segmenter = fcn_jax.Segmenter.load(tmp_path, heads=heads)
    np.testing.assert_array_equal(
        segmenter.labels(image)["semantic"],
        segmenter.scores(image)["semantic"].argmax(axis=-1),
    )
    with pytest.raises(ValueError, match="head is 'context'; it must be one of skips"):
        fcn_jax.load_model(tmp_path)
    with pytest.raises(ValueError, match="head"):
        export_checkpoint(tmp_path, tmp_path / "net.safetensors")


def test_an_augmentation_of_another_size_than_it_says(tmp_path):
    """Oracle: the sentence names the image and both sizes."""

    class Halves(Brightness):
        def __call__(self, example, *, fill, rng):
            half = {name: array[::2, ::2] for name, array in example.inputs.items()}
            labels = {name: array[::2, ::2] for name, array in example.labels.items()}
            return Example(example.name, half, labels)

    run = Experiment.from_config(_config(), augmentation=Halves(1))
    with pytest.raises(
        ValueError, match=r"makes .* pixels, and its `sizes` says \d+ x"
    ):
        next(run.batches(0))


@pytest.mark.slow
def test_arrays_are_as_good_as_the_source_they_come_from(tmp_path):
    """Oracle: the procedural source that the arrays were copied from: the same losses."""
    losses = []
    for name, parts in (
        ("usual", {}),
        (
            "arrays",
            {
                "train_source": _arrays("train", 10, 0),
                "eval_source": _arrays("val", 5, 0),
            },
        ),
    ):
        config = _config()
        config.steps = 2
        fcn_jax.train(Experiment.from_config(config, **parts), tmp_path / name)
        losses.append([row["loss"] for row in _rows(tmp_path / name)])
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_other_arrays_are_other_data(tmp_path):
    """Oracle: a run is not continued on arrays with another pixel."""
    source = _arrays("train", 10, 0)
    evaluation = _arrays("val", 5, 0)
    config = _config()
    config.steps = config.checkpoint.every = config.evaluation.every = 1
    make = Experiment.from_config
    fcn_jax.train(make(config, train_source=source, eval_source=evaluation), tmp_path)
    source.images[0][0, 0, 0] ^= 1
    config.steps = 2
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
def test_a_sampler_chooses_the_images(workers):
    """Oracle: the sizes of the images that the sampler names, also in a worker."""
    config = _config()
    config.data.workers = workers
    run = Experiment.from_config(config, make_sampler=class_balanced)
    sizes = run.train_source.sizes()
    batch = next(run.batches(0))
    expected = [sizes[run.sampler(position)] for position in range(4)]
    np.testing.assert_array_equal(batch["sizes"].reshape(-1, 2), expected)


def test_a_sampler_that_goes_too_far():
    """Oracle: the split has ten images."""
    run = Experiment.from_config(_config(), make_sampler=lambda _: lambda position: 10)
    with pytest.raises(ValueError, match="gives example 10 at position 0; the split"):
        next(run.batches(0))


@pytest.mark.slow
def test_a_pixel_mask(tmp_path):
    """Oracle: the share of the pixels, of the mask alone and of the first loss."""
    keys = jax.random.split(jax.random.key(0), 2)
    labels = jnp.ones((2, 64, 64), jnp.uint8)
    kept = np.asarray(half_of_the_pixels(labels, keys) == 1)
    assert 0.45 < kept.mean() < 0.55
    assert (kept[0] != kept[1]).any()
    losses = []
    for mask in (None, half_of_the_pixels):
        config = _config()
        config.steps = 1
        config.loss.reduction = "sum"
        config.optimizer.learning_rate = 1e-6
        run = Experiment.from_config(config, pixel_mask=mask)
        fcn_jax.train(run, tmp_path / str(mask is None))
        losses += [row["loss"] for row in _rows(tmp_path / str(mask is None))]
    assert 0.45 < losses[1] / losses[0] < 0.55


def test_any_set_of_skips():
    """Oracle: score layers and the crop of a net of stride 4, by hand.

    Of even kernels, each doubling adds 1/2 pixel of the finer grid to the offset, as 5, 9
    and 31 pixels of FCN-8s; stored and read again the specification is the same.
    """
    scores = (("fc7", 1.0), ("pool4", 1.0), ("pool3", 1.0), ("pool2", 0.5))
    spec = fcn_spec(backbone="vgg16", outputs={"semantic": 3}, scores=scores)
    assert [layer.layer for layer in spec.scores] == [
        *("score_fr", "score_pool4", "score_pool3", "score_pool2")
    ]
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert spec_of_settings(settings_of(spec), {"semantic": 3}) == spec
    (output,) = score_maps(build(spec), {"color": 3}, 70).values()
    assert output.values.shape == (1, 70, 70, 3)
    assert output.geometry.crops[:2] == (5, 9)


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
