"""From a configuration to data: splits that must not meet, fewer classes, canvases."""

import json
import logging

import numpy as np
import pytest

from fcn_jax.checkpoints import store
from fcn_jax.config import of_net, to_dict, validate
from fcn_jax.data.pipeline.batches import unpadded
from fcn_jax.data.pipeline.transforms import Augmentation
from fcn_jax.data.sources.splits import check_disjoint
from fcn_jax.experiment import experiment, reading, scoring
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.models.build import spec_of_settings
from fcn_jax.training.initialize import initial_state
from fcn_jax.training.loop import train
from tests import tiny


class _Named:
    """As much of a source as its names."""

    def __init__(self, names):
        self._names = names

    def __len__(self):
        return len(self._names)

    def name(self, index):
        return self._names[index]


def test_splits_that_share_images_are_refused():
    """Oracle: two of three names, counted by hand; and the flag that insists."""
    train_split = _Named(["2007_000032", "2007_000039", "2007_000063"])
    evaluation = _Named(["2008_000001", "2007_000063", "2007_000032"])
    with pytest.raises(ValueError, match="2 of the 3 .*2007_000063, 2007_000032"):
        check_disjoint(train_split, evaluation)
    check_disjoint(train_split, _Named(["2008_000001"]))
    config = tiny.get_config()
    own = reading.open_split(config, "train")
    with pytest.raises(ValueError, match="10 of the 10 images"):
        Experiment.from_config(config, eval_source=own)
    config.data.allow_overlap = True
    assert Experiment.from_config(config, eval_source=own).scoring.source is own


