"""Tests of fcn_jax.runs.workdir: the operating system and values by hand are the oracles."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from fcn_jax.runs import workdir
from fcn_jax.runtime import messages

HOLDER = (
    "import sys, time\n"
    "from fcn_jax.runs.workdir import WorkDirectory\n"
    "held = WorkDirectory.acquire(sys.argv[1])\n"
    "print('held', flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path / "run"."""
    search = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": search},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_acquire_creates_the_directory_and_leaves_only_the_lock(tmp_path):
    """Oracle: the list of files by hand."""
    path = tmp_path / "a" / "b"
    with workdir.WorkDirectory.acquire(path) as directory:
        assert directory.path == path
        assert directory.checkpoints == path / "checkpoints"
        assert sorted(os.listdir(path)) == ["lock"]
        text = (path / "lock").read_text()
        assert text == f"process {os.getpid()} on {socket.gethostname()}\n"


def test_what_a_killed_run_left_unfinished_goes(tmp_path):
    """Oracle: the names that writing uses; finished files stay."""
    left = ["metrics.jsonl.partial-elsewhere-9", ".probe-9.partial-9", "b.partial-9"]
    (tmp_path / "pictures").mkdir()
    for name in left:
        (tmp_path / "pictures" / name).touch()
        (tmp_path / name).touch()
    (tmp_path / "pictures" / "val.png").touch()
    with workdir.WorkDirectory.acquire(tmp_path):
        assert sorted(os.listdir(tmp_path)) == ["lock", "pictures"]
        assert os.listdir(tmp_path / "pictures") == ["val.png"]


def test_a_relative_path_becomes_absolute(tmp_path, monkeypatch):
    """Oracle: pathlib; the run may change its current directory."""
    monkeypatch.chdir(tmp_path)
    with workdir.WorkDirectory.acquire("run") as directory:
        assert directory.path == tmp_path / "run"


def test_a_directory_in_use_is_refused_at_once(tmp_path, holder):
    """Oracle: the other process's number and a clock; 20 of 20 attempts."""
    began = time.perf_counter()
    for _ in range(20):
        with pytest.raises(messages.RunError) as caught:
            workdir.WorkDirectory.acquire(tmp_path / "run")
        name = f"process {holder.pid} on {socket.gethostname()}"
        assert str(caught.value) == (
            f"the work directory {tmp_path / 'run'} is in use by {name}; wait for it,"
            " stop it, or give another --workdir"
        )
    assert time.perf_counter() - began < 2


def test_a_killed_run_does_not_block_the_next(tmp_path, holder):
    """Oracle: the operating system, which frees a dead process's lock."""
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert f"process {holder.pid} " in (tmp_path / "run" / "lock").read_text()
    with workdir.WorkDirectory.acquire(tmp_path / "run") as directory:
        assert f"process {os.getpid()} " in (directory.path / "lock").read_text()


def test_a_closed_directory_can_be_acquired_again(tmp_path):
    """Oracle: the contract; within one process too."""
    first = workdir.WorkDirectory.acquire(tmp_path)
    with pytest.raises(messages.RunError, match=f"in use by process {os.getpid()} on"):
        workdir.WorkDirectory.acquire(tmp_path)
    first.close()
    first.close()
    workdir.WorkDirectory.acquire(tmp_path).close()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("file", "File exists"),
        ("file/inside", "Not a directory"),
        ("/proc/work", "No such file or directory"),
        ("/proc/self", "No such file or directory"),
    ],
)
def test_what_cannot_be_a_work_directory_is_refused(tmp_path, path, reason):
    """Oracle: the operating system's words; /proc cannot be written, even by root."""
    (tmp_path / "file").write_text("")
    message = f"cannot be written .*{reason}.*; give another --workdir"
    with pytest.raises(ValueError, match=message):
        workdir.WorkDirectory.acquire(tmp_path / path)
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_found_before_the_run(tmp_path, monkeypatch):
    """Oracle: ENOSPC from fsync; nothing is left behind."""

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ValueError, match=r": No space left on device\)"):
        workdir.WorkDirectory.acquire(tmp_path)
    assert os.listdir(tmp_path) == []


