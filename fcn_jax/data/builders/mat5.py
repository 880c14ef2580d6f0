"""Reading numbers from MATLAB 5 files, as the label maps of published data sets are.

Reproduces the level 5 format of "MAT-File Format" (The MathWorks). SciPy's loadmat ends
the process on some damaged files (segmentation fault, 1.17) and reads the whole of a
variable; here only the array wanted is read, within bounds.
"""

import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fcn_jax.data.examples import DataError

MAX_BYTES = 32 * 2**20  # of a file and of each variable; label maps have below 1 MiB
MAX_FIELDS = 1000
MAX_AXES = 32

_NAME_BYTES = 4096
"""Of an inflated variable, in which its name ends: flags, up to 32 sizes, the name."""

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4"},
    **{6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
"""Data type of an element -> its numbers."""
_STRUCT, _NUMERIC = 2, range(6, 16)  # classes of arrays
_COMPLEX = 0x0800


class _Damaged(ValueError):
    """Says what is wrong with a file."""


def read_array(
    path: Path, variable: str, field: str = "", *, remedy: str
) -> np.ndarray:
    """Return a numeric array of a MATLAB 5 file.

    Args:
        path: the file.
        variable: name of the array, or of a struct of one element.
        field: the array's name in the struct; "" where the variable is the array.
        remedy: what to do about a bad file, for messages.

    Returns:
        The array with MATLAB's axes, (rows, columns, ...), and its numbers as stored:
        MATLAB keeps doubles that are small integers as uint8 or uint16.

    Raises:
        DataError: for a damaged file, one above 32 MiB, one of version 7.3, an array
            that is not there or not of real numbers.
        OSError: where the file cannot be read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _Damaged(f"has more than {MAX_BYTES} bytes")
        data = memoryview(path.read_bytes())
        order = _byte_order(data)
        content = _variable(data[_HEADER:], order, variable)
        if field:
            content = _field(content, order, variable, field)
        return _numbers(content, order, f"{variable}.{field}".rstrip("."))
    except _Damaged as error:
        raise DataError(f"{path} {error}: {remedy}") from error
    except (struct.error, zlib.error, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}): {remedy}") from error


def _byte_order(data: memoryview) -> str:
    mark, version = bytes(data[126:_HEADER]), bytes(data[124:126])
    if mark not in (b"IM", b"MI"):
        raise _Damaged("is no MATLAB 5 file")
    order = "<" if mark == b"IM" else ">"
    (number,) = struct.unpack(f"{order}H", version)
    if number != 0x0100:
        raise _Damaged(f"is of MATLAB's file version {number:#06x}, not 5 (0x0100)")
    return order


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Data type and content of each element; most are padded to eight bytes."""
    place = 0
    while place < len(data):
        (kind,) = struct.unpack_from(f"{order}I", data, place)
        if kind >> 16:  # a small one: length and type in four bytes, content in four
            kind, length, start = kind & 0xFFFF, kind >> 16, place + 4
            if length > 4:
                raise _Damaged(f"is damaged: {length} bytes in an element of 4")
        else:
            (length,) = struct.unpack_from(f"{order}I", data, place + 4)
            start = place + 8
        if start + length > len(data):
            raise _Damaged(
                f"is truncated: {length} bytes needed, {len(data) - start} left"
            )
        yield kind, data[start : start + length]
        place = start + length
        if kind != _COMPRESSED:
            place += -place % 8


def _variable(data: memoryview, order: str, name: str) -> memoryview:
    """Content of the matrix element of that name."""
    found = []
    for kind, content in _elements(data, order):
        beginning, packed = content, kind == _COMPRESSED
        if packed:  # others than the one wanted are not inflated whole
            kind, beginning = _beginning(content, order)
        if kind != _MATRIX:
            continue
        own = _part(beginning, order, 2).tobytes().decode("latin-1")
        if own == name and packed:
            content = next(_elements(_inflated(content), order), (0, content[:0]))[1]
        if own == name:
            return content
        found.append(own)
        if len(found) > MAX_FIELDS:
            break
    raise _Damaged(f"has no variable {name}; it has {_listed(found)}")


def _listed(names: list[str]) -> str:
    """List the first names of a file, printable whatever they hold."""
    shown = (name[:40] if name.isprintable() else ascii(name)[:40] for name in names)
    return ", ".join(itertools.islice(shown, 8)) or "none"


def _inflated(content: memoryview) -> memoryview:
    inflater = zlib.decompressobj()
    data = inflater.decompress(content, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _Damaged(f"inflates to more than {MAX_BYTES} bytes")
    if not inflater.eof:
        raise _Damaged("is truncated: a compressed variable does not end")
    return memoryview(data)


def _beginning(content: memoryview, order: str) -> tuple[int, memoryview]:
    """Kind of a compressed element, and what its name needs of its content."""
    data = memoryview(zlib.decompressobj().decompress(content, _NAME_BYTES))
    if len(data) < 8:
        raise _Damaged("is truncated: a compressed variable does not end")
    kind, _ = struct.unpack_from(f"{order}II", data)
    return kind, data[8:]


def _part(content: memoryview, order: str, index: int) -> memoryview:
    """Content of an element within a matrix: 0 flags, 1 dimensions, 2 name, ..."""
    parts = itertools.islice(_elements(content, order), index, None)
    part = next(parts, None)
    if part is None:
        raise _Damaged("is damaged: an array lacks a part")
    return part[1]


def _flags(content: memoryview, order: str) -> int:
    return struct.unpack_from(f"{order}I", _part(content, order, 0))[0]


def _shape(content: memoryview, order: str) -> tuple[int, ...]:
    sizes = np.frombuffer(_part(content, order, 1), f"{order}i4")
    if len(sizes) > MAX_AXES:
        raise _Damaged(f"is damaged: an array has {len(sizes)} axes")
    return tuple(sizes.tolist())


def _field(content: memoryview, order: str, name: str, field: str) -> memoryview:
    """Content of the matrix that is a field of a struct."""
    if (
        _flags(content, order) & 0xFF != _STRUCT
        or math.prod(_shape(content, order)) != 1
    ):
        raise _Damaged(f"has {name}, which is no struct of one element")
    (length,) = struct.unpack_from(f"{order}i", _part(content, order, 3))
    text = _part(content, order, 4).tobytes()
    if length < 1 or len(text) > length * MAX_FIELDS:
        raise _Damaged(f"is damaged: {len(text)} bytes of field names of {length}")
    names = [text[i : i + length].split(b"\0")[0] for i in range(0, len(text), length)]
    known = [own.decode("latin-1") for own in names]
    if field not in known:
        raise _Damaged(f"has no field {field} in {name}; it has {_listed(known)}")
    return _part(content, order, 5 + known.index(field))


def _numbers(content: memoryview, order: str, name: str) -> np.ndarray:
    flags = _flags(content, order) if len(content) else 0
    if flags & 0xFF not in _NUMERIC or flags & _COMPLEX:
        raise _Damaged(f"has {name}, which is no array of real numbers")
    shape = _shape(content, order)
    parts = itertools.islice(_elements(content, order), 3, None)
    kind, stored = next(parts, (0, content[:0]))
    if kind not in _STORED:
        raise _Damaged(f"is damaged: {name} is stored as data type {kind}")
    numbers = np.frombuffer(stored, f"{order}{_STORED[kind]}").astype(_STORED[kind])
    if min(shape, default=-1) < 0 or numbers.size != math.prod(shape):
        raise _Damaged(f"is damaged: {name} has {numbers.size} numbers, not {shape}")
    return numbers.reshape(shape, order="F")
