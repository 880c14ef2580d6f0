"""Tests of fcn_jax.runs.runlog: files by hand, Pillow and TensorBoard's own reader."""

import io
import json
import logging as python_logging
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import rich.console
from absl import logging
from PIL import Image

from fcn_jax.runs import runlog


def _rows(directory):
    text = (directory / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def _train(log, step, loss=0.5, **keywords):
    log.advance(step, loss, 4)
    log.train(step, loss=loss, learning_rate=0.1, wait_share=0.25, **keywords)


def test_a_training_row_has_full_precision(tmp_path, open_log):
    """Oracle: the same Python floats, which JSON holds exactly."""
    log = open_log()
    _train(log, 1, 0.1 + 0.2)
    _train(log, np.int64(2), float(np.float32(1e-9)), loss_per_pixel=2.5)
    first, second = _rows(tmp_path)
    assert first == {
        "step": 1,
        "split": "train",
        "loss": 0.30000000000000004,
        "learning_rate": 0.1,
        "images_per_second": None,
        "wait_share": 0.25,
    }
    assert second["loss"] == float(np.float32(1e-9))
    assert (second["step"], second["loss_per_pixel"]) == (2, 2.5)
    assert second["images_per_second"] > 0


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_is_null(tmp_path, open_log, loss):
    """Oracle: JSON, which has no NaN."""
    _train(open_log(), 1, loss)
    (row,) = _rows(tmp_path)
    assert row["loss"] is None
    assert row["finite"] is False


def test_images_per_second_counts_training_only(tmp_path, open_log, monkeypatch):
    """Oracle: a clock by hand; the first update and evaluations are left out."""
    now = [0.0]
    monkeypatch.setattr(runlog.time, "perf_counter", lambda: now[0])
    log = open_log()
    for step, seconds in ((1, 50), (2, 52), (3, 54), (4, 190), (5, 194), (6, 196)):
        now[0] = seconds
        log.advance(step, 0.5, 8)
        if step in (3, 5, 6):
            log.train(step, loss=0.5, learning_rate=0.1, wait_share=0.0)
        if step == 3:
            now[0] = 180
            log.evaluation(3, "val", {"mean_iu": 0.5})
    rates = [row.get("images_per_second") for row in _rows(tmp_path)]
    assert rates == [16 / 4, None, 8 / 4, 8 / 2]


def test_an_evaluation_row_has_the_given_keys(tmp_path, open_log):
    """Oracle: the row by hand; arrays become lists, NaN becomes null."""
    scores = {
        "mean_iu": np.float64(0.25),
        "per_class": np.asarray([0.5, np.nan], np.float32),
        "iu": {"sky": jnp.float32(0.5), "road": float("nan")},
        "count": np.int32(3),
    }
    open_log().evaluation(7, "val", scores)
    assert _rows(tmp_path) == [
        {
            "step": 7,
            "split": "val",
            "mean_iu": 0.25,
            "per_class": [0.5, None],
            "iu": {"sky": 0.5, "road": None},
            "count": 3,
        }
    ]


def test_rows_are_in_the_file_at_once(tmp_path, open_log):
    """Oracle: the file, read while the log is open."""
    log = open_log()
    for step in (1, 2, 3):
        _train(log, step)
        assert len(_rows(tmp_path)) == step
    log.flush()


def _run(open_log, first, last, start):
    """A run's rows: training each step, an evaluation after every second."""
    log = open_log(start)
    for step in range(first, last + 1):
        _train(log, step, 1 / step)
        if step % 2 == 0:
            log.evaluation(step, "val", {"mean_iu": 1 - 1 / step})
    return log


@pytest.mark.parametrize("kept", [0, 3, 4, 5])
@pytest.mark.parametrize("torn", [b"", b'{"step": 3, "sp', b'{"step"', b"\xff\xfe"])
def test_a_continued_run_has_the_rows_of_an_uninterrupted_one(tmp_path, kept, torn):
    """Oracle: the uninterrupted run's steps, splits, losses and scores."""
    console = rich.console.Console(file=io.StringIO())
    directories = [tmp_path / "whole", tmp_path / "killed"]
    for directory in directories:
        directory.mkdir()

    def log_in(directory):
        return lambda start: runlog.RunLog(
            directory, start_step=start, total_steps=8, console=console
        )

    _run(log_in(directories[0]), 1, 8, 0).close()
    _run(log_in(directories[1]), 1, 5, 0).close()
    with open(directories[1] / "metrics.jsonl", "ab") as file:
        file.write(torn)
    _run(log_in(directories[1]), kept + 1, 8, kept).close()
    whole, killed = (
        [
            {k: v for k, v in row.items() if k != "images_per_second"}
            for row in _rows(directory)
        ]
        for directory in directories
    )
    assert killed == whole


def test_kept_rows_stay_byte_for_byte(tmp_path, open_log, caplog):
    """Oracle: the lines by hand; broken ones are dropped and reported."""
    lines = [
        b'{"step": 1,  "loss": 1.0}',
        b"not JSON",
        b"[1]",
        b'{"step": 3, "loss": 0.1}',
        b'{"step": 2}',
        b'{"loss": 2}',
    ]
    (tmp_path / "metrics.jsonl").write_bytes(
        b"\n".join(lines) + b'\n{"step": 2, "a": 1}'
    )
    caplog.set_level(python_logging.WARNING, logger="absl")
    open_log(2)
    kept = b'{"step": 1,  "loss": 1.0}\n{"step": 2}\n{"step": 2, "a": 1}\n'
    assert (tmp_path / "metrics.jsonl").read_bytes() == kept
    assert [r.message for r in caplog.records if "unreadable" in r.message] == [
        f"{tmp_path / 'metrics.jsonl'}: 3 unreadable rows are dropped"
    ]


def _events(directory):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="TensorBoard's reader is not installed",
    )
    found = reader.EventAccumulator(
        str(directory / "tensorboard"), size_guidance={"scalars": 0, "images": 0}
    )
    return found.Reload()


