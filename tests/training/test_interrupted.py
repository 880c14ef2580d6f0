"""Runs that end early: what is saved then, and that the continued run is the same.

The update and the evaluation are stand-ins that compile in no time; the loop around them,
the data, the log and the checkpoints are those of every run. Oracle throughout: the run
that nothing ended.
"""

import json
import os
import signal
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.checkpoints import store as checkpoint
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import Classes
from fcn_jax.data.sources import synthetic
from fcn_jax.evaluation import evaluate
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.metrics.confusion import ConfusionMatrix
from fcn_jax.runs import runlog
from fcn_jax.runtime import messages
from fcn_jax.runtime.cli import Stopped
from fcn_jax.training import initialize, keeping, loop
from fcn_jax.training.async_metrics import NotFinite
from fcn_jax.training.state import TrainState
from tests import tiny


@jax.jit
def _update(state, batch):
    level = batch["inputs"]["color"].astype(jnp.float32).mean() / 255
    params = jax.tree.map(lambda p: p * 0.9 + 0.1 * level, state.params)
    report = {"loss": level, "loss_per_pixel": level, "finite": {"all": True}}
    return TrainState(state.step + 1, params, state.opt_state), report


def _evaluation(variables, batch):
    labels = np.asarray(batch["labels"]["semantic"])
    valid = labels[labels != 255]
    bias = np.asarray(jax.tree.leaves(variables["params"])[0]).ravel()[0]
    counts = np.zeros((3, 3), np.int64)
    guess = int(bias * 1e6) % 3
    counts[:, guess] = np.bincount(valid, minlength=3)
    parts = {"counts": counts, "loss": bias, "valid": valid.size}
    return {"semantic": {**parts, "predicted": np.full(labels.shape, guess, np.uint8)}}


class Run:
    """Starts runs in one directory, in which something may happen."""

    def __init__(self, directory, monkeypatch):
        self.directory, self._patch = directory, monkeypatch

    def start(self, happening=lambda what, step: None):
        """Trains; `happening` is called before updates and other work."""

        def update(state, batch):
            happening("update", int(state.step) + 1)
            result = _update(state, batch)
            happening("updated", int(state.step) + 1)
            return result

        def evaluation(variables, batch):
            happening("evaluate", None)
            return _evaluation(variables, batch)

        def save(keeper, state, step, own=keeping.Keeper.save):
            happening("save", step)
            own(keeper, state, step)
            happening("saved", step)

        def rate(store, step, score, own=checkpoint.CheckpointStore.rate):
            happening("rate", step)
            own(store, step, score)

        def batches(run, begin, own=Experiment.batches):
            for step, batch in enumerate(own(run, begin), begin + 1):
                happening("wait", step)
                yield batch

        def write(log, step, split, values, own=runlog.RunLog._write):
            happening("row", step)
            own(log, step, split, values)

        config = tiny.get_config()
        config.checks.constant_features = False
        with self._patch.context() as patch:
            patch.setattr(loop, "make_train_step", lambda **_: update)
            patch.setattr(loop, "make_evaluation_step", lambda **_: evaluation)
            patch.setattr(initialize, "init_variables", _init)
            patch.setattr(keeping.Keeper, "save", save)
            patch.setattr(checkpoint.CheckpointStore, "rate", rate)
            patch.setattr(Experiment, "batches", batches)
            patch.setattr(runlog.RunLog, "_write", write)
            loop.train(Experiment.from_config(config), self.directory)

    def rows(self, split):
        """Step and content of the rows of a split, without times."""
        lines = (self.directory / "metrics.jsonl").read_text().splitlines()
        timed = ("images_per_second", "wait_share", "first_update_seconds")
        return [
            {key: value for key, value in row.items() if key not in timed}
            for row in map(json.loads, lines)
            if row["split"] == split
        ]

    def saved(self):
        """The steps of the checkpoints with their scores."""
        return {
            int(path.name): json.loads((path / "record/metadata").read_text())["score"]
            for path in (self.directory / "checkpoints").iterdir()
        }


_FIRST: dict[int, object] = {}


