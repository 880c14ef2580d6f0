"""Zip archives of weights, whose claims are checked before anything is unpacked."""

import zipfile
from pathlib import Path

from fcn_jax.convert.readers.weight_file import MOST_ARRAYS, WeightFileError, described

_STORED_OR_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1  # bit of flag_bits

# Trained float32 values hardly compress; zeros that a net has not yet learnt do.
MOST_EXPANSION = 20
ALWAYS_ALLOWED = 2**24  # bytes


def check_expansion(path: Path, declared: int, size: int) -> None:
    """Refuse a file that would take far more memory than disk.

    Args:
        path: the file, for the message.
        declared: bytes of all arrays unpacked.
        size: bytes of the file.

    Raises:
        WeightFileError: if the arrays are over 20 times as large, beyond 16 MiB.
    """
    if declared > MOST_EXPANSION * size + ALWAYS_ALLOWED:
        raise WeightFileError(
            f"{path}: its arrays claim {declared} bytes and the file has {size}, over "
            f"{MOST_EXPANSION} times fewer; no trained weights compress like this, so "
            "it is not unpacked (get it from a source you trust)"
        )


def list_members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip archive by their names.

    Raises:
        WeightFileError: for an archive that is damaged or encrypted, names a file
            twice, has other compression than deflate, or claims more than it holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except Exception as error:
        raise damaged(path, error) from None
    members = {info.filename: info for info in infos}
    if len(infos) > 2 * MOST_ARRAYS:
        raise WeightFileError(
            f"{path}: has {len(infos)} files, more than a net has arrays; give its "
            "weights alone"
        )
    if len(members) < len(infos):
        raise WeightFileError(f"{path}: two files of the archive have the same name")
    for name, info in members.items():
        if info.flag_bits & _ENCRYPTED:
            raise WeightFileError(f"{path}, {name!r}: encrypted; decrypt the archive")
        if info.compress_type not in _STORED_OR_DEFLATED:
            raise WeightFileError(
                f"{path}, {name!r}: compressed by method {info.compress_type}; only "
                "stored and deflated files are read, so pack the archive again"
            )
    size = path.stat().st_size
    if sum(info.compress_size for info in infos) > size:
        raise WeightFileError(
            f"{path}: the files of the archive claim more than its {size} bytes; it is "
            "cut off or made to deceive (get it again from a source you trust)"
        )
    check_expansion(path, sum(info.file_size for info in infos), size)
    return members


class Members:
    """The files of an archive, opened once: its list may be longer than its files."""

    def __init__(self, path: Path):
        """Read a member of an archive that `list_members` has accepted."""
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except Exception as error:
            raise damaged(path, error) from None

    def read(self, name: str) -> bytes:
        """Return a file of the archive, its checksum compared.

        Raises:
            WeightFileError: if it is damaged.
        """
        try:
            return self._archive.read(name)
        except Exception as error:
            raise damaged(self._path, error, name) from None


def damaged(path: Path, error: Exception, name: str = "") -> WeightFileError:
    """Return the error for data that a library could not read."""
    where = f"{path}, {name!r}" if name else str(path)
    return WeightFileError(
        f"{where}: cannot be read ({described(error)}); the file is damaged or cut off, get it "
        "again"
    )
