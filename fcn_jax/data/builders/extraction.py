"""Safe extraction of tar and zip files.

Of what an archive says, nothing is believed but the content of its files. Names stay below
the target, links and devices are refused, sizes and numbers are bounded, and owner, time
and permissions are not taken over. The standard library reads the formats, with known
ways to be misled; every name is checked and every file written here.
"""

import errno
import gzip
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from fcn_jax.data.examples import DataError

CHUNK = 2**16  # bytes read at once, and the longest header of a tar file
MAX_MEMBERS = 200_000  # VOC 2012 has some 40,000
MAX_NAME = 255  # bytes between two slashes; file systems take no more
MAX_PATH = 1024

# What the readers of the standard library raise on damaged files.
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, ValueError, LookupError, ArithmeticError, RuntimeError),
)


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class _Member:
    """An entry of an archive: its name, what it is, and its content to be read next."""

    name: str
    kind: str  # "file", "folder", or what else it is, for messages
    size: int
    content: _Reader


def extract(
    path: Path,
    target: Path,
    *,
    limit: int,
    remedy: str,
    step: Callable[[int], None],
) -> None:
    """Write the files and directories of an archive into a directory.

    Args:
        path: the archive; .tar, .tgz, .tar.gz or .zip.
        target: a directory to which nobody else writes, without links in it.
        limit: bytes that its content must not exceed.
        remedy: ends the messages.
        step: called with the bytes of the archive that are done.

    Raises:
        DataError: for a damaged archive; a name that is absolute, has .., a backslash, a
            drive or an unprintable character; a link, device or encrypted file; a name
            given twice; more than 200,000 members, or more content than the limit.
        OSError: where a file cannot be written.
    """
    number = 0
    with path.open("rb") as raw:
        try:
            for member in _admitted(raw, path, limit, remedy):
                number += 1
                _write(member, target)
                step(raw.tell())
            step(path.stat().st_size)
        except DataError:
            raise
        except (FileExistsError, NotADirectoryError) as error:
            raise DataError(
                f"{path} is refused: it has {error.filename} more than once, or as a "
                f"file and as a directory; {remedy}"
            ) from error
        except (*_DAMAGE, OSError) as error:
            # Damaged gzip has no number; damaged zip points before the file's beginning.
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise
            raise DataError(
                f"{path} is damaged at or behind its member {number} "
                f"({type(error).__name__}: {error}); {remedy}"
            ) from error


def _admitted(raw: BinaryIO, path: Path, limit: int, remedy: str) -> Iterator[_Member]:
    """Yield the members of an archive, up to one that forbids to extract any."""
    members = _zip_members if path.suffix == ".zip" else _tar_members
    total = 0
    for number, member in enumerate(members(raw, path, limit), 1):
        total += member.size
        problem = _problem(member)
        if number > MAX_MEMBERS:
            problem = f"is more than {MAX_MEMBERS} members"
        elif total > limit:
            problem = f"makes it {total} bytes, more than {limit}"
        if problem:
            raise DataError(
                f"{path} is refused: its member {member.name[:200]!r} {problem}; {remedy}"
            )
        yield member


def _problem(member: _Member) -> str:
    """Say why a member must not be extracted; empty where it may be."""
    name = member.name
    if not name.isprintable() or "\\" in name:
        return "has a backslash or an unprintable character in its name"
    if len(name) > MAX_PATH or any(
        len(part.encode()) > MAX_NAME for part in name.split("/")
    ):
        return f"has a name of {len(name)} characters"
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "has an absolute path"
    if ".." in name.split("/"):
        return "leaves the directory with .."
    if member.kind not in ("file", "folder"):
        return f"is {member.kind}; only files and directories are extracted"
    if member.size < 0:
        return f"claims {member.size} bytes"
    return ""


def _write(member: _Member, target: Path) -> None:
    path = target / member.name
    if member.kind == "folder":
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with path.open("xb") as file:
        while left:
            chunk = member.content.read(min(left, CHUNK))
            if not chunk:
                raise EOFError(f"{member.name} ends {left} bytes early")
            file.write(chunk)
            left -= len(chunk)


def _zip_members(raw: BinaryIO, path: Path, limit: int) -> Iterator[_Member]:
    del path, limit  # a zip file says at once how much it has, and has no more
    with zipfile.ZipFile(raw) as archive:
        for info in archive.infolist():
            kind = "folder" if info.is_dir() else "file"
            if stat.S_IFMT(info.external_attr >> 16) not in (
                *(0, stat.S_IFREG, stat.S_IFDIR),
            ):
                kind = "a link or a device"
            elif info.flag_bits & 1:
                kind = "encrypted"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                kind = f"compressed by method {info.compress_type}"
            if kind not in ("file", "folder"):
                yield _Member(info.orig_filename, kind, 0, raw)
                continue
            with archive.open(info) as content:
                yield _Member(info.orig_filename, kind, info.file_size, content)


def _tar_members(raw: BinaryIO, path: Path, limit: int) -> Iterator[_Member]:
    inflated = gzip.GzipFile(fileobj=raw) if path.suffix in (".gz", ".tgz") else raw
    stream = _Forward(inflated, limit)
    with tarfile.open(fileobj=cast(Any, stream), mode="r:") as archive:
        for info in archive:
            kind = "a link, a device or the like"
            if info.isdir():
                kind = "folder"
            elif info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.sparse:
                kind = "file"
                stream.seek(info.offset_data)
            size = info.size if kind == "file" else 0
            yield _Member(info.name, kind, size, stream)
    stream.finish()


class _Forward:
    """The content of a tar file, read once from its beginning to its end.

    tarfile takes the lengths that headers state at their word: it would read a header of
    any length into memory, go back for ever after a negative one, and take a damaged
    header for the end. Here that is damage.
    """

    def __init__(self, stream: _Reader, limit: int):
        self._stream, self._limit = stream, limit
        self._position, self._last = 0, b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= CHUNK:
            raise ValueError(f"a header says that it has {size} bytes")
        parts = []
        while size and (part := self._stream.read(size)):
            parts.append(part)
            size -= len(part)
        self._last = b"".join(parts)
        self._position += len(self._last)
        if self._position > self._limit:
            raise ValueError(f"it has more than {self._limit} bytes")
        return self._last

    def seek(self, position: int) -> None:
        if position < self._position:
            raise ValueError("a header has a negative length")
        while position > self._position:
            if not self.read(min(position - self._position, CHUNK)):
                raise EOFError("it ends within a member")

    def finish(self) -> None:
        """Read the rest, so that the checksum at the end of a gzip file is compared.

        Raises:
            ValueError: where tarfile stopped at anything but the mark of the end.
        """
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise ValueError("it lacks the mark of its end, or a header is damaged")
        while self.read(CHUNK):
            pass
