"""Files and directories that appear whole or not at all."""

import os

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
