"""Files and directories that appear whole or not at all, however a program ends."""

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
    """Write a file so that, killed at any moment, it is the old one or the new one.

    Raises:
        OSError: it cannot be written; the old one is as it was.
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
    """Write to an unbuffered file; what a full disk refuses is not tried again later.

    Raises:
        OSError: it cannot be written; names the file.
    """
    with naming(file.name):
        while content:
            content = content[file.write(content) :]


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Names the file in an OSError without a name, as of a write to a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file of the same name elsewhere that takes its place when all has gone well.

    For what a library writes to a path of its own; `write` is for bytes at hand.
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
    """A directory beside `directory` that takes its place when all has gone well.

    Raises:
        OSError: there is a directory already, and it is not empty.
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
    """Remove directories again and again until they stay away for half a second.

    A failed save of Orbax leaves TensorStore's other writes running, in threads that
    nothing can be asked of; one that comes late makes its whole path anew.

    Args:
        find: lists what is there to be removed; called anew each time.
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
    """Remove what `write` left in a directory, at any depth, when it was killed.

    Args:
        directory: where to look.
        alone: nobody else writes there; else what may be another process's work stays.
    """
    for path in directory.rglob(f"*{_UNFINISHED}*"):
        owner = path.name.rpartition(_UNFINISHED)[2]
        if path.is_file() and (alone or _is_abandoned(path, owner)):
            path.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A new hidden directory on the file system of `path`, to rename from.

    Those that killed processes left are removed.
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
