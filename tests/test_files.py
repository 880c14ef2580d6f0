"""Files and directories that appear whole or not at all."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fcn_jax import files


def _break_the_disk(monkeypatch):
    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    """Oracle: the old content, and no other file."""
    files.write(tmp_path / "a", b"old")
    _break_the_disk(monkeypatch)
    with pytest.raises(OSError, match="Input/output error"):
        files.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_whole_file_takes_its_place_at_the_end(tmp_path):
    """Oracle: the content, its name while it is written, who may read it, no other."""
    path = tmp_path / "new" / "a.bin"
    with files.whole_file(path) as unfinished:
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
    with pytest.raises(FileNotFoundError), files.whole_file(path) as unfinished:
        unfinished.with_suffix(".half").write_bytes(b"half")
    _break_the_disk(monkeypatch)
    with pytest.raises(OSError, match="Input"), files.whole_file(path) as unfinished:
        unfinished.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_whole_directory_takes_its_place_at_the_end(tmp_path):
    """Oracle: its content, also in place of an empty directory, and no other."""
    for name in ("new", "empty"):
        path = tmp_path / name
        if name == "empty":
            path.mkdir()
        with files.whole_directory(path) as unfinished:
            (unfinished / "a").write_bytes(b"whole")
        assert (path / "a").read_bytes() == b"whole"
        assert path.stat().st_mode & 0o777 == 0o755
    assert sorted(os.listdir(tmp_path)) == ["empty", "new"]


def test_a_failed_whole_directory_leaves_nothing(tmp_path):
    """Oracle: the parent's names before; a full target stays as it was."""
    path = tmp_path / "full"
    path.mkdir()
    (path / "a").write_bytes(b"old")
    with pytest.raises(OSError, match="not empty"), files.whole_directory(path):
        pass
    with pytest.raises(KeyboardInterrupt), files.whole_directory(tmp_path / "b"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["full"]
    assert os.listdir(path) == ["a"]


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
    monkeypatch.setattr(files, "time", clock)
    path, pending = tmp_path / "a", list(writes)

    def find():
        while pending and pending[0] <= clock.now:
            pending.pop(0)
            # As TensorStore writes: directories that are gone are made anew.
            (path / "d").mkdir(parents=True, exist_ok=True)
        return [path] if path.exists() else []

    files.remove_for_good(find)
    assert not path.exists()
    assert clock.now == pytest.approx(ends, abs=0.05)


KILLED = """
import os, signal, sys
from pathlib import Path
from fcn_jax import files
with getattr(files, sys.argv[1])(Path(sys.argv[2])) as unfinished:
    if sys.argv[1] == "whole_directory":
        (unfinished / "half").write_bytes(b"half")
    else:
        unfinished.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["whole_file", "whole_directory"])
def test_what_a_killed_process_left_is_removed_by_the_next(kind, tmp_path):
    """Oracle: the names beside it; what others have or still write stays."""
    path = tmp_path / "a.bin"
    command = [sys.executable, "-c", KILLED, kind, str(path)]
    subprocess.run(command, check=False)
    subprocess.run(command, check=False)
    left = [name for name in os.listdir(tmp_path) if name.startswith(".a.bin.")]
    assert len(left) == 1, "the second removes what the first has left"
    (tmp_path / ".a.bin.mine").mkdir()
    (tmp_path / ".a.bin.afile_12").write_bytes(b"no directory")
    (tmp_path / ".b.bin.12345678").mkdir()
    whole = getattr(files, kind)
    with whole(path) as first, whole(tmp_path / "a.bin") as second:
        assert first.exists() or first.parent.exists()
        assert first != second
        for unfinished in (first, second):
            if kind == "whole_file":
                unfinished.write_bytes(b"whole")
    assert sorted(os.listdir(tmp_path)) == [
        ".a.bin.afile_12",
        ".a.bin.mine",
        ".b.bin.12345678",
        "a.bin",
    ]


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    """Oracle: flock's error where a file system has none; the file is written."""

    def no_locks(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    (tmp_path / ".a.12345678").mkdir()
    with files.whole_file(tmp_path / "a") as unfinished:
        unfinished.write_bytes(b"whole")
    assert sorted(os.listdir(tmp_path)) == [".a.12345678", "a"]
