"""NumPy's files: .npz archives, and .npy with a pickled dictionary of arrays."""

import math
import mmap
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fcn_jax.convert.readers.archive import Members, list_members
from fcn_jax.convert.readers.pickles import Stateful, read_pickle
from fcn_jax.convert.readers.weight_file import (
    MOST_ARRAYS,
    MOST_AXES,
    MOST_NAME_CHARACTERS,
    WeightFile,
    WeightFileError,
)

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000  # numpy's own limit, before anything is evaluated
_OBJECTS = ("O", "O4", "O8")  # pointers of 32 or 64 bits
_MOST_SHARING = 4  # times the file that its arrays may take
_DEEPEST = 4  # dictionaries in dictionaries
_LONGEST_CODE = 16  # of a type, "f4"
_HEADER = re.compile(
    rb"\{\s*'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),"
    rb"\s*'shape':\s*\(((?:\d{1,19}L?\s*(?:,\s*|(?=\))))*)\),?\s*\}\s*"
)
_NUMBERS = re.compile(r"[<>|=]?[fiu](1|2|4|8)")


class _Header:
    """What stands before the values of an .npy file."""

    def __init__(self, data: bytes | mmap.mmap, where: str):
        longer = data[6:7] != b"\x01"
        self.start = 12 if longer else 10
        length = int.from_bytes(data[8 : self.start], "little")
        text = data[self.start : self.start + min(length, _LONGEST_HEADER)]
        self.start += length
        match = _HEADER.fullmatch(text)
        if data[:6] != MAGIC or data[6:7] not in (b"\1", b"\2", b"\3") or not match:
            raise WeightFileError(
                f"{where}: not the header of an array of numbers as numpy.save writes "
                "it; the file is damaged or holds records (save plain arrays)"
            )
        self.type = match[1].decode("latin-1")
        self.order = "F" if match[2] == b"True" else "C"
        sizes = match[3].replace(b"L", b"").split(b",")
        self.shape = [int(size) for size in sizes if size.strip()]
        if len(self.shape) > MOST_AXES:
            raise WeightFileError(
                f"{where}: has {len(self.shape)} axes; arrays of up to {MOST_AXES} axes are read"
            )


def read_npz(path: Path) -> WeightFile:
    """Return the arrays of an .npz archive, by their names in it.

    Raises:
        WeightFileError: for a damaged archive, arrays of anything but numbers, shapes
            that the values do not fill, and archives that claim far more than they hold.
    """
    arrays = {}
    names = list_members(path)
    members = Members(path)
    for name in names:
        where = f"{path}, {name!r}"
        data = members.read(name)
        header = _Header(data, where)
        arrays[name.removesuffix(".npy")] = _array(
            where, header.type, header.shape, header.order, data, header.start
        )
    return WeightFile(path, "npz", arrays)


def read_npy(path: Path) -> WeightFile:
    """Read the arrays of an .npy file with a pickled dictionary, such as vgg16.npy.

    {"conv1_1": [weight, bias]} gives "conv1_1[0]" and "conv1_1[1]", {"conv1_1":
    {"weights": array}} gives "conv1_1/weights". Python 2's pickles are read too. The
    pickle is read as data (`read_pickle`): nothing in it is run.

    Raises:
        WeightFileError: for a plain array, which is no net, for anything in the pickle
            but dictionaries, lists and arrays of numbers, and for damaged data.
    """
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    header = _Header(data, str(path))
    if not header.type.endswith("O"):
        raise WeightFileError(
            f"{path}: holds a single array of shape {tuple(header.shape)}, where a net "
            "has several with names; give an .npz or a dictionary of arrays"
        )
    data.seek(min(header.start, len(data)))
    content = _unwrapped(read_pickle(data, str(path), _MAKERS))
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    if not isinstance(content, dict):
        raise WeightFileError(
            f"{path}: holds a pickled {type(content).__name__}, no dictionary of arrays "
            "by the names of layers; save it as {'conv1_1': [weight, bias], ...}"
        )
    arrays: dict[str, np.ndarray] = {}
    made: dict[int, np.ndarray] = {}  # one for all the names of a pickled array
    characters, left = 0, _MOST_SHARING * len(data)
    for name, item in _leaves(content, "", _DEEPEST):
        characters += len(name)
        if len(arrays) >= MOST_ARRAYS or characters > MOST_NAME_CHARACTERS:
            raise WeightFileError(
                f"{path}: has over {MOST_ARRAYS} arrays, or names of over "
                f"{MOST_NAME_CHARACTERS} characters; no net has"
            )
        if name in arrays:
            raise WeightFileError(f"{path}, {name!r}: two arrays have this name")
        if id(item) not in made:
            made[id(item)] = array = _number_array(path, name, item, left)
            left -= array.nbytes
        arrays[name] = made[id(item)]
    if not arrays:
        raise WeightFileError(f"{path}: holds no weights; its dictionary is empty")
    return WeightFile(path, "npy", arrays)


