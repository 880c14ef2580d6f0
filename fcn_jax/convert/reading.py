"""A weight file of any format, told by what is in it and not by its name."""

import re
from collections.abc import Callable
from pathlib import Path

from fcn_jax.convert import keras, numpy, torch
from fcn_jax.convert.archive import list_members
from fcn_jax.convert.caffe import read_caffemodel
from fcn_jax.convert.foreign import Foreign, WeightFileError
from fcn_jax.locations import located

_HEAD = 4096  # bytes; what is looked at
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|!--|\w+[\s>])", re.I)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_LFS = b"version https://git-lfs"
_FORMATS = (
    (b"\x1f\x8b", "a gzip archive; unpack it and give the weight file in it"),
    (b"BZh", "a bzip2 archive; unpack it and give the weight file in it"),
    (b"\xfd7zXZ\x00", "an xz archive; unpack it and give the weight file in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and give the weight file in it"),
    (b"Rar!", "a rar archive; unpack it and give the weight file in it"),
)
_LONGEST_HEADER = 2**40  # of safetensors; eight bytes of text are above
_TAR = (257, b"ustar")


def open_weights(path: str | Path) -> Foreign:
    """The arrays of a .caffemodel, .pth, .safetensors, .h5, .npz or .npy file.

    Args:
        path: the file; its name does not matter.

    Raises:
        WeightFileError: for a file that is not there, is no weight file, is damaged or
            is made to deceive, with what is wrong, where, and the remedy.
    """
    path = Path(path)
    try:
        path = Path(located(path))
        return _reader(path, _read_head(path))(path)
    except (OSError, RuntimeError) as error:
        raise WeightFileError(
            f"{path}: cannot be read ({error}); check the path and "
            "the file's permissions"
        ) from None


def _read_head(path: Path) -> bytes:
    """The first bytes of a file that exists and is not empty."""
    if not path.exists():
        raise WeightFileError(f"{path}: there is no such file; check the path")
    if not path.is_file():
        kind = "a directory" if path.is_dir() else "no regular file"
        raise WeightFileError(f"{path}: is {kind}; give a weight file")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise WeightFileError(f"{path}: is empty; get it again")
    return head


def _reader(path: Path, head: bytes) -> Callable[[Path], Foreign]:
    """The reader for a file with these first bytes."""
    if head.startswith(keras.MAGIC):
        return keras.read_keras
    if head.startswith(numpy.MAGIC):
        return numpy.read_npy
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _archive_reader(path)
    if head.startswith(torch.LEGACY_MAGIC):
        return torch.read_torch
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < _LONGEST_HEADER:
        return torch.read_safetensors
    problem = _foreign_problem(head)
    if problem:
        raise WeightFileError(f"{path}: is {problem}")
    return read_caffemodel


def _foreign_problem(head: bytes) -> str:
    """What a file that is no weight file is, and the remedy; "" if unknown."""
    if head.startswith(_LFS):
        return (
            "a Git LFS pointer, not the weights that it points to; fetch them with "
            "`git lfs pull`"
        )
    if _PAGE.match(head):
        return (
            "a web page or XML, not weights, as servers send it for an error or a "
            "confirmation; download it again and compare its size"
        )
    for magic, what in _FORMATS:
        if head.startswith(magic):
            return what
    if head[_TAR[0] :].startswith(_TAR[1]):
        return "a tar archive; unpack it and give the weight file in it"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return (
            "a bare pickle, which may run code and is not read; save the arrays with "
            "numpy.savez or torch.save of model.state_dict()"
        )
    if not _CONTROL.search(head):
        return (
            "text, not weights, perhaps a net's definition; give the file with its "
            "trained values"
        )
    return ""


def _archive_reader(path: Path) -> Callable[[Path], Foreign]:
    """The reader for a zip archive with these files."""
    names = list(list_members(path))
    if any(name.split("/")[-1] == "data.pkl" for name in names):
        return torch.read_torch
    if names and all(name.endswith(".npy") for name in names):
        return numpy.read_npz
    if "model.weights.h5" in names:
        raise WeightFileError(
            f"{path}: is an archive of Keras 3; unpack it and give its model.weights.h5"
        )
    raise WeightFileError(
        f"{path}: is a zip archive with {', '.join(repr(n) for n in names[:3]) or 'no'} "
        "files, neither .npz nor of torch; unpack it and give the weight file in it"
    )