def _init(model, channels, *, seed, sharding, own=initialize.init_variables):
    """The parameters of a seed, which take a while to draw, drawn once."""
    if seed not in _FIRST:
        _FIRST[seed] = own(model, channels, seed=seed, sharding=sharding)
    return _FIRST[seed]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run in a directory of its own."""
    return Run(tmp_path / "run", monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing ended."""
    with pytest.MonkeyPatch.context() as patch:
        found = Run(tmp_path_factory.mktemp("runs") / "whole", patch)
        found.start()
    return found


def _assert_same(run, whole):
    for split in ("train", "val"):
        assert run.rows(split) == whole.rows(split)
    assert run.saved() == whole.saved()
    for name in ("scores.json", "config.json", "parameters.txt"):
        ours, theirs = run.directory / name, whole.directory / name
        assert ours.read_bytes() == theirs.read_bytes(), name
    ours, theirs = (
        checkpoint.load(own.directory, which="newest", optimizer=True)
        for own in (run, whole)
    )
    assert (ours.step, ours.record) == (theirs.step, theirs.record)
    for one, other in (
        (ours.params, theirs.params),
        (ours.optimizer, theirs.optimizer),
    ):
        assert one.keys() == other.keys()
        for path in other:
            np.testing.assert_array_equal(one[path], other[path])


def _signal_at(what, step, number=signal.SIGTERM):
    def happening(happens, at):
        if happens == what and at in (step, None):
            signal.raise_signal(number)

    return happening


MOMENTS = (
    # what happens when the signal comes, its step, and the newest checkpoint then
    (("wait", 1), 0),
    (("update", 1), 0),
    (("updated", 2), 2),
    (("wait", 4), 3),
    (("row", 4), 5),  # it is read one update behind
    (("save", 6), 6),
    (("evaluate", None), 6),
    (("rate", 6), 6),
    (("saved", 9), 9),
    (("update", 12), 12),
    (("row", 12), 12),
)


@pytest.mark.slow
def test_signals_at_every_kind_of_moment(run, whole):
    """Oracle: the newest checkpoint by hand, and the whole run's values at the end.

    One run, which goes on after each of the signals.
    """
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    for index, ((what, step), newest) in enumerate(MOMENTS):
        number = numbers[index % 3]
        with pytest.raises(Stopped) as caught:
            run.start(_signal_at(what, step, number))
        assert caught.value.status == 128 + number
        assert max(run.saved(), default=0) == newest, (what, step)
        done = f"{newest} of 12 updates are saved in {run.directory}"
        assert (done if newest else "no update was done yet") in str(caught.value)
        assert [row["step"] for row in run.rows("train")] == list(range(1, newest + 1))
    run.start()
    _assert_same(run, whole)


def _error_at(what, step, error):
    def happening(happens, at):
        if happens == what and at in (step, None):
            raise error

    return happening


def _unsaved(happening):
    """Besides, nothing can be saved."""
    full = checkpoint.CheckpointError("cannot save: the disk is full")

    def both(what, step):
        happening(what, step)
        _error_at("save", None, full)(what, None)

    return both


