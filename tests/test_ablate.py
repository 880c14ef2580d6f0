"""The command that runs a chain; real runs of seconds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fcn_jax import ablate
from fcn_jax.checkpoints import store
from fcn_jax.runs import lock
from tests import signalled_runs
from tests.chains import tiny_chain

CHAIN = str(Path(tiny_chain.__file__))
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The environment of quick runs that share what they compile."""
    return signalled_runs.environment(tmp_path_factory.mktemp("compiled"))


def _command(*arguments: str, config: str = CHAIN) -> list[str]:
    words = [f"--config={config}", *arguments]
    return [sys.executable, "-m", "fcn_jax.ablate", *words]


def _ablate(own, *arguments: str, config: str = CHAIN):
    return subprocess.run(
        _command(*arguments, config=config), env=own, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def whole(own, tmp_path_factory):
    """The directory of the whole chain, and what the command said."""
    directory = tmp_path_factory.mktemp("chain") / "whole"
    return directory, _ablate(own, f"--workdir={directory}")


@pytest.mark.slow
def test_a_chain_runs_to_its_table(whole):
    """Oracle: the files of each run; the start of a network is another's last."""
    directory, done = whole
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == (directory / "table.md").read_text()
    assert "| scratch | mean_iu, train | 0." in done.stdout
    numbers = json.loads((directory / "results.json").read_text())
    counts = {stage["name"]: stage["count"] for stage in numbers["stages"]}
    assert counts == {"trunk": 1, "scratch": 2, "pretrained": 2, "few": 1}
    for stage in numbers["stages"]:
        for run in stage["runs"]:
            test = "scores.json" if stage["name"] == "trunk" else "scores_train.json"
            file = Path(run["workdir"]) / test
            assert run["score"] == json.loads(file.read_text())["mean_iu"]
            assert [step for step, _ in run["evaluations"]] == [3, 6]
            assert run["seconds"] > 0
    assert (directory / "curves.png").stat().st_size > 10_000
    origins = (directory / "pretrained" / "seed1" / "parameters.txt").read_text()
    assert str(directory / "trunk" / "seed7") in origins
    seeds = [store.load(directory / "scratch" / f"seed{k}").params for k in (0, 1)]
    kernel = "trunk.conv1_1.kernel"
    assert (seeds[0][kernel] != seeds[1][kernel]).any()


@pytest.mark.slow
def test_a_finished_chain_is_not_repeated(whole, own):
    """Oracle: no program is started, and the table is the same."""
    directory, done = whole
    starts = (directory / "starts.jsonl").read_bytes()
    again = _ablate(own, f"--workdir={directory}")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert (directory / "starts.jsonl").read_bytes() == starts
    lines = [line for line in again.stderr.splitlines() if "finished before" in line]
    assert len(lines) == 6


@pytest.mark.slow
def test_a_chain_that_a_signal_ends_continues(whole, own, tmp_path):
    """Oracle: the same run of the whole chain, bit for bit."""
    run = tmp_path / "scratch" / "seed0"
    arguments = (f"--workdir={tmp_path}", "--arms=scratch", "--seeds=0")
    with subprocess.Popen(
        _command(*arguments),
        env=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until = time.monotonic() + 300
        while not signalled_runs.logged(run):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=300)[1]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert said.splitlines()[-1].startswith("stopped: SIGTERM: nothing is lost")
    done = _ablate(own, *arguments)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "starts.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["end"] for row in rows] == ["stopped", "done", "done"]
    assert signalled_runs.check_same(run, whole[0] / "scratch" / "seed0") == ""


@pytest.mark.slow
def test_a_stage_that_fails_leaves_the_others(own, tmp_path):
    """Oracle: by hand: the limit of its data, what starts from it, and one that runs."""
    done = _ablate(
        own,
        f"--workdir={tmp_path}",
        "--arms=pretrained,few",
        "--seeds=0",
        config=f"{CHAIN}:bad",
    )
    assert done.returncode == 1
    assert (
        "- trunk/seed7: config.data.limit is 999, and the split has 10" in done.stdout
    )
    assert (
        "- pretrained/seed0: trunk/seed7, from which it starts, failed" in done.stdout
    )
    assert "| few | mean_iu, train | 0." in done.stdout


def test_what_is_left_is_said_and_nothing_written(tmp_path, capsys):
    """Oracle: the runs by hand; the directory does not appear."""
    directory = tmp_path / "chain"
    arguments = [f"--config={CHAIN}", f"--workdir={directory}", "--dry-run"]
    assert ablate.main([*arguments, "--arms=pretrained", "--seeds=5,6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == [
        "trunk/seed7: 0 of 6 updates",
        "pretrained/seed5: 0 of 6 updates, from trunk/seed7",
        "pretrained/seed6: 0 of 6 updates, from trunk/seed7",
    ]
    assert all(" -m fcn_jax.main --config=" in line for line in lines[1::2])
    assert not directory.exists()


def test_a_report_of_nothing(tmp_path, capsys):
    """Oracle: the stages that were asked for have a row; nothing runs."""
    arguments = [f"--config={CHAIN}", f"--workdir={tmp_path}", "--arms=few"]
    assert ablate.main([*arguments, "--report"]) == 0
    text = capsys.readouterr().out
    assert "| few | mean_iu, train | - | - | - | 0 of 1 | 6 | - |" in text
    assert "scratch" not in text.partition("Mean,")[0]
    assert not (tmp_path / "few").exists()
    missing = [f"--config={CHAIN}", f"--workdir={tmp_path}/x", "--report"]
    with pytest.raises(ValueError, match="x is not there, so there is nothing to repo"):
        ablate.main(missing)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config=nothing"], "there is no chain nothing"),
        ([], "the following arguments are required: --config"),
        ([f"--config={CHAIN}", "--arms=fewer"], "did you mean few"),
        ([f"--config={CHAIN}", "--arms=a,,b"], "--arms is 'a,,b'; give names"),
        ([f"--config={CHAIN}", "--seeds=1,1"], "--seeds is '1,1'; give different"),
        ([f"--config={CHAIN}", "--seeds=x"], "--seeds is 'x'; give different whole"),
        ([f"--config={CHAIN}", "--jobs=0"], "--jobs is 0; it must be 1 or more"),
        ([f"--config={CHAIN}", "--workdir="], "--workdir is given and empty"),
        ([f"--config={CHAIN}", "--workdir=/proc/x"], "/proc/x cannot be written"),
        (
            ["--config=transfer:kitti"],
            "transfer:kitti does not exist; write transfer:c",
        ),
    ],
)
def test_mistakes_are_a_sentence(arguments, words):
    """Oracle: the rules of the help; the exit status of ValueError is 2."""
    with pytest.raises(ValueError, match=words):
        ablate.main(arguments)


