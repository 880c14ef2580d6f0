"""Digests of contents that are taken once, and again whenever they could be old."""

import hashlib
import os
import random

import pytest

from fcn_jax.data.folder import contents
from fcn_jax.data.folder.contents import digests


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three files, two of equal size, that were written long ago."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(contents, "_SETTLED_NS", 0)
    root = tmp_path / "data"
    root.mkdir()
    for name, text in {"a": b"one", "b": b"two", "c": b"three"}.items():
        (root / name).write_bytes(text)
    return root


def paths(folder):
    return sorted(folder.iterdir())


def expected(folder):
    return [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths(folder)]


def store(folder):
    (file,) = folder.parent.glob("cache/fcn_jax/contents/*.json")
    return file


def count_reads(monkeypatch):
    """The files that are hashed from now on."""
    read, original = [], contents._digest

    def digest(path):
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(contents, "_digest", digest)
    return read


def test_contents_are_hashed_once(folder, monkeypatch):
    """Oracle: hashlib on each file; the second time none is read."""
    read = count_reads(monkeypatch)
    assert digests(folder, paths(folder)) == expected(folder)
    assert sorted(read) == ["a", "b", "c"]
    read.clear()
    assert digests(folder, paths(folder)[1:]) == expected(folder)[1:]
    assert digests(folder, paths(folder)) == expected(folder)
    assert read == []


def swap(folder):
    (folder / "a").rename(folder / "x")
    (folder / "b").rename(folder / "a")
    (folder / "x").rename(folder / "b")


def rewrite(folder):
    (folder / "a").write_bytes(b"owt")


def replace(folder):
    (folder / "new").write_bytes(b"owt")
    (folder / "new").replace(folder / "a")


@pytest.mark.parametrize("change", [swap, rewrite, replace])
def test_changes_that_keep_size_and_time_are_seen(folder, change):
    """Oracle: hashlib; sizes and times of the last change of contents are equal."""
    for path in paths(folder):
        os.utime(path, (1e9, 1e9))
    before = digests(folder, paths(folder))
    change(folder)
    for path in paths(folder):
        os.utime(path, (1e9, 1e9))
    assert digests(folder, paths(folder)) == expected(folder) != before


def test_a_file_that_was_just_written_is_not_trusted(folder, monkeypatch):
    """Oracle: a clock of two seconds, on which another write could get the same time."""
    monkeypatch.setattr(contents, "_SETTLED_NS", 10**12)
    assert digests(folder, paths(folder)) == expected(folder)
    assert not list(folder.parent.glob("cache/fcn_jax/contents/*.json"))


def test_a_damaged_cache_is_as_good_as_none(folder):
    """Oracle: hashlib, whatever 30 random bytes of the kept file say."""
    digests(folder, paths(folder))
    whole = store(folder).read_bytes()
    chance = random.Random(0)
    for number in range(30):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        text = bytes(damaged) if number % 3 else whole[: chance.randrange(len(whole))]
        store(folder).write_bytes(text)
        assert digests(folder, paths(folder)) == expected(folder)
    store(folder).write_bytes(whole)
    assert store(folder).parent.stat().st_mode & 0o077 == 0


def test_without_a_place_for_the_cache_contents_are_hashed(folder, monkeypatch):
    """Oracle: hashlib; a file where the directory would be, and no home directory."""
    cache = folder.parent / "cache"
    cache.write_bytes(b"")
    assert digests(folder, paths(folder)) == expected(folder)
    assert cache.read_bytes() == b""

    def no_home():
        raise RuntimeError("no home directory")

    monkeypatch.setattr(contents, "cache_root", no_home)
    assert digests(folder, paths(folder)) == expected(folder)


def test_only_so_many_folders_are_kept(folder, monkeypatch):
    """Oracle: two, the newest; and what is no longer there is dropped."""
    monkeypatch.setattr(contents, "_KEPT_FOLDERS", 2)
    for name in "pqr":
        other = folder.parent / name
        other.mkdir()
        (other / "a").write_bytes(b"one")
        digests(other, [other / "a"])
    kept = list(folder.parent.glob("cache/fcn_jax/contents/*.json"))
    assert len(kept) == 2
    digests(folder, paths(folder))
    (folder / "a").unlink()
    (folder / "b").write_bytes(b"2")
    digests(folder, paths(folder))
    newest = max(
        folder.parent.glob("cache/fcn_jax/contents/*.json"), key=os.path.getmtime
    )
    assert b'"a"' not in newest.read_bytes()
    assert b'"b"' in newest.read_bytes()


def test_much_to_read_is_said_once(folder, monkeypatch, caplog):
    """Oracle: eleven bytes, then none."""
    monkeypatch.setattr(contents, "_LARGE", 10)
    with caplog.at_level("INFO", logger="absl"):
        digests(folder, paths(folder))
    assert "reading 3 files (0.0 GB) of" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", logger="absl"):
        digests(folder, paths(folder))
    assert not caplog.records


def test_a_file_that_is_gone_is_an_error(folder):
    """Oracle: the operating system's."""
    with pytest.raises(FileNotFoundError):
        digests(folder, [folder / "gone"])
