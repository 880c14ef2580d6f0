"""From a configuration to data: splits that must not meet, fewer classes, canvases."""

import json
import logging
from typing import Any

import numpy as np
import pytest

from fcn_jax import experiment
from fcn_jax.checkpoints import store
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
    config = tiny.get_config()
    with pytest.raises(ValueError, match="2 of the 3 .*2007_000063, 2007_000032"):
        experiment.check_disjoint(config, train_split, evaluation)
    experiment.check_disjoint(config, train_split, _Named(["2008_000001"]))
    config.data.allow_overlap = True
    experiment.check_disjoint(config, train_split, evaluation)


def _losses(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [row["loss"] for row in rows if row["split"] == "train"]


@pytest.mark.slow
def test_several_canvases_change_no_loss(tmp_path):
    """Oracle: the same run on one canvas, whose padding is masked exactly."""
    for count in (1, 4):
        config = tiny.get_config()
        config.batch_size = config.accumulation = 1
        config.steps = 8
        config.model.dropout_rate = 0.0
        config.data.canvases = count
        config.evaluation.batch_size = 1
        config.evaluation.pictures = 0
        parts = experiment.assemble(config)
        assert len(parts.canvases) == count
        train(config, tmp_path / str(count))
    one, several = _losses(tmp_path / "1"), _losses(tmp_path / "4")
    assert len(one) == 8
    np.testing.assert_allclose(several, one, rtol=1e-3)


class _Sized:
    """As much of a source as its sizes."""

    def __init__(self, *sizes):
        self._sizes = np.array(sizes)

    def sizes(self):
        return self._sizes


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
        source: Any = _Sized(*sizes)
        found = list(experiment.unpadded(iter([batch] * 2), source, canvases, crop))
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
        train(config, tmp_path / name)
        return tmp_path / name

    told = []
    original = experiment.unpadded

    def noticed(batches, source, canvases, crop=None):
        first, *rest = original(batches, source, canvases, crop)
        told.append(first["sizes"])
        return iter([first, *rest])

    monkeypatch.setattr(experiment, "unpadded", noticed)
    without = run("without")
    assert told == [None, None]
    monkeypatch.setattr(experiment, "unpadded", lambda batches, *_: iter(batches))
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
    whole = experiment.source(config, "train").outputs["semantic"].names
    config.data.classes = whole[2:]
    train(config, tmp_path / "few")
    few = store.load(tmp_path / "few", which="newest")
    assert few.record["outputs"]["semantic"]["names"] == [whole[0], *whole[2:]]
    kernel = few.params["head.score_fr.kernel"]
    assert kernel.shape[-1] == len(whole) - 1

    config.data.classes = ()
    config.recipe = "fine-tune"
    config.init_from = str(tmp_path / "few")
    config.init_adapt = (("head.*", "classes"),)
    parts = experiment.assemble(config)
    assert parts.outputs["semantic"].names == whole
    grown, _ = initial_state(config, parts, None)
    found = np.asarray(grown.params["head"]["score_fr"]["kernel"])
    np.testing.assert_array_equal(found[..., [0, *range(2, len(whole))]], kernel)
    np.testing.assert_array_equal(found[..., 1], 0)


@pytest.mark.parametrize("weights", [(1.0, -1.0, 1.0), (0.0, 0.0, 0.0), (1.0,)])
def test_class_weights_name_their_key(weights):
    """Oracle: the key of the configuration; a run is refused before it starts."""
    config = tiny.get_config()
    config.loss.class_weights = weights
    with pytest.raises(ValueError, match=r"^config\.loss\.class_weights: "):
        experiment.assemble(config)


def test_classes_of_weight_zero_are_said(caplog):
    """Oracle: the names of the classes of the data."""
    config = tiny.get_config()
    config.loss.class_weights = (0, 1, 0.5)
    with caplog.at_level(logging.WARNING, logger="absl"):
        parts = experiment.assemble(config)
    names = parts.outputs["semantic"].names
    assert f"0 ignores these classes of semantic in training: {names[0]}" in caplog.text
    assert names[1] not in caplog.text
