"""Atomic writes: files and directories that appear complete or not at all."""

import contextlib
import glob
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from pathlib import Path

_UNFINISHED = ".partial-"
_ABANDONED_SECONDS = 24 * 60 * 60
_QUIET_SECONDS = 0.5
_PATIENCE_SECONDS = 10.0


def write(path: str | os.PathLike, content: bytes) -> None:
    """Write a file atomically: after a kill it is the complete old or new file.

    Raises:
        OSError: it cannot be written; the old file is unchanged.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}{_UNFINISHED}{_owner()}")
    try:
        with naming(path):
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_all(file: FileIO, content: bytes) -> None:
    """Write all bytes to an unbuffered file; nothing is left to write at its close.

    Raises:
        OSError: it cannot be written; names the file.
    """
    with naming(file.name):
        while content:
            content = content[file.write(content) :]


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Add the file's name to an OSError without one, as of a write to a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path, renamed to `path` when the block succeeds.

    For files that a library writes to a path; `write` is for bytes in memory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    directory = _beside(path)
    unfinished = directory / path.name
    try:
        yield unfinished
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.chmod(0o644)  # safetensors lets only the owner read it
        unfinished.rename(path)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def whole_directory(directory: Path) -> Iterator[Path]:
    """Give a temporary directory, renamed to `directory` when the block succeeds.

    Raises:
        OSError: the directory exists and is not empty.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _beside(directory)
    try:
        yield unfinished
        unfinished.chmod(0o755)
        if directory.is_dir():
            directory.rmdir()
        unfinished.rename(directory)
    except BaseException:
        remove_for_good(lambda: [unfinished] if unfinished.exists() else [])
        raise


def remove_for_good(find: Callable[[], Iterable[Path]]) -> None:
    """Remove directories repeatedly until none reappears for half a second.

    A failed save of Orbax leaves TensorStore's other writes running in threads that
    cannot be joined; a late write creates its directories again.

    Args:
        find: returns the directories to remove; called in each round.
    """
    now = time.monotonic()
    quiet, patience = now + _QUIET_SECONDS, now + _PATIENCE_SECONDS
    while now < min(quiet, patience):
        for path in find():
            shutil.rmtree(path, ignore_errors=True)
            quiet = now + _QUIET_SECONDS
        time.sleep(0.02)
        now = time.monotonic()


def remove_unfinished(directory: Path, *, alone: bool) -> None:
    """Remove the partial files that killed calls of `write` left in a directory tree.

    Args:
        directory: where to look.
        alone: whether no other process writes there; if False, files that another
            process may be writing stay.
    """
    for path in directory.rglob(f"*{_UNFINISHED}*"):
        owner = path.name.rpartition(_UNFINISHED)[2]
        if path.is_file() and (alone or _is_abandoned(path, owner)):
            path.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A new hidden directory on the file system of `path`, to rename from.

    Temporary directories of killed processes are removed.
    """
    prefix = f".{path.name}{_UNFINISHED}"
    for left in path.parent.glob(f"{glob.escape(prefix)}*"):
        if _is_abandoned(left, left.name.removeprefix(prefix).rpartition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{_owner()}-", dir=path.parent))


def _owner() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _is_abandoned(path: Path, owner: str) -> bool:
    """Whether the owner, HOST-PROCESS, is gone; on another host, after a day."""
    host, _, process = owner.rpartition("-")
    try:
        if host != socket.gethostname() or not process.isdecimal():
            return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