def test_tensorboard_shows_a_continued_run_once(tmp_path, open_log):
    """Oracle: TensorBoard's own reader, after a kill and two continuations."""
    _run(open_log, 1, 5, 0)
    # Neither flushed nor closed: what a kill leaves behind, with half an event.
    (killed,) = (tmp_path / "tensorboard").iterdir()
    with open(killed, "ab") as file:
        file.write(b"\x18\x00\x00\x00")
    _run(open_log, 4, 7, 3)
    _run(open_log, 7, 8, 6).close()
    found = _events(tmp_path)
    losses = [(event.step, event.value) for event in found.Scalars("train/loss")]
    assert losses == [(step, np.float32(1 / step)) for step in range(1, 9)]
    assert [event.step for event in found.Scalars("val/mean_iu")] == [2, 4, 6, 8]


def test_tensorboard_has_numbers_and_leaves_out_nan(tmp_path, open_log):
    """Oracle: TensorBoard's own reader; the tags by hand."""
    log = open_log()
    _train(log, 1, float("nan"))
    log.evaluation(1, "val", {"mean_iu": 0.5, "iu": {"sky": 0.25, "road": np.nan}})
    assert sorted(_events(tmp_path).Tags()["scalars"]) == [
        "train/learning_rate",
        "train/wait_share",
        "val/iu/sky",
        "val/mean_iu",
    ]


def test_a_picture_is_a_png_and_in_tensorboard(tmp_path, open_log):
    """Oracle: Pillow and TensorBoard's reader give the same pixels back."""
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    log = open_log()
    log.picture(12, "val/first", image)
    (name,) = os.listdir(tmp_path / "pictures")
    assert name == "val_first_00000012.png"
    with Image.open(tmp_path / "pictures" / name) as read:
        np.testing.assert_array_equal(np.asarray(read), image)
    (event,) = _events(tmp_path).Images("val/first")
    assert (event.step, event.width, event.height) == (12, 7, 5)
    with Image.open(io.BytesIO(event.encoded_image_string)) as read:
        np.testing.assert_array_equal(np.asarray(read), image)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), "u1")],
)
def test_another_picture_is_refused(tmp_path, open_log, image):
    """Oracle: the contract."""
    with pytest.raises(ValueError, match=r"it must be uint8\[H, W, 3\]"):
        open_log().picture(1, "val", image)


def test_scores_are_written_whole(tmp_path):
    """Oracle: JSON by hand; NaN becomes null."""
    path = tmp_path / "scores.json"
    runlog.write_scores(path, {"old": 1})
    runlog.write_scores(
        path, {"mean_iu": np.float32(0.5), "iu": (np.nan, 1.0), 5: None}
    )
    assert json.loads(path.read_text()) == {
        "mean_iu": 0.5,
        "iu": [None, 1.0],
        "5": None,
    }
    assert os.listdir(tmp_path) == ["scores.json"]


@pytest.mark.parametrize("scored", [True, False])
def test_rows_of_an_evaluation_that_was_not_finished_are_dropped(tmp_path, scored):
    """Oracle: the rows by hand; those of updates and earlier evaluations stay."""
    console = rich.console.Console(file=io.StringIO())
    for start in (0, 4):
        log = runlog.RunLog(
            tmp_path,
            start_step=start,
            total_steps=8,
            scored=scored or start == 0,
            console=console,
        )
        if start == 0:
            for step in range(1, 5):
                _train(log, step)
                if step % 2 == 0:
                    log.evaluation(step, "val", {"mean_iu": 0.5})
        log.close()
    expected = [(1, "train"), (2, "train"), (2, "val"), (3, "train"), (4, "train")]
    found = [(row["step"], row["split"]) for row in _rows(tmp_path)]
    assert found == expected + [(4, "val")] * scored


def test_closing_twice_and_failing_inside_restore_the_log_stream(tmp_path):
    """Oracle: the stream that absl had before."""
    handler = logging.get_absl_handler().python_handler
    stream = handler.stream
    console = rich.console.Console(file=io.StringIO(), force_terminal=True)
    log = runlog.RunLog(tmp_path, start_step=0, total_steps=2, console=console)
    with pytest.raises(ValueError, match="picture 'val'"), log:
        log.picture(1, "val", np.zeros(3))
    log.close()
    assert handler.stream is stream


def test_the_log_survives_a_kill(tmp_path):
    """Oracle: TensorBoard's reader and the file, after a SIGKILL right after a row."""
    code = (
        "import os, signal, sys\n"
        "from fcn_jax.runs import runlog\n"
        "log = runlog.RunLog(sys.argv[1], start_step=0, total_steps=9)\n"
        "for step in (1, 2, 3):\n"
        "    log.train(step, loss=1 / step, learning_rate=1.0, wait_share=0.0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
    )
    assert done.returncode == -9
    assert [row["step"] for row in _rows(tmp_path)] == [1, 2, 3]
    assert [e.step for e in _events(tmp_path).Scalars("train/loss")] == [1, 2, 3]