def _leaves(
    tree: Mapping[Any, Any], prefix: str, depth: int
) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of a dictionary of values, lists and dictionaries."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        value = _unwrapped(value)
        if isinstance(value, dict) and depth > 1:
            yield from _leaves(value, f"{name}/", depth - 1)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                yield f"{name}[{index}]", item
        else:
            yield name, value


def _number_array(path: Path, name: str, value: Any, most: int) -> np.ndarray:
    """Return the array that a pickle describes, of at most so many bytes."""
    where = f"{path}, {name!r}"
    if not isinstance(value, _PickledArray) or not isinstance(value.data, str | bytes):
        kind = f"a {type(value).__name__}"
        if isinstance(value, _PickledArray):
            kind = "an array without values"
        raise WeightFileError(
            f"{where}: is {kind}, not an array of numbers; leave it out"
        )
    data = value.data
    if len(data) > most:
        raise WeightFileError(
            f"{where}: the arrays claim over {_MOST_SHARING} times the bytes of the "
            "file, one text many times over; save a copy of each array"
        )
    try:
        data = data.encode("latin-1") if isinstance(data, str) else data
    except UnicodeEncodeError:
        raise WeightFileError(
            f"{where}: has characters beyond Latin-1 among its values; the file is "
            "damaged, get it again"
        ) from None
    return _array(where, value.dtype, value.shape, value.order, data)


def _unwrapped(value: Any) -> Any:
    """Return the list of an array of objects; anything else as it is."""
    if isinstance(value, _PickledArray) and isinstance(value.data, list):
        return value.data
    return value


def _array(
    where: str, dtype: str, shape: list[int], order: Any, data: bytes, start: int = 0
) -> np.ndarray:
    """Return the read-only array that fills `data` from `start` on exactly."""
    if not _NUMBERS.fullmatch(dtype):
        raise WeightFileError(
            f"{where}: has the type {dtype[:40]!r}; only floats and integers are read, "
            "pickled objects never"
        )
    if len(shape) > MOST_AXES or any(size < 1 for size in shape):
        raise WeightFileError(
            f"{where}: has the shape {shape[:MOST_AXES]}; sizes from 1 on and up to "
            f"{MOST_AXES} axes are read"
        )
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if expected != len(data) - start:
        raise WeightFileError(
            f"{where}: has {len(data) - start} bytes of values and the shape {shape} of {dtype} "
            f"takes {expected}; the file is damaged or cut off, get it again"
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order=order)


class _PickledType(Stateful):
    """Stands for numpy.dtype: a type code and, from its state, a byte order."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or len(code) > _LONGEST_CODE:
            raise TypeError("the code of a type is no text")
        self._code, self._order = code, ""

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2:
            raise TypeError("the state of a type is no tuple")
        order = state[1]
        if not isinstance(order, str) or len(order) > 1:
            raise TypeError("the byte order of a type is no character")
        self._order = order

    def __str__(self) -> str:
        return self._order.strip("|=") + self._code


class _PickledArray(Stateful):
    """Stands for numpy.ndarray: of numbers as bytes or, in Python 2, text; or a list.

    Nothing is made of it before its sizes are compared with what is there: NumPy itself
    would reserve memory for the shape that an array of objects claims.
    """

    data: bytes | str | list[Any] | None = None

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise TypeError("the state of an array is no tuple of five")
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _PickledType):
            raise TypeError("the type of an array is none")
        if not isinstance(shape, tuple) or len(shape) > MOST_AXES:
            raise TypeError(f"a shape is no tuple of up to {MOST_AXES} axes")
        if not all(isinstance(size, int) for size in shape):
            raise TypeError("a shape is not of numbers")
        self.dtype, self.shape = str(dtype), list(shape)
        self.order = "F" if fortran else "C"
        if not isinstance(data, list if self.dtype in _OBJECTS else (bytes, str)):
            raise TypeError("an array has neither bytes nor a list")
        if isinstance(data, list) and len(data) != math.prod(self.shape):
            raise ValueError("an array of objects does not fill its shape")
        self.data = data


def _scalar(dtype: Any, data: Any) -> _PickledArray:
    made = _PickledArray()
    made.set_state((1, (), dtype, False, data))
    return made


def _encode(text: Any, encoding: Any) -> str:
    """Bytes as protocol 2 of Python 3 spells them: _codecs.encode(text, "latin1").

    They stay text until an array is made of them: one text may stand for many.
    """
    if not isinstance(text, str) or not isinstance(encoding, str):
        raise TypeError("what is encoded is no text")
    if encoding != "latin1":
        raise ValueError(f"the encoding {encoding[:40]!r} is not latin1")
    return text


def _no_maker(*_: Any) -> None:
    raise TypeError("this name is not called in pickles of NumPy")


_MAKERS = {
    "numpy.ndarray": _no_maker,
    "numpy.dtype": _PickledType,
    "_codecs.encode": _encode,
    **{
        f"numpy.{core}.multiarray.{name}": maker
        for core in ("core", "_core")
        for name, maker in (
            ("_reconstruct", lambda *_: _PickledArray()),
            ("scalar", _scalar),
        )
    },
}
