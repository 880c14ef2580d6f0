"""Labels that leave nothing to learn are refused before training, or early in it."""

import logging

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.sources.catalog import open_source
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.training import initialize
from fcn_jax.training.checks.labels import PATIENCE, LabelWatch, check_labels
from tests import tiny


def _folder(root, draw, classes="background\nobject\n", count=10):
    """Images with labels `draw(index)`; every fifth one is val."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    (root / "classes.txt").write_text(classes)
    for index in range(count):
        labels = draw(index, np.zeros((40, 36), np.uint8))
        image = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / "images" / f"{index:02d}.png")
        Image.fromarray(labels).save(root / "labels" / f"{index:02d}.png")
    return {name: open_source("folder", name, folder=str(root)) for name in SPLITS}


SPLITS = ("train", "val")


def _square(value, where=lambda index: True, ground=0):
    """Labels of `ground` with a square of an id, where that is wanted."""

    def draw(index, labels):
        labels[:] = ground
        if where(index):
            labels[5:15, 5:20] = value
        return labels

    return draw


def _is_val(index):
    return index % 5 == 4


def _mixed(index, labels):
    labels[5:15, 5:20] = 1 + index % 2
    return labels


REFUSED = {
    # The commonest masks there are: 0 and 255.
    "0 and 255": (_square(255), None, ["255: object", "checks.labels=False"]),
    "0 and 255 of three": (_square(255), "a\nb\nc\n", ["every labelled pixel", "255"]),
    "only background": (_square(0), None, ["every labelled pixel", "object"]),
    "train only background": (
        _square(1, _is_val),
        None,
        ["every labelled pixel", "background"],
    ),
    "all ignored": (_square(255, ground=255), None, ["split train", "split val"]),
    "val ignored": (
        lambda index, labels: (
            np.full_like(labels, 255) if _is_val(index) else _square(1)(index, labels)
        ),
        None,
        ["split val: all pixels of semantic are ignored"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_leave_nothing_to_learn_are_refused(name, tmp_path):
    """Oracle: the ids written into the files."""
    draw, classes, words = REFUSED[name]
    splits = _folder(tmp_path, draw, *([classes] if classes else []))
    with pytest.raises(ValueError, match="insist with") as error:
        check_labels(splits)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (_mixed, []),
        (_square(1), ["'disk'", "never occurs"]),
        (_square(2, lambda index: not _is_val(index)), ["val", "disk", "square"]),
        (
            lambda i, labels: (
                np.full_like(labels, 255) if i == 2 else _mixed(i, labels)
            ),
            [],
        ),
    ],
)
def test_classes_that_do_not_occur_are_named(draw, said, tmp_path, caplog):
    """Oracle: the ids written into the files; nothing where every class occurs."""
    splits = _folder(tmp_path, draw, "background\nsquare\ndisk\n")
    with caplog.at_level(logging.WARNING, logger="absl"):
        check_labels(splits)
    assert bool(caplog.records) == bool(said), caplog.text
    assert all(word in caplog.text for word in said), caplog.text


def test_a_run_refuses_such_labels_before_it_draws_parameters(tmp_path, monkeypatch):
    """Oracle: the ids written into the files; the switch lets the run start."""
    _folder(tmp_path, _square(255))
    config = tiny.get_config()
    config.data.name, config.data.folder = "folder", str(tmp_path)
    config.model.score_at = "pool1"
    with monkeypatch.context() as patch:
        patch.setattr(initialize, "init_variables", None)
        with pytest.raises(ValueError, match="255: object"):
            initialize.initial_state(Experiment.from_config(config), None)
    config.checks.labels = False
    state, _ = initialize.initial_state(Experiment.from_config(config), None)
    assert int(state.step) == 0


def _batch(labelled):
    labels = np.full((1, 2, 4, 4), 255, np.uint8)
    if labelled:
        labels[0, 1, 3, 3] = 0
    return {"semantic": labels, "other": np.full((1, 2, 4, 4), 255, np.uint8)}


def test_batches_without_a_labelled_pixel_are_counted(caplog):
    """Oracle: by hand; one labelled pixel of one image is enough."""
    watch = LabelWatch()
    with caplog.at_level(logging.WARNING, logger="absl"):
        for index in range(300):
            watch.see(_batch(index % 20 == 0))
    assert "1 of 2 updates" in caplog.text
    assert "10 of 11 updates" in caplog.text
    assert "100 of 106 updates" in caplog.text
    assert len(caplog.records) == 3


def test_a_start_without_a_labelled_pixel_ends_the_run():
    """Oracle: by hand; a labelled pixel among the first batches is enough to go on."""
    watch = LabelWatch()
    for _ in range(PATIENCE - 1):
        watch.see(_batch(False))
    with pytest.raises(ValueError, match=f"none of the first {PATIENCE} batches"):
        watch.see(_batch(False))
    watch = LabelWatch()
    for index in range(3 * PATIENCE):
        watch.see(_batch(index == PATIENCE - 1))
