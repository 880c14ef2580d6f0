"""Whole runs through the command line: train, kill, continue, evaluate, refuse."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fcn_jax.checkpoints import store
from tests import signalled_runs
from tests.signalled_runs import TINY
from tests.training.commands import rows_of, run_main


@pytest.fixture(scope="module")
def finished(cache, tmp_path_factory) -> Path:
    """The work directory of a run that was never stopped."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    result = run_main(cache, TINY, f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    return workdir


def _losses(workdir: Path) -> list[tuple[int, str]]:
    return [(row["step"], repr(row["loss"])) for row in rows_of(workdir, "train")]


def _assert_same_run(workdir: Path, finished: Path) -> None:
    """Losses, scores, parameters and optimiser state, bit for bit."""
    assert _losses(workdir) == _losses(finished)
    assert rows_of(workdir, "val") == rows_of(finished, "val")
    ours = store.load(workdir, which="newest", optimizer=True)
    theirs = store.load(finished, which="newest", optimizer=True)
    assert ours.step == theirs.step == 12
    assert ours.optimizer is not None
    assert theirs.optimizer is not None
    for own, other in (
        (ours.params, theirs.params),
        (ours.optimizer, theirs.optimizer),
    ):
        assert own.keys() == other.keys()
        for path in other:
            np.testing.assert_array_equal(own[path], other[path])


@pytest.mark.slow
def test_a_run_leaves_what_the_readme_says(finished):
    """Oracle: the list of files and keys in the README and the issue's contract."""
    for name in ("config.json", "parameters.txt", "metrics.jsonl", "scores.json"):
        assert (finished / name).stat().st_size > 0
    assert list((finished / "pictures").glob("*.png"))
    assert list(finished.glob("**/events.out.tfevents*"))
    steps = [row["step"] for row in rows_of(finished, "train")]
    assert steps == list(range(1, 13))
    for row in rows_of(finished, "val"):
        for key in (
            "loss",
            "pixel_accuracy",
            "mean_accuracy",
            "mean_iu",
            "frequency_weighted_iu",
        ):
            assert row[key] >= 0
    assert [row["step"] for row in rows_of(finished, "val")] == [6, 12]
    scores = json.loads((finished / "scores.json").read_text())
    assert scores["step"] == 12
    assert len(scores["per_class_iu"]) == len(scores["support"]) == 3
    assert scores["definition"]["absent_classes"] == "script"
    first, *others = rows_of(finished, "train")
    assert first["loss"] == pytest.approx(np.log(3), rel=1e-5)
    seconds = first["first_update_seconds"]
    assert 0 < seconds["compilation"] < seconds["total"] - seconds["start_up"]
    assert not any("first_update_seconds" in row for row in others)


