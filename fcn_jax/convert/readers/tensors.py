"""The tensors that a pickle of PyTorch describes: views of storages, not yet values.

`MAKERS` is what such a pickle may name: tensors and their storages, dictionaries, and
plain values that stand beside the weights of a checkpoint, of which nothing is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np

from fcn_jax.convert.readers.pickles import Opaque, Stateful
from fcn_jax.convert.readers.weight_file import MOST_AXES

_TYPES: dict[str, Any] = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": ml_dtypes.bfloat16,
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
_LARGEST_EMPTY = 2**16  # size along an axis of a tensor that another axis leaves empty


@dataclass(frozen=True)
class Storage:
    """Values that tensors are views of: their key in the file, type and number."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, in its elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self):
        if len(self.shape) > MOST_AXES or len(self.strides) > MOST_AXES:
            raise ValueError("a tensor has too many axes")
        numbers = (self.offset, *self.shape, *self.strides)
        if not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise ValueError("a shape, offset or stride is negative or no number")
        steps = tuple(zip(self.shape, self.strides, strict=True))
        if not self.size:
            if max(self.shape) > _LARGEST_EMPTY:
                raise ValueError("a tensor without values has an axis of any size")
            return
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        if last >= self.storage.count or self.size > self.storage.count:
            raise ValueError("a tensor reaches beyond its storage")

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return the values as a read-only array; 16-bit floats as float32."""
        dtype = self.storage.dtype
        if not self.size:
            array = np.zeros([min(size, _LARGEST_EMPTY) for size in self.shape], dtype)
            array.flags.writeable = False
            return array
        array = np.lib.stride_tricks.as_strided(
            values[self.offset :],
            self.shape,
            [stride * dtype.itemsize for stride in self.strides],
            writeable=False,
        )
        if dtype in (np.float16, ml_dtypes.bfloat16):
            array = array.astype(np.float32)
            array.flags.writeable = False
        return array


def reference(identity: Any) -> Storage:
    """Return the storage of an id ("storage", type, key, device, count[, view])."""
    if not isinstance(identity, tuple) or not 5 <= len(identity) <= 6:
        raise ValueError("a reference is to no storage")
    kind, dtype, key, _, count, *view = identity
    if kind != "storage" or any(part is not None for part in view):
        raise ValueError("a reference is to no storage or to a view of one")
    if not isinstance(key, str) or not isinstance(count, int) or count < 0:
        raise ValueError("a storage has no key or no count")
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise ValueError("a storage has no known type")
    return Storage(key, np.dtype(_TYPES[dtype]), count)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """torch._utils._rebuild_tensor_v2; what follows is no part of the values."""
    if not isinstance(storage, Storage):
        raise TypeError("a tensor has no storage")
    return Tensor(storage, offset, _sizes(shape), _sizes(strides))


def _sizes(numbers: Any) -> tuple[Any, ...]:
    """torch.Size, or a tuple or list in its place."""
    if not isinstance(numbers, (tuple, list)):
        raise TypeError("a shape or stride is no tuple")
    return tuple(numbers)


class Dictionary(dict, Stateful):
    """collections.OrderedDict, with the attributes that it was given."""

    attributes: Mapping[Any, Any] = MappingProxyType({})

    def __init__(self, pairs: Any = ()):
        """Of pairs, a list of which Python 2 pickles."""
        if not all(isinstance(key, str) for key, _ in pairs):
            raise TypeError("the name of an entry is no text")
        super().__init__(pairs)

    def set_state(self, state: Any) -> None:
        """Keep the attributes; they may be of any type."""
        if isinstance(state, dict):
            self.attributes = state


def _storage_type(*_: Any) -> None:
    raise TypeError("a type of storage is called")


def _opaque(*_: Any) -> Opaque:
    return Opaque()


_BESIDE = (  # plain values that stand beside the weights of checkpoints
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in (
            *("bool", "int", "float", "complex", "str", "bytes", "bytearray"),
            *("set", "frozenset", "dict", "list", "tuple", "slice", "range", "object"),
            *("long", "unicode"),
        )
    ),
    *("argparse.Namespace", "types.SimpleNamespace", "collections.Counter"),
    *("collections.defaultdict", "collections.deque", "copy_reg._reconstructor"),
    *("copyreg._reconstructor", "_codecs.encode", "numpy.dtype", "numpy.ndarray"),
    *("datetime.datetime", "datetime.date", "datetime.timedelta", "torch.device"),
    *(
        f"{module}.{name}"
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
    ),
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
    *(
        f"torch.{name}"
        for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32")
    ),
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)

MAKERS = {
    **dict.fromkeys(_BESIDE, _opaque),
    **dict.fromkeys(_TYPES, _storage_type),
    "collections.OrderedDict": Dictionary,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.Size": _sizes,
}