OTHER_ENDS = (
    # what happens when, the error, and the newest checkpoint then
    ("wait", 2, DataError("split train, a.png: it is damaged"), 1),
    ("wait", 3, messages.RunError("a process was ended"), 2),
    ("update", 5, jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no room"), 4),
    ("evaluate", None, DataError("split val, b.png: it is damaged"), 6),
    ("evaluate", None, MemoryError(), 6),
    ("updated", 8, TypeError("a defect"), 7),
    ("row", 8, NotFinite("update 8 is not finite"), 7),
    ("row", 8, ValueError("the scores are constant"), 7),
)


@pytest.mark.slow
def test_other_ends_save_what_is_sound(run, whole, caplog):
    """Oracle: the newest checkpoint by hand, the same error, the same run at the end.

    What was not finite, or failed a check, is not saved. Last, what cannot be saved.
    """
    for what, step, error, newest in OTHER_ENDS:
        with pytest.raises(type(error)) as caught:
            run.start(_error_at(what, step, error))
        assert caught.value is error
        assert max(run.saved()) == newest
        if messages.machine_failure(error):
            assert "a lower config.batch_size" in messages.error_sentence(error)
    with pytest.raises(TypeError, match="a defect"):
        run.start(_unsaved(_error_at("update", 9, TypeError("a defect"))))
    assert "the state after update 8 is lost: cannot save: the disk" in caplog.text
    with pytest.raises(checkpoint.CheckpointError, match="the disk is full"):
        run.start(_unsaved(_signal_at("update", 9)))
    assert max(run.saved()) == 7
    run.start()
    _assert_same(run, whole)


@pytest.mark.slow
def test_a_full_disk_under_the_rows_loses_rows_only(run, whole):
    """Oracle: the parameters of the whole run; the sentence names the file."""

    def happening(what, step):
        if what == "row" and step == 4:
            raise OSError(28, "No space left on device", "metrics.jsonl")

    with pytest.raises(OSError, match="No space left"):
        run.start(happening)
    assert max(run.saved()) == 5
    run.start()
    assert run.saved() == whole.saved()
    assert [row["step"] for row in run.rows("train")] == [*range(1, 4), *range(5, 13)]
    ours, theirs = (checkpoint.load(own.directory) for own in (run, whole))
    for path in theirs.params:
        np.testing.assert_array_equal(ours.params[path], theirs.params[path])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BrokenPipeError(32, "Broken pipe"), "Broken pipe"),
        (OSError(28, "Full"), "Full"),
        (UnicodeEncodeError("latin-1", "\u732b", 0, 1, "no such letter"), "latin-1"),
    ],
)
def test_scores_that_cannot_be_printed_are_no_failure(
    monkeypatch, error, reason, caplog
):
    """Oracle: nothing is raised; the warning says why, and where the scores are."""

    def fail(*_):
        raise error

    monkeypatch.setattr(keeping, "print_scores", fail)
    scoring = types.SimpleNamespace(absent="script")
    run = types.SimpleNamespace(outputs={}, scoring=scoring)
    log = types.SimpleNamespace(directory=Path("runs/x"))
    keeper = keeping.Keeper(run, None, log, {}, 0)
    keeper.show(evaluate.Evaluation({}, {}, []))
    assert reason in caplog.text
    assert "they are in runs/x/scores.json" in caplog.text


def _opened(stream, directory):
    """A standard output that fails."""
    if stream == "closed pipe":
        reader, writer = os.pipe()
        os.close(reader)
        return os.fdopen(writer, "w")
    if stream == "full disk":
        return open("/dev/full", "w")
    return open(directory / "out", "w", encoding=stream)


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["closed pipe", "full disk", "latin-1"])
def test_the_last_update_is_saved_whatever_becomes_of_the_table(
    stream, run, whole, monkeypatch, caplog
):
    """Oracle: the parameters and scores of the whole run, and the names in scores.json."""
    names = ("background", "square[/old]", "\u732b")
    classes = Classes(names, synthetic.synthetic_classes(3).palette)
    monkeypatch.setattr(synthetic, "synthetic_classes", lambda count: classes)
    run.directory.mkdir()
    with _opened(stream, run.directory) as output:
        monkeypatch.setattr(sys, "stdout", output)
        run.start()
        monkeypatch.undo()
    assert "the scores could not be printed" in caplog.text
    assert run.saved() == whole.saved()
    ours, theirs = (checkpoint.load(r.directory, which="newest") for r in (run, whole))
    assert ours.step == theirs.step == 12
    for path, value in theirs.params.items():
        np.testing.assert_array_equal(ours.params[path], value)
    found, expected = (
        json.loads((r.directory / "scores.json").read_text()) for r in (run, whole)
    )
    assert tuple(found["per_class_iu"]) == names
    assert list(found["support"].values()) == list(expected["support"].values())
    assert found["mean_iu"] == expected["mean_iu"]


def test_names_of_classes_are_printed_as_they_are(capsys):
    """Oracle: the names themselves, markup and emoji codes among them."""
    names = ("square[/old]", "[red]car", ":car:")
    classes = {"semantic": Classes(names, ((0, 0, 0), (1, 1, 1), (2, 2, 2)))}
    matrix = ConfusionMatrix.empty(3).merge(np.eye(3, dtype=np.int64))
    result = evaluate.Evaluation({"semantic": matrix}, {"semantic": (0.0, 3)}, [])
    evaluate.print_scores(result, classes, "script")
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