@pytest.mark.slow
def test_a_killed_run_continues_bit_for_bit(cache, finished, tmp_path):
    """Oracle: the run that was never stopped."""
    workdir = tmp_path / "killed"
    command = [sys.executable, "-m", "fcn_jax.main", TINY, f"--workdir={workdir}"]
    rng = random.Random(4)
    metrics = workdir / "metrics.jsonl"
    for target in (1, 4, 8, 11):
        with subprocess.Popen(
            command,
            env=signalled_runs.environment(cache),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            until = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < until:
                if metrics.exists() and metrics.read_text().count("train") >= target:
                    break
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
    result = run_main(cache, TINY, f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    _assert_same_run(workdir, finished)


@pytest.mark.slow
def test_a_run_that_signals_end_continues_bit_for_bit(cache, finished, tmp_path):
    """Oracle: the run that was never stopped; three signals to the process group."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    signals = [
        (number, (rows, 0.1)) for number, rows in zip(numbers, (0, 3, 4), strict=True)
    ]
    found = signalled_runs.chain(
        tmp_path / "run", finished, signals, signalled_runs.environment(cache)
    )
    assert found == [""] * len(found)
    assert found


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_falls_back_loudly(cache, finished, tmp_path):
    """Oracle: the run that was never damaged."""
    workdir = tmp_path / "damaged"
    short = run_main(cache, TINY, f"--workdir={workdir}", "--config.steps=9")
    assert short.returncode == 0, short.stderr
    newest = workdir / "checkpoints" / "9"
    victim = max(
        (file for file in newest.rglob("*") if file.is_file()),
        key=lambda file: file.stat().st_size,
    )
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(bytes(content))
    result = run_main(cache, TINY, f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    assert "9" in result.stderr
    assert "damaged" in result.stderr
    # The short run evaluated at its last step, 9, too; the whole one did not.
    assert _losses(workdir) == _losses(finished)


@pytest.mark.slow
def test_features_computed_again_give_the_same_losses(cache, finished, tmp_path):
    """Oracle: the run that kept them; the flag for GPUs changes nothing on a CPU."""
    result = run_main(
        cache,
        TINY,
        f"--workdir={tmp_path / 'run'}",
        "--config.steps=4",
        "--config.rematerialize=True",
        "--config.deterministic=True",
    )
    assert result.returncode == 0, result.stderr
    expected = [row["loss"] for row in rows_of(finished, "train")][:4]
    found = [row["loss"] for row in rows_of(tmp_path / "run", "train")]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    resumed = run_main(cache, TINY, f"--workdir={tmp_path / 'run'}")
    assert resumed.returncode == 2
    assert "rematerialize" in resumed.stderr


@pytest.mark.slow
def test_resuming_refuses_what_alters_the_trajectory(cache, finished):
    """Oracle: the rule; the sentence names the key and both values."""
    result = run_main(
        cache, TINY, f"--workdir={finished}", "--config.optimizer.learning_rate=0.5"
    )
    assert result.returncode == 2
    assert "learning_rate" in result.stderr
    assert "0.5" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_finished_run_has_nothing_to_do(cache, finished):
    """Oracle: status 0, and not a file changed."""
    before = {f: f.read_bytes() for f in finished.rglob("*.json*") if f.is_file()}
    for options in ((), ("--config.steps=6",)):
        result = run_main(cache, TINY, f"--workdir={finished}", *options)
        assert result.returncode == 0, result.stderr
        assert "nothing to do" in result.stderr
    assert before == {f: f.read_bytes() for f in before}


@pytest.mark.slow
def test_the_first_loss_stands_beside_that_of_equal_scores(cache, tmp_path):
    """Oracle: ln 3 = 1.0986."""
    result = run_main(cache, TINY, f"--workdir={tmp_path / 'run'}", "--config.steps=1")
    assert result.returncode == 0, result.stderr
    assert "1.0986 per pixel; equal scores give 1.0986" in result.stderr
    assert re.search(
        r"first update \(step 1\) after \d+\.\d s \(start-up \d+\.\d, compilation",
        result.stderr,
    )


@pytest.mark.slow
def test_evaluation_alone_repeats_the_scores_of_the_run(cache, finished, tmp_path):
    """Oracle: the last evaluation of the run, with other batches and devices."""
    best = store.load(finished)
    expected = next(r for r in rows_of(finished, "val") if r["step"] == best.step)
    for options in (
        ("--config.evaluation.batch_size=1", "--config.devices=1"),
        ("--config.evaluation.batch_size=4", "--config.devices=2"),
    ):
        result = run_main(
            cache,
            TINY,
            "--mode=evaluate",
            f"--checkpoint={finished}",
            f"--workdir={tmp_path / 'scores'}",
            *options,
        )
        assert result.returncode == 0, result.stderr
        assert "first batch after" in result.stderr
        scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
        for key in ("pixel_accuracy", "mean_accuracy", "mean_iu"):
            assert scores[key] == expected[key]
        assert scores["loss"] == pytest.approx(expected["loss"], rel=1e-5)


@pytest.mark.slow
def test_scores_of_another_split_have_a_file_of_their_own(cache, finished, tmp_path):
    """Oracle: bytes of the run's own scores.json, and counts of the splits' images."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    own = (run / "scores.json").read_bytes()
    result = run_main(
        cache, TINY, "--mode=evaluate", "--split=train", f"--workdir={run}"
    )
    assert result.returncode == 0, result.stderr
    assert (run / "scores.json").read_bytes() == own
    assert {path.name for path in run.glob("scores*")} == {
        "scores.json",
        "scores_train.json",
    }
    trained, scored = (
        json.loads((run / name).read_text())
        for name in ("scores_train.json", "scores.json")
    )
    assert (trained["data"], trained["split"]) == ("synthetic", "train")
    assert (scored["data"], scored["split"]) == ("synthetic", "val")
    assert trained["fingerprint"] != scored["fingerprint"]
    assert sum(trained["support"].values()) > sum(
        scored["support"].values()
    )  # 10 images, and 5


@pytest.mark.slow
def test_a_refused_rate_is_put_right_in_the_same_directory(cache, finished, tmp_path):
    """Oracle: the first row of the run whose rate was right from the start."""
    command = [TINY, f"--workdir={tmp_path}", "--config.steps=1"]
    wrong = run_main(cache, *command, "--config.optimizer.learning_rate=1e-10")
    assert wrong.returncode == 2
    right = run_main(cache, *command)
    assert right.returncode == 0, right.stderr
    assert _losses(tmp_path) == _losses(finished)[:1]


@pytest.mark.slow
def test_a_checkpoint_of_other_classes_is_refused(cache, finished, tmp_path):
    """Oracle: the class counts of data and checkpoint, both named."""
    result = run_main(
        cache,
        TINY,
        "--mode=evaluate",
        f"--checkpoint={finished}",
        f"--workdir={tmp_path}",
        "--config.synthetic.classes=5",
    )
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert "'semantic': 3" in last
    assert "'semantic': 5" in last


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(cache, tmp_path):
    """Oracle: the planted divergence; the last good checkpoint stays."""
    workdir = tmp_path / "diverged"
    result = run_main(
        cache,
        TINY,
        f"--workdir={workdir}",
        "--config.optimizer.learning_rate=1e18",
        "--config.checks.learning_rate=False",
        "--config.checkpoint.every=1",
    )
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert "not finite" in last
    assert "trunk." in last or "head." in last
    for array in store.load(workdir, which="newest").params.values():
        assert np.isfinite(array).all()
