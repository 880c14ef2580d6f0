"""A weight file of any format, told by what is in it and not by its name."""

from collections.abc import Callable
from pathlib import Path

from fcn_jax.convert.readers import hdf5, keras, numpy, torch
from fcn_jax.convert.readers.archive import list_members
from fcn_jax.convert.readers.caffe import read_caffemodel
from fcn_jax.convert.readers.kinds import HEAD, refuse_other_kinds
from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError
from fcn_jax.runtime.locations import located

_LONGEST_HEADER = 2**40  # of safetensors; eight bytes of text are above


def open_weights(path: str | Path) -> WeightFile:
    """Return the arrays of a .caffemodel, .pth, .safetensors, .h5, .npz or .npy file.

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
    """Return the first bytes of a file that exists and is not empty."""
    if not path.exists():
        raise WeightFileError(f"{path}: there is no such file; check the path")
    if not path.is_file():
        kind = "a directory" if path.is_dir() else "no regular file"
        raise WeightFileError(f"{path}: is {kind}; give a weight file")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise WeightFileError(f"{path}: is empty; get it again")
    return head


def _reader(path: Path, head: bytes) -> Callable[[Path], WeightFile]:
    """Return the reader for a file with these first bytes."""
    if head.startswith(hdf5.MAGIC):
        return keras.read_hdf5_weights
    if head.startswith(numpy.MAGIC):
        return numpy.read_npy
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _archive_reader(path)
    if head.startswith(torch.LEGACY_MAGIC):
        return torch.read_torch
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < _LONGEST_HEADER:
        return torch.read_safetensors
    refuse_other_kinds(path, head)
    return read_caffemodel


def _archive_reader(path: Path) -> Callable[[Path], WeightFile]:
    """Return the reader for a zip archive with these files."""
    names = list(list_members(path))
    if any(name.split("/")[-1] == "data.pkl" for name in names):
        return torch.read_torch
    if names and all(name.endswith(".npy") for name in names):
        return numpy.read_npz
    if keras.MEMBER in names:
        return keras.read_keras_archive
    if any(name.endswith(".mlmodel") for name in names):
        raise WeightFileError(
            f"{path}: is a net of Core ML; load it with coremltools and save its arrays "
            "with numpy.savez, named as Caffe's layers"
        )
    raise WeightFileError(
        f"{path}: is a zip archive with {', '.join(repr(n) for n in names[:3]) or 'no'} "
        "files, neither .npz nor of torch; unpack it and give the weight file in it"
    )
