"""Files and directories that appear whole or not at all."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from fcn_jax.runtime import atomic


def _break_the_disk(monkeypatch):
    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    """Oracle: the old content, and no other file."""
    atomic.write(tmp_path / "a", b"old")
    _break_the_disk(monkeypatch)
    with pytest.raises(OSError, match="Input/output error"):
        atomic.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_whole_file_takes_its_place_at_the_end(tmp_path):
    """Oracle: the content, its name while it is written, who may read it, no other."""
    path = tmp_path / "new" / "a.bin"
    with atomic.whole_file(path) as unfinished:
        unfinished.write_bytes(b"whole")
        unfinished.chmod(0o600)
        assert unfinished.name == "a.bin"
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(path.parent) == ["a.bin"]


def test_a_failed_whole_file_leaves_the_old_one(tmp_path, monkeypatch):
    """Oracle: the old content, and no other file.

    Once nothing is written under the name, once the disk fails.
    """
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), atomic.whole_file(path) as unfinished:
        unfinished.with_suffix(".half").write_bytes(b"half")
    _break_the_disk(monkeypatch)
    with pytest.raises(OSError, match="Input"), atomic.whole_file(path) as unfinished:
        unfinished.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_whole_directory_takes_its_place_at_the_end(tmp_path):
    """Oracle: its content, also in place of an empty directory, and no other."""
    for name in ("new", "empty"):
        path = tmp_path / name
        if name == "empty":
            path.mkdir()
        with atomic.whole_directory(path) as unfinished:
            (unfinished / "a").write_bytes(b"whole")
        assert (path / "a").read_bytes() == b"whole"
        assert path.stat().st_mode & 0o777 == 0o755
    assert sorted(os.listdir(tmp_path)) == ["empty", "new"]


def test_a_failed_whole_directory_leaves_nothing(tmp_path):
    """Oracle: the parent's names before; a full target stays as it was."""
    path = tmp_path / "full"
    path.mkdir()
    (path / "a").write_bytes(b"old")
    with pytest.raises(OSError, match="not empty"), atomic.whole_directory(path):
        pass
    with pytest.raises(KeyboardInterrupt), atomic.whole_directory(tmp_path / "b"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["full"]
    assert os.listdir(path) == ["a"]


KILLED = (
    "import os, pathlib, signal, sys\n"
    "from fcn_jax.runtime import atomic as files\n"
    "target = pathlib.Path(sys.argv[1])\n"
    "def kill(descriptor):\n"
    "    os.kill(os.getpid(), signal.SIGKILL)\n"
    "os.fsync = kill\n"
    "if sys.argv[2] == 'write':\n"
    "    files.write(target, b'half')\n"
    "make = files.whole_directory if sys.argv[2] == 'tree' else files.whole_file\n"
    "with make(target) as unfinished:\n"
    "    if sys.argv[2] == 'tree':\n"
    "        kill(0)\n"
    "    unfinished.write_bytes(b'half')\n"
)


def _killed(target, kind):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(target), kind],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("kind", ["tree", "file"])
def test_the_next_writer_removes_what_a_killed_one_left(tmp_path, kind):
    """Oracle: the names; what a process that still writes has begun stays."""
    target = tmp_path / "a[1]"
    make = atomic.whole_directory if kind == "tree" else atomic.whole_file
    with make(target) as other:
        _killed(target, kind)
        assert len(os.listdir(tmp_path)) == 2
        with contextlib.ExitStack() as stack:
            own = stack.enter_context(make(tmp_path / "b"))
            own.write_bytes(b"b") if kind == "file" else None
        with make(target) as unfinished:
            assert unfinished.exists() == (kind == "tree")
            if kind == "file":
                unfinished.write_bytes(b"mine")
        if kind == "tree":
            target.rmdir()
        else:
            other.write_bytes(b"other")
    assert sorted(os.listdir(tmp_path)) == ["a[1]", "b"]


def test_of_another_host_only_what_is_a_day_old_is_removed(tmp_path):
    """Oracle: the time of the directory, by hand."""
    target = tmp_path / "a"
    young, old = (tmp_path / f".a.partial-elsewhere-7-{name}" for name in ("x", "y"))
    young.mkdir()
    old.mkdir()
    os.utime(old, (time.time() - 90_000,) * 2)
    with atomic.whole_directory(target):
        pass
    assert sorted(os.listdir(tmp_path)) == [young.name, "a"]


def test_what_a_killed_write_left_is_removed_on_request(tmp_path):
    """Oracle: the names; alone everything goes, else what may be another's stays."""
    (tmp_path / "deep").mkdir()
    for name in ("a", "deep/b"):
        _killed(tmp_path / name, "write")
    others = ["c.partial-elsewhere-7", f"d.partial-{socket.gethostname()}-1"]
    for name in (*others, "kept"):
        (tmp_path / name).touch()
    atomic.remove_unfinished(tmp_path, alone=False)
    assert sorted(os.listdir(tmp_path)) == [*others, "deep", "kept"]
    assert os.listdir(tmp_path / "deep") == []
    atomic.remove_unfinished(tmp_path, alone=True)
    assert sorted(os.listdir(tmp_path)) == ["deep", "kept"]


def test_a_failed_write_names_the_file():
    """Oracle: /dev/full; the system's own error has no name."""
    with open("/dev/full", "wb", buffering=0) as full:
        with pytest.raises(OSError) as caught:
            atomic.write_all(full, b"row")
        assert (caught.value.errno, caught.value.filename) == (28, "/dev/full")
    with pytest.raises(FileNotFoundError) as missing, atomic.naming("other"):
        os.stat("/nowhere/x")
    assert missing.value.filename == "/nowhere/x"


class _Clock:
    """Stands for `time`: sleeping takes just what it should."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(
    ("writes", "ends"),
    [
        ([], 0.5),
        ([0.0], 0.5),
        ([0.0, 0.05, 0.4, 0.8], 1.3),
        (np.arange(0, 60, 0.1), 10.0),
    ],
)
def test_what_a_late_writer_makes_anew_is_removed_too(
    tmp_path, monkeypatch, writes, ends
):
    """Oracle: the directory's absence, and when the wait is over, in seconds.

    The last writer does not end within the patience.
    """
    clock = _Clock()
    monkeypatch.setattr(atomic, "time", clock)
    path, pending = tmp_path / "a", list(writes)

    def find():
        while pending and pending[0] <= clock.now:
            pending.pop(0)
            # As TensorStore writes: directories that are gone are made anew.
            (path / "d").mkdir(parents=True, exist_ok=True)
        return [path] if path.exists() else []

    atomic.remove_for_good(find)
    assert not path.exists()
    assert clock.now == pytest.approx(ends, abs=0.05)