def test_one_command_at_a_time(tmp_path):
    """Oracle: the lock that another process would hold; a report does not wait."""
    held = lock.hold(tmp_path / "lock")
    try:
        assert (
            ablate.main([f"--config={CHAIN}", f"--workdir={tmp_path}", "--report"]) == 0
        )
        with pytest.raises(RuntimeError, match=f"is run by process {os.getpid()}"):
            ablate.main([f"--config={CHAIN}", f"--workdir={tmp_path}"])
    finally:
        held.close()


def test_jobs_reach_the_runner(tmp_path, monkeypatch):
    """Oracle: the number of the command line."""
    seen = []
    monkeypatch.setattr(ablate, "run_all", lambda *given: seen.append(given[-1]))
    words = [f"--config={CHAIN}", f"--workdir={tmp_path}"]
    ablate.main([*words, "--jobs=3"])
    ablate.main(words)
    assert seen == [3, 1]


def test_help_says_what_it_does():
    """Oracle: the words of the page; jax is not needed for it."""
    code = (
        "import sys, fcn_jax.ablate\n"
        "assert not {'jax', 'flax', 'optax', 'orbax'} & set(sys.modules)\n"
        "fcn_jax.ablate.main(['--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    for words in ("--dry-run", "transfer.py:camvid", "exit status is 1"):
        assert words in done.stdout
