"""Runs of a chain, one or two at a time; the programs here write scores and train nothing."""

import json
import sys
import time

import pytest

from fcn_jax.chains import running
from fcn_jax.chains.children import core_shares
from fcn_jax.chains.runs import plan, standing
from fcn_jax.runtime.processors import usable_cores
from tests.chains.made import chain, finish, stage
from tests.chains.test_children import WAITING

PROGRAM = """
import json, pathlib, sys
config = json.loads(pathlib.Path(sys.argv[1]).read_text())
directory = pathlib.Path(sys.argv[2])
if "{bad}" in sys.argv[2]:
    print("error: it cannot be trained")
    sys.exit(2)
directory.mkdir(parents=True, exist_ok=True)
(directory / "config.json").write_text(json.dumps(config))
with (directory / "metrics.jsonl").open("a") as rows:
    row = {{"step": config["steps"], "split": "val", "{metric}": 0.5}}
    rows.write(json.dumps(row) + "\\n")
"""


@pytest.fixture
def programs(monkeypatch):
    """Replaces the programs; returns a function that says which ones fail, and how."""

    def replace(bad: str = "nothing fails", metric: str = "mean_iu") -> None:
        code = PROGRAM.format(bad=bad, metric=metric)

        def training(run):
            files = [str(run.config_file), str(run.directory)]
            return [sys.executable, "-c", code, *files]

        def testing(run):
            text = json.dumps({"mean_iu": 0.25})
            write = f"open({str(run.test_file)!r}, 'w').write({text!r})"
            return [sys.executable, "-c", write, "--mode=evaluate"]

        monkeypatch.setattr(running, "training_command", training)
        monkeypatch.setattr(running, "test_command", testing)

    return replace


CHAIN = chain(
    stage("trunk", (7,)),
    stage("other", (0, 1)),
    stage("first", (0, 1), init_from="trunk"),
    stage("second", (0, 1), init_from="first", test_split="test"),
)


def _starts(directory):
    lines = (directory / running.STARTS).read_text().splitlines()
    return [(row["run"], row["what"], row["end"]) for row in map(json.loads, lines)]


def test_every_run_is_made_once(programs, tmp_path):
    """Oracle: the order by hand; the second time nothing is started."""
    programs()
    runs, failures = plan(CHAIN, tmp_path), {}
    running.run_all(runs, tmp_path, failures)
    assert failures == {}
    seconds = [
        (f"second/seed{k}", what, "done")
        for k in (0, 1)
        for what in ("train", "evaluate")
    ]
    made = _starts(tmp_path)
    assert made[0] == ("trunk/seed7", "train", "done")
    assert [row for row in made if row[0].startswith("second")] == seconds
    assert len(made) == 9
    assert all(standing(run).finished for run in runs)
    running.run_all(runs, tmp_path, failures)
    assert len(_starts(tmp_path)) == 9


def test_two_runs_at_a_time(programs, tmp_path):
    """Oracle: every run once, each after its start, and cores by halves."""
    programs()
    runs, failures = plan(CHAIN, tmp_path), {}
    running.run_all(runs, tmp_path, failures, jobs=2)
    assert failures == {}
    assert all(standing(run).finished for run in runs)
    made = _starts(tmp_path)
    assert len(made) == len(set(made)) == 9
    order = [name for name, what, _ in made if what == "train"]
    for run in runs:
        if run.start is not None:
            assert order.index(run.start.name) < order.index(run.name)
    lines = (tmp_path / running.STARTS).read_text().splitlines()
    cores = [json.loads(line)["cores"] for line in lines]
    shares = {len(part) or usable_cores() for part in core_shares(2)}
    assert set(cores) <= shares


def test_two_runs_at_a_time_do_run_at_the_same_time(monkeypatch, tmp_path):
    """Oracle: each of two programs waits for the other's file, and both end."""
    names = ("other/seed0", "other/seed1")

    def training(run):
        own, other = (tmp_path / name.replace("/", "_") for name in _both(run.name))
        code = (
            f"import pathlib, time\npathlib.Path({str(own)!r}).touch()\n"
            f"while not pathlib.Path({str(other)!r}).exists(): time.sleep(0.02)"
        )
        return [sys.executable, "-c", code]

    def _both(name):
        return (name, names[1 - names.index(name)])

    monkeypatch.setattr(running, "training_command", training)
    failures = {}
    running.run_all(plan(CHAIN, tmp_path, ("other",)), tmp_path, failures, jobs=2)
    assert all("ended without scores" in problem for problem in failures.values())
    assert len(failures) == 2


