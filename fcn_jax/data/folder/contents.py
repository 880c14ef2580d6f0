"""Digests of the contents of files, cached in the user's cache directory.

A file counts as unchanged while its size, its times and its number on the disk are what
they were; a change of names changes one of its times. What is kept may be lost or
damaged at any moment: it is taken again.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from fcn_jax.data.tools.scan import scan
from fcn_jax.runtime import atomic
from fcn_jax.runtime.compilation import cache_root

Stamp = tuple[int, int, int, int]
"""Size, inode, and the times of the last change of contents and of the file, in ns."""

_SETTLED_NS = 2 * 10**9
_BLOCK = 2**20
_KEPT_FOLDERS = 64
_LARGE = 2**31  # bytes from which on reading is logged


def digests(folder: Path, paths: Sequence[Path]) -> list[str]:
    """The SHA-256 of the contents of files, in hexadecimal.

    Args:
        folder: the directory that they lie in, under which digests are kept.
        paths: of the files.

    Raises:
        OSError: a file cannot be read.
    """
    store = _store(folder)
    known = _load(store)
    names = [path.relative_to(folder).as_posix() for path in paths]
    # Taken before the contents are read, so that a later change is noticed.
    stamps = dict(
        zip(names, scan(lambda name: _stamp(folder / name), names), strict=True)
    )
    old = {
        name: entry[4]
        for name, stamp in stamps.items()
        if (entry := known.get(name)) is not None and tuple(entry[:4]) == stamp
    }
    new = [name for name in stamps if name not in old]
    size = sum(stamps[name][0] for name in new)
    if size > _LARGE:
        logging.info(
            "reading %d files (%.1f GB) of %s once, for the digest of their contents",
            *(len(new), size / 1e9, folder),
        )
    found = dict(zip(new, scan(lambda name: _digest(folder / name), new), strict=True))
    settled = {
        name: [*stamps[name], own]
        for name, own in found.items()
        if _is_settled(stamps[name])
    }
    if settled:
        there = {name: own for name, own in known.items() if (folder / name).exists()}
        _save(store, {**there, **settled})
    taken = old | found
    return [taken[name] for name in names]


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def _is_settled(stamp: Stamp) -> bool:
    """Whether a change from now on would get another time, on coarse clocks too."""
    return max(stamp[2:]) < time.time_ns() - _SETTLED_NS


def _store(folder: Path) -> Path | None:
    """Path of the cached digests of a folder; None without a home directory."""
    try:
        root = cache_root()
    except RuntimeError:
        return None
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:32]
    return root / "contents" / f"{name}.json"


def _load(store: Path | None) -> dict[str, list]:
    """The cached digests; empty if the checksum of the cache file is wrong."""
    if store is None:
        return {}
    try:
        checksum, _, text = store.read_bytes().partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != checksum:
            return {}
        return json.loads(text)
    except (OSError, ValueError):
        return {}


def _save(store: Path | None, entries: dict[str, list]) -> None:
    if store is None:
        return
    text = json.dumps(entries).encode()
    try:
        # Compiled programs lie beside it: nobody else may write there.
        store.parents[1].mkdir(mode=0o700, parents=True, exist_ok=True)
        store.parent.mkdir(mode=0o700, exist_ok=True)
        atomic.write(store, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        kept = sorted(store.parent.glob("*.json"), key=lambda own: own.stat().st_mtime)
        for old in kept[:-_KEPT_FOLDERS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        logging.debug("digests of contents are not kept (%s)", error)