def test_the_configuration_comes_back(tmp_path):
    """Oracle: JSON; tuples come back as lists, the old file is replaced."""
    workdir.store_config(tmp_path, {"old": 1})
    workdir.store_config(tmp_path, {"a": {"b": (1, 2.5)}, "c": None, "d": "é"})
    assert workdir.read_config(tmp_path) == {
        "a": {"b": [1, 2.5]},
        "c": None,
        "d": "é",
    }
    assert os.listdir(tmp_path) == ["config.json"]


@pytest.mark.parametrize("content", [None, "", "{", "[1]", "\x00"])
def test_a_configuration_that_cannot_be_read_is_named(tmp_path, content):
    """Oracle: the file's name in the sentence."""
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json .*another --workdir"):
        workdir.read_config(tmp_path)


CONFIG = {
    "seed": 0,
    "steps": 100,
    "data": {"canvas": (64, 64), "order": "shuffle", "limits": {}},
    "log": {"every": 10, "bar": {"on": True}},
}


def _changed(**keys):
    config = json.loads(json.dumps(CONFIG))
    for key, value in keys.items():
        *parents, last = key.split("__")
        inner = config
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    return config


@pytest.mark.parametrize(
    "current",
    [
        CONFIG,
        _changed(),
        _changed(seed=0.0),
        _changed(steps=200),
        _changed(log__every=5, log__bar={"off": 1}),
    ],
)
def test_the_same_run_may_continue(current):
    """Oracle: tuples equal lists, 1 equals 1.0, and the changeable keys by hand."""
    workdir.check_resume(CONFIG, current, ["steps", "log.*"])
    workdir.check_resume(current, CONFIG, ["steps", "log.*"])


@pytest.mark.parametrize(
    ("current", "change"),
    [
        (_changed(seed=1), "seed is 1 and was 0"),
        (_changed(seed=False), "seed is false and was 0"),
        (_changed(seed="0"), 'seed is "0" and was 0'),
        (_changed(data__canvas=[64, 65]), "data.canvas is [64, 65] and was [64, 64]"),
        (_changed(data__limits={"a": 1}), "data.limits is absent and was {}"),
        (_changed(data__new=None), "data.new is null and was absent"),
        (_changed(data="camvid"), 'data is "camvid" and was absent'),
        (_changed(stepsize=1), "stepsize is 1 and was absent"),
    ],
)
def test_another_run_is_refused(current, change):
    """Oracle: the sentence's parts by hand, in both directions."""
    with pytest.raises(ValueError, match="another configuration") as caught:
        workdir.check_resume(CONFIG, current, ["steps", "log.*"])
    assert change in str(caught.value)
    assert "only steps, log.* may change" in str(caught.value)
    assert str(caught.value).endswith("start a new run with another --workdir")
    with pytest.raises(ValueError, match="another configuration"):
        workdir.check_resume(current, CONFIG, ["steps", "log.*"])


def test_every_difference_is_named():
    """Oracle: the whole sentence by hand."""
    with pytest.raises(ValueError) as caught:
        workdir.check_resume(CONFIG, _changed(seed=1, data__order="replacement"), [])
    assert str(caught.value) == (
        "the run was started with another configuration: data.order is"
        ' "replacement" and was "shuffle", seed is 1 and was 0; nothing may change'
        " in a run, so undo the change or start a new run with another --workdir"
    )


def test_large_seeds_are_compared_exactly():
    """Oracle: 2**53 + 1 is no float64; 2.0**53 equals 2**53."""
    workdir.check_resume({"seed": 2**53}, {"seed": 2.0**53}, [])
    with pytest.raises(ValueError, match="seed is 9007199254740993 and was"):
        workdir.check_resume({"seed": 2**53}, {"seed": 2**53 + 1}, [])
