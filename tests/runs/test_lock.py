"""Tests of fcn_jax.runs.lock: other processes and files by hand are the oracles."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from fcn_jax.runs import lock, workdir
from fcn_jax.runtime import messages

WITHOUT = (
    "import errno, fcntl, os, pathlib, sys, time\n"
    "def flock(descriptor, operation):\n"
    "    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))\n"
    "fcntl.flock = flock\n"
    "from fcn_jax.runs import lock\n"
    "path = pathlib.Path(sys.argv[1])\n"
)
HOLDER = WITHOUT + "held = lock.hold(path)\nprint('held', flush=True)\ntime.sleep(60)\n"
RACER = WITHOUT + (
    "sys.stdin.read(1)\n"
    "try:\n"
    "    held = lock.hold(path)\n"
    "except lock.Held as other:\n"
    "    print('refused', flush=True)\n"
    "else:\n"
    "    print('held', flush=True)\n"
    "    time.sleep(5)\n"
)
ELSEWHERE = b"process 7 on elsewhere\nelsewhere 1234 pid:[1]\n99\n"


def _start(code, path):
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def no_flock(monkeypatch):
    """A file system without locks."""

    def flock(descriptor, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_run_begins_where_there_are_no_locks(tmp_path, monkeypatch, caplog, number):
    """Oracle: the files by hand, and the warning; the mark goes with the run."""

    def flock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with workdir.WorkDirectory.acquire(tmp_path):
        assert sorted(os.listdir(tmp_path)) == ["lock", "lock.held"]
        name = f"process {os.getpid()} on {socket.gethostname()}"
        assert (tmp_path / "lock.held").read_text().splitlines()[0] == name
        assert (tmp_path / "lock").read_text() == f"{name}\n"
        with pytest.raises(
            messages.RunError, match=f"in use by {name}, which marks it"
        ):
            workdir.WorkDirectory.acquire(tmp_path)
    assert os.listdir(tmp_path) == ["lock"]
    assert "no file locks: lock.held marks that it is in use" in caplog.text


def test_other_failures_of_a_lock_are_told(tmp_path, monkeypatch):
    """Oracle: the system's words; a broken disk is no file system without locks."""

    def flock(descriptor, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(ValueError, match="Input/output error"):
        workdir.WorkDirectory.acquire(tmp_path)


def test_another_process_is_refused_until_it_is_killed(tmp_path, no_flock):
    """Oracle: the process table."""
    path = tmp_path / "lock"
    with _start(HOLDER, path) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(lock.Held, match=f"process {holder.pid} on "):
            lock.hold(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert path.with_name("lock.held").exists()
    lock.hold(path).close()
    assert os.listdir(tmp_path) == ["lock"]


@pytest.mark.parametrize(
    "content",
    [
        ELSEWHERE,
        b"",
        b"\xff\xfe\x1b[31m",
        f"process {os.getpid()} on here\nother container\n1\n".encode(),
        b"process x on y\n",
    ],
    # Names of their own: a process number would differ between the tests' processes.
    ids=["elsewhere", "empty", "no text", "another container", "no number"],
)
@pytest.mark.parametrize("works", [True, False])
def test_a_mark_of_elsewhere_counts_until_it_is_old(
    tmp_path, monkeypatch, content, works
):
    """Oracle: the time of the file, three minutes by hand; with and without flock."""
    if not works:
        monkeypatch.setattr(lock, "_flock", lambda descriptor: False)
    path, mark = tmp_path / "lock", tmp_path / "lock.held"
    mark.write_bytes(content)
    with pytest.raises(lock.Held) as caught:
        lock.hold(path)
    assert str(caught.value).isprintable()
    assert mark.read_bytes() == content
    then = time.time() - 170
    os.utime(mark, (then, then))
    with pytest.raises(lock.Held):
        lock.hold(path)
    os.utime(mark, (then - 20, then - 20))
    lock.hold(path).close()
    assert os.listdir(tmp_path) == ["lock"]


def test_a_number_that_was_given_again_is_another_process(tmp_path, no_flock):
    """Oracle: this process's own mark with another start."""
    path, mark = tmp_path / "lock", tmp_path / "lock.held"
    held = lock.hold(path)
    *lines, _ = mark.read_text().splitlines()
    held.close()
    mark.write_text("\n".join([*lines, "1"]) + "\n")
    lock.hold(path).close()


def test_the_mark_is_touched(tmp_path, no_flock, monkeypatch):
    """Oracle: the time of the file, set back by a day."""
    monkeypatch.setattr(lock, "TOUCH_SECONDS", 0.05)
    held = lock.hold(tmp_path / "lock")
    mark = tmp_path / "lock.held"
    os.utime(mark, (0, 0))
    until = time.monotonic() + 10
    while mark.stat().st_mtime == 0 and time.monotonic() < until:
        time.sleep(0.02)
    assert time.time() - mark.stat().st_mtime < 60
    held.close()


def test_of_many_that_find_a_stale_mark_one_gets_it(tmp_path):
    """Oracle: the count of those that say they hold it."""
    path, mark = tmp_path / "lock", tmp_path / "lock.held"
    mark.write_bytes(ELSEWHERE)
    os.utime(mark, (0, 0))
    racers = [_start(RACER, path) for _ in range(4)]
    for racer in racers:
        racer.stdin.write("x")
        racer.stdin.flush()
    said = [racer.stdout.readline() for racer in racers]
    for racer in racers:
        racer.kill()
        racer.communicate()
    assert sorted(said) == ["held\n", "refused\n", "refused\n", "refused\n"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x1b]0;x\x07", b"", b"a" * 10**6])
def test_a_lock_file_of_any_bytes_is_named_or_replaced(tmp_path, content):
    """Oracle: printable text of at most a line, and the file after the next run."""
    path = tmp_path / "lock"
    path.write_bytes(content)
    holder = os.open(path, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(messages.RunError, match="is in use by") as caught:
        workdir.WorkDirectory.acquire(tmp_path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    os.close(holder)
    with workdir.WorkDirectory.acquire(tmp_path):
        assert path.read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