def _losses(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [row["loss"] for row in rows if row["split"] == "train"]


@pytest.mark.slow
def test_several_canvases_change_no_loss(tmp_path):
    """Oracle: the same run on one canvas, whose padding is masked exactly."""
    for count in (1, 2):
        config = tiny.get_config()
        config.batch_size = config.accumulation = 1
        config.steps = 8
        config.model.dropout_rate = 0.0
        config.data.canvases = count
        config.evaluation.batch_size = 1
        config.evaluation.pictures = 0
        run = Experiment.from_config(config)
        assert len(run.canvases) == count
        train(run, tmp_path / str(count))
    one, several = _losses(tmp_path / "1"), _losses(tmp_path / "2")
    assert len(one) == 8
    np.testing.assert_allclose(several, one, rtol=1e-3)


def test_sizes_are_left_out_only_where_nothing_is_padding():
    """Oracle: by hand, whether each image fills the one canvas."""
    batch = {"inputs": 1, "sizes": 2, "index": 3}
    without = {"inputs": 1, "sizes": None, "index": 3}
    for sizes, canvases, crop, expected in (
        ([(40, 50), (40, 50)], [(40, 50)], None, without),
        ([(40, 50), (40, 49)], [(40, 50)], None, batch),
        ([(40, 50), (40, 50)], [(48, 50)], None, batch),
        ([(40, 50), (48, 50)], [(40, 50), (48, 50)], None, batch),
        ([(40, 50), (44, 60)], [(40, 48)], (40, 48), without),
        ([(40, 50), (44, 47)], [(40, 48)], (40, 48), batch),
    ):
        after = Augmentation(crop=crop).sizes(np.array(sizes))
        found = list(unpadded(iter([batch] * 2), after, canvases))
        assert found == [expected] * 2


@pytest.mark.slow
def test_images_of_one_size_train_and_score_as_with_their_sizes(tmp_path, monkeypatch):
    """Oracle: the same run with the sizes, which mask nothing; examples are whole."""

    def run(name):
        config = tiny.get_config()
        config.steps = 3
        config.model.padding = "reference"
        config.model.dropout_rate = 0.0
        config.synthetic.min_size = config.synthetic.max_size = 40
        train(Experiment.from_config(config), tmp_path / name)
        return tmp_path / name

    told = []

    def noticed(batches, sizes, canvases):
        first, *rest = unpadded(batches, sizes, canvases)
        told.append(first["sizes"])
        return iter([first, *rest])

    for module in (experiment, scoring):
        monkeypatch.setattr(module, "unpadded", noticed)
    without = run("without")
    assert told == [None, None]
    for module in (experiment, scoring):
        monkeypatch.setattr(module, "unpadded", lambda batches, *_: iter(batches))
    padded = run("with")
    np.testing.assert_allclose(_losses(without), _losses(padded), rtol=1e-4)
    scores = [json.loads((w / "scores.json").read_text()) for w in (without, padded)]
    assert scores[0]["support"] == scores[1]["support"]
    assert scores[0]["loss"] == pytest.approx(scores[1]["loss"], rel=1e-3)
    assert scores[0]["pixel_accuracy"] == pytest.approx(
        scores[1]["pixel_accuracy"], abs=1e-3
    )


@pytest.mark.slow
def test_a_subset_of_the_classes_trains_and_grows(tmp_path):
    """Oracle: names and sizes of the heads; the kept classes' kernels, bit for bit."""
    config = tiny.get_config()
    config.steps = 2
    whole = reading.open_split(config, "train").outputs["semantic"].names
    config.data.classes = whole[2:]
    train(Experiment.from_config(config), tmp_path / "few")
    few = store.load(tmp_path / "few", which="newest")
    assert few.record["outputs"]["semantic"]["names"] == [whole[0], *whole[2:]]
    kernel = few.params["head.score_fr.kernel"]
    assert kernel.shape[-1] == len(whole) - 1

    config.data.classes = ()
    config.recipe = "fine-tune"
    config.init_from = str(tmp_path / "few")
    config.init_adapt = (("head.*", "classes"),)
    run = Experiment.from_config(config)
    assert run.outputs["semantic"].names == whole
    grown, _ = initial_state(run, None)
    found = np.asarray(grown.params["head"]["score_fr"]["kernel"])
    np.testing.assert_array_equal(found[..., [0, *range(2, len(whole))]], kernel)
    np.testing.assert_array_equal(found[..., 1], 0)


@pytest.mark.parametrize("weights", [(1.0, -1.0, 1.0), (0.0, 0.0, 0.0), (1.0,)])
def test_class_weights_name_their_key(weights):
    """Oracle: the key of the configuration; a run is refused before it starts."""
    config = tiny.get_config()
    config.loss.class_weights = weights
    with pytest.raises(ValueError, match=r"^config\.loss\.class_weights: "):
        Experiment.from_config(config)


def test_classes_of_weight_zero_are_said(caplog):
    """Oracle: the names of the classes of the data."""
    config = tiny.get_config()
    config.loss.class_weights = (0, 1, 0.5)
    with caplog.at_level(logging.WARNING, logger="absl"):
        run = Experiment.from_config(config)
    names = run.outputs["semantic"].names
    assert f"0 ignores these classes of semantic in training: {names[0]}" in caplog.text
    assert names[1] not in caplog.text


def test_a_limit_is_of_the_training_split_alone():
    """Oracle: numbers of images; the draw is that of the seed, and what train scores."""
    config = tiny.get_config()
    config.data.limit = 4
    runs = []
    for seed in (0, 1):
        config.seed = seed
        runs.append(Experiment.from_config(config))
    sources = [run.train_source for run in runs]
    assert [len(source) for source in sources] == [4, 4]
    assert sources[0].fingerprint != sources[1].fingerprint
    assert {runs[0].sampler(i) for i in range(4)} == {0, 1, 2, 3}
    assert len(runs[0].scoring.source) == config.synthetic.eval_length
    config.data.eval_split = "train"
    config.data.allow_overlap = True
    again = Experiment.from_config(config)
    assert again.scoring.source.fingerprint == again.train_source.fingerprint
    config.data.limit = config.synthetic.train_length + 1
    with pytest.raises(ValueError, match="config.data.limit is 11, .* 10 examples"):
        Experiment.from_config(config)
    config.data.limit = -1
    with pytest.raises(ValueError, match="config.data.limit is -1; it must be at lea"):
        Experiment.from_config(config)


def test_no_window_is_larger_than_the_largest_image():
    """Oracle: the sizes of the images; a smaller side of the window stays."""
    config = tiny.get_config()
    config.data.crop = (200, 20)
    run = Experiment.from_config(config)
    rows = int(run.train_source.sizes()[:, 0].max())
    assert rows < 200
    assert run.canvases == ((rows, 20),)
    assert run.crop == (rows, 20)


def test_random_colours_are_those_of_the_configuration():
    """Oracle: the keys; a range by hand; a net that reads no colour."""
    config = tiny.get_config()
    config.data.color, config.data.lighting = (0.1, 0.2, 0.3), 0.5
    found = reading.read_augmentation(config, Experiment.from_config(config).spec)
    assert isinstance(found, Augmentation)
    assert (found.color, found.lighting) == ((0.1, 0.2, 0.3), 0.5)
    for key, value in (("color", (0.1, 0.2, 1.1)), ("lighting", -0.1)):
        other = tiny.get_config()
        other.data[key] = value
        with pytest.raises(ValueError, match=f"config.data.{key} is .* it must be"):
            validate(other)
    other = of_net("nyud-fcn32s-hha").unlock()
    other.data.color = (0.1, 0.0, 0.0)
    spec = spec_of_settings(to_dict(other)["model"], {"semantic": 40})
    with pytest.raises(ValueError, match="'color', and this net reads hha; set them"):
        reading.read_augmentation(other, spec)
