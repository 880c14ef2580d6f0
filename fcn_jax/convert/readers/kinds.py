"""Files that are no weight files of a kind that is read: what they are, and what to do."""

import re
from collections.abc import Iterable
from pathlib import Path

from fcn_jax.convert.readers.weight_file import WeightFileError
from fcn_jax.convert.readers.wire import BYTES, VARINT, Field, Wire

HEAD = 4096
"""Bytes of a file's beginning that are looked at."""

_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|!--|\w+[\s>])", re.I)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")

_UNPACK = "unpack it and give the weight file in it"
_NUMPY = (
    "load it with the program that wrote it and save its arrays with numpy.savez, named "
    "as Caffe's or torchvision's layers"
)
_BEGINNINGS = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the weights that it points to; fetch them with "
        "`git lfs pull`",
    ),
    (b"\x1f\x8b", f"a gzip archive; {_UNPACK}"),
    (b"BZh", f"a bzip2 archive; {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"an xz archive; {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive; {_UNPACK}"),
    (b"Rar!", f"a rar archive; {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"a zstandard archive; {_UNPACK}"),
    (
        b"MATLAB 5.0 MAT-file",
        "a MATLAB file, as MatConvNet's nets are; load it with scipy.io.loadmat and save "
        "its arrays with numpy.savez, named as Caffe's layers",
    ),
    (
        b"MATLAB 7.3 MAT-file",
        "a MATLAB file of version 7.3; load it in MATLAB or with h5py and save its arrays "
        "with numpy.savez, named as Caffe's layers",
    ),
    (b"GGUF", f"a GGUF file of llama.cpp; {_NUMPY}"),
    (b"ncnn", f"a file of ncnn; {_NUMPY}"),
    (b"\x12\x01\x00\x00\x00\x00\x00\x00", f"a file of MXNet; {_NUMPY}"),
)
_PLACES = (  # offset, bytes
    (257, b"ustar", f"a tar archive; {_UNPACK}"),
    (4, b"TFL3", f"a TensorFlow Lite net; {_NUMPY}"),
)
_TABLE_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # of LevelDB's tables
_TENSORFLOW = (
    "a checkpoint of TensorFlow, which only TensorFlow reads; load it with "
    "tf.train.load_checkpoint and save its arrays with numpy.savez, named as Caffe's "
    "layers"
)


def refuse_other_kinds(path: Path, head: bytes) -> None:
    """Refuse a file that can be told to be of another kind.

    Args:
        path: the file.
        head: its first `HEAD` bytes.

    Raises:
        WeightFileError: says what it is, and the remedy.
    """
    problem = _by_head(head) or _by_end(path) or _by_name(path)
    if problem:
        raise WeightFileError(f"{path}: is {problem}")


def _by_head(head: bytes) -> str:
    if _PAGE.match(head):
        return (
            "a web page or XML, not weights, as servers send it for an error or a "
            "confirmation; download it again and compare its size"
        )
    for beginning, what in _BEGINNINGS:
        if head.startswith(beginning):
            return what
    for offset, content, what in _PLACES:
        if head[offset:].startswith(content):
            return what
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


def _by_end(path: Path) -> str:
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - len(_TABLE_END)))
        return _TENSORFLOW if file.read() == _TABLE_END else ""


def _by_name(path: Path) -> str:
    """Recognise the data file of a TensorFlow checkpoint by its name; "" for others."""
    found = re.fullmatch(r".+\.data-\d{5}-of-\d{5}", path.name)
    return _TENSORFLOW if found else ""


def message_kind(wire: Wire) -> str:
    """Name the protocol buffers message of a file that holds no weights of a net.

    Args:
        wire: the whole file.

    Returns:
        What it is and the remedy; "" for a NetParameter, and what cannot be told.
    """
    try:
        found = {(field.number, field.wire) for field in _first_fields(wire)}
        inner = _inner(wire)
    except WeightFileError:
        return ""
    numbers = {number for number, _ in found}
    if numbers & {2, 100} and (1, VARINT) not in found and (5, BYTES) not in found:
        return ""
    if (1, VARINT) in found and {(7, BYTES), (8, BYTES)} <= found:
        return (
            "an ONNX net; load it with the onnx package and save its initializers with "
            "numpy.savez, named as Caffe's or torchvision's layers"
        )
    if (5, BYTES) in found and numbers <= {1, 2, 3, 4, 5, 6, 7, 8, 9}:
        return (
            "a single blob of Caffe (.binaryproto), as a mean image is, not a net; give "
            "the .caffemodel"
        )
    if (1, VARINT) in found and numbers <= {1, 2, 3, 4} and numbers & {2, 3}:
        return (
            "a solver state of Caffe (.solverstate), which has no weights to convert; "
            "give the .caffemodel that was written with it"
        )
    if found and numbers <= {1, 2, 3, 4} and inner == {1, 2}:
        return (
            "a graph of TensorFlow (.pb), which only TensorFlow reads; save its constants "
            "with numpy.savez, named as Caffe's layers"
        )
    return ""


_FIELDS = 256  # that are looked at


def _first_fields(wire: Wire) -> Iterable[Field]:
    fields = wire.fields(0, len(wire.data), "the file")
    return [field for field, _ in zip(fields, range(_FIELDS), strict=False)]


def _inner(wire: Wire) -> set[int]:
    """Return the first two field numbers within the first field, if it is a message."""
    first = next(wire.fields(0, len(wire.data), "the file"), None)
    if first is None or first.wire != BYTES:
        return set()
    fields = wire.fields(first.start, first.end, "the first field")
    try:
        return {field.number for field, _ in zip(fields, range(2), strict=False)}
    except WeightFileError:
        return set()