def test_an_error_of_the_command_ends_the_other_run(monkeypatch, tmp_path):
    """Oracle: a program that saves at SIGTERM, beside a run whose file cannot be written."""
    log = tmp_path / "other" / "seed0.log"

    def training(run):
        if run.seed == 0:
            return [sys.executable, "-c", WAITING]
        while not (log.exists() and "ready\n" in log.read_text()):
            time.sleep(0.02)
        raise OSError("the disk is full")

    monkeypatch.setattr(running, "training_command", training)
    with pytest.raises(OSError, match="disk is full"):
        running.run_all(plan(CHAIN, tmp_path, ("other",)), tmp_path, {}, jobs=2)
    assert log.read_text() == "ready\nsaved\n"


def test_what_a_failure_ends(programs, tmp_path, caplog):
    """Oracle: by hand: the runs that start from it, and no other; then all goes on."""
    programs(bad="first/seed0")
    runs, failures = plan(CHAIN, tmp_path), {}
    running.run_all(runs, tmp_path, failures)
    assert failures == {
        "first/seed0": "it cannot be trained",
        "second/seed0": "first/seed0, from which it starts, failed",
    }
    finished = {run.name for run in runs if standing(run).finished}
    assert finished == {run.name for run in runs} - failures.keys()
    assert "first/seed0 failed: it cannot be trained" in caplog.text
    programs()
    failures = {}
    running.run_all(runs, tmp_path, failures)
    assert failures == {}
    assert _starts(tmp_path)[-3:] == [
        ("first/seed0", "train", "done"),
        ("second/seed0", "train", "done"),
        ("second/seed0", "evaluate", "done"),
    ]


def test_a_metric_that_the_scores_lack_is_a_failure(programs, tmp_path):
    """Oracle: the name that the program writes; also where the run was finished."""
    programs(metric="top1")
    runs = plan(CHAIN, tmp_path, ("trunk",))
    for _ in range(2):
        failures = {}
        running.run_all(runs, tmp_path, failures)
        assert "has no score 'mean_iu'; " in failures["trunk/seed7"]


def test_a_program_without_scores_is_a_failure(monkeypatch, tmp_path):
    """Oracle: a program that does nothing."""
    nothing = [sys.executable, "-c", ""]
    monkeypatch.setattr(running, "training_command", lambda run: nothing)
    failures = {}
    running.run_all(plan(CHAIN, tmp_path, ("trunk",)), tmp_path, failures)
    assert "ended without scores" in failures["trunk/seed7"]


def test_the_directory_of_another_run_is_left_alone(programs, tmp_path):
    """Oracle: nothing is started, and its files stay."""
    programs()
    (run,) = plan(CHAIN, tmp_path, ("trunk",))
    finish(run, {6: 0.1})
    changed = stage("trunk", (7,))
    with changed.config.unlocked():
        changed.config.batch_size = 4
    failures = {}
    running.run_all(plan(chain(changed), tmp_path), tmp_path, failures)
    assert "batch_size is 4 and was 2" in failures["trunk/seed7"]
    assert not (tmp_path / running.STARTS).exists()


def test_the_commands(tmp_path):
    """Oracle: the command line of `main`, by hand."""
    _, _, run = plan(CHAIN, tmp_path, ("second",), (1,))
    at = tmp_path / "second" / "seed1"
    words = ["-m", "fcn_jax.main", f"--config={at}.json", f"--workdir={at}"]
    assert running.training_command(run) == [sys.executable, *words]
    more = ["--mode=evaluate", "--split=test"]
    assert running.test_command(run) == [sys.executable, *words, *more]


def test_what_is_left_is_described(tmp_path):
    """Oracle: the work directories, by hand."""
    runs = plan(CHAIN, tmp_path, ("second",), (1,))
    finish(runs[0], {12: 0.5})
    finish(runs[1], {6: 0.5})
    finish(runs[2], {12: 0.5})
    lines = running.described(runs).splitlines()
    assert lines[0] == "trunk/seed7: finished"
    assert lines[1] == "first/seed1: 6 of 12 updates, from trunk/seed7"
    assert lines[2].endswith(f"--workdir={tmp_path}/first/seed1")
    assert lines[3] == "second/seed1: trained; test is to be scored, from first/seed1"
    assert lines[4].endswith("--mode=evaluate --split=test")
    assert len(lines) == 5
