"""PyTorch's state dictionaries, .pth and .pt, read without torch; and .safetensors.

torch.load imports what the file names, or, with weights_only=True, what it allows;
either way the file drives torch's own constructors. A state dictionary needs none of
them: it is a pickle (`read_pickle`) of tensors that are views of storages, and the
storages are plain values, in an archive or behind the pickle. Both layouts are those of
torch/serialization.py: `_save`, a zip since torch 1.6, and `_legacy_save`.
"""

import mmap
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZipInfo

import ml_dtypes
import numpy as np
from absl import logging

from fcn_jax.convert.readers.archive import Members, damaged, list_members
from fcn_jax.convert.readers.pickles import read_pickle
from fcn_jax.convert.readers.tensors import (
    MAKERS,
    Dictionary,
    Storage,
    Tensor,
    reference,
)
from fcn_jax.convert.readers.weight_file import MOST_ARRAYS, WeightFile, WeightFileError
from fcn_jax.convert.readers.wrappers import has_first_layer, unwrapped
from fcn_jax.runtime.messages import shown

LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""The pickle of torch.serialization.MAGIC_NUMBER, with which the old layout begins."""

METADATA = "fcn_jax"
"""Attribute of a state dictionary with what an exported net says of itself."""

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_DEEPEST = 3  # dictionaries in dictionaries
_MOST_SHARING = 4  # times the file that its arrays may take; tied weights take two


def read_torch(path: Path) -> WeightFile:
    """Return the tensors of a .pth or .pt file that holds a state dictionary.

    The dictionary may stand under "state_dict", "model_state_dict", "model" or, where
    one alone has the first layer of a net, any key of another, beside an optimiser's state, settings or
    scores; prefixes of wrappers are dropped from its names (`wrappers.unwrapped`).

    Args:
        path: a zip archive with a data.pkl, or a file of torch before 1.6.

    Raises:
        WeightFileError: for a pickle with anything but plain values and dense tensors,
            a state dictionary with an entry that is no tensor, a tensor that reaches
            beyond its storage, and damaged data.
    """
    with path.open("rb") as file:
        legacy = file.read(len(LEGACY_MAGIC)) == LEGACY_MAGIC
    content, load = _read_legacy(path) if legacy else _read_archive(path)
    tensors = _state_dictionary(path, content)
    claimed = sum(tensor.size * 4 for tensor in tensors.values())
    if claimed > _MOST_SHARING * path.stat().st_size:
        raise WeightFileError(
            f"{path}: its tensors claim {claimed} bytes of a file of "
            f"{path.stat().st_size}, one storage many times over; save the state "
            "dictionary again with a copy of each tensor"
        )
    names = unwrapped(tensors)
    storages = {tensor.storage for tensor in tensors.values() if tensor.size}
    values = {storage: load(storage) for storage in storages}
    nothing = np.zeros(0)
    arrays = {
        names[name]: tensor.of(values.get(tensor.storage, nothing))
        for name, tensor in tensors.items()
    }
    return WeightFile(path, "pytorch", arrays, metadata=_own_metadata(tensors))


def read_safetensors(path: Path) -> WeightFile:
    """Return the tensors of a .safetensors file.

    Raises:
        WeightFileError: for what the library refuses, and types that are no floats or
            integers.
    """
    try:
        from safetensors import safe_open
    except ImportError:
        raise WeightFileError(
            f"{path}: reading .safetensors needs safetensors; pip install safetensors"
        ) from None
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except Exception as error:
        raise damaged(path, error) from None
    for name, array in arrays.items():
        if array.dtype == ml_dtypes.bfloat16 or array.dtype == np.float16:
            arrays[name] = array = array.astype(np.float32)
        if array.dtype.kind not in "fiu":
            raise WeightFileError(
                f"{path}, {name!r}: has the type {array.dtype}; only floats and integers "
                "are read"
            )
        array.flags.writeable = False
    if not arrays:
        raise WeightFileError(f"{path}: holds no weights; it has no tensors")
    names = unwrapped(arrays)
    arrays = {names[name]: array for name, array in arrays.items()}
    return WeightFile(path, "safetensors", arrays, metadata=metadata)


def _state_dictionary(path: Path, content: Any) -> dict[str, Tensor]:
    """Return the dictionary of tensors by name in what a file holds."""
    for _ in range(_DEEPEST):
        inner = _wrapped(content)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict) or not content:
        kind = _kind(content)
        raise WeightFileError(
            f"{path}: holds no state dictionary but a {kind}"
            f"{' without entries' if isinstance(content, dict) else ''}; save "
            "model.state_dict()"
        )
    if len(content) > MOST_ARRAYS:
        raise WeightFileError(f"{path}: has over {MOST_ARRAYS} tensors; no net has")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightFileError(
                f"{path}, entry {name!r}: is a {_kind(value)}, not "
                "a dense tensor with a name; save model.state_dict() alone or under "
                f"{' or '.join(repr(wrapper) for wrapper in _WRAPPERS)}"
            )
    return content


def _wrapped(content: Any) -> dict[Any, Any] | None:
    """Return the state dictionary that another dictionary wraps, None without one."""
    if not isinstance(content, dict):
        return None
    nets = {
        key: value
        for key, value in content.items()
        if isinstance(key, str)
        and isinstance(value, dict)
        and all(isinstance(name, str) for name in value)
        and has_first_layer(value)
    }
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            others = ", ".join(shown(key) for key in nets if key != wrapper)
            if others:
                logging.warning(
                    "the net under %r is read, and not those under %s", wrapper, others
                )
            return content[wrapper]
    return next(iter(nets.values())) if len(nets) == 1 else None


def _kind(value: Any) -> str:
    return "dict" if isinstance(value, dict) else type(value).__name__.lstrip("_")


def _own_metadata(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the metadata of an exported net, {} for a file of other programs."""
    attributes = tensors.attributes if isinstance(tensors, Dictionary) else {}
    found = attributes.get(METADATA)
    if not isinstance(found, dict):
        return {}
    return {
        key: value
        for key, value in found.items()
        if isinstance(key, str) and isinstance(value, str)
    }


Loader = Callable[[Storage], np.ndarray]


def _read_archive(path: Path) -> tuple[Any, Loader]:
    """Return what data.pkl holds, and how the values of a storage are found."""
    members = list_members(path)
    pickles = [name for name in members if PurePosixPath(name).name == "data.pkl"]
    if len(pickles) != 1:
        raise WeightFileError(f"{path}: has {len(pickles)} data.pkl; torch writes one")
    root = pickles[0].removesuffix("data.pkl")
    archive = Members(path)
    _check_archive(path, members, root, archive)

    def load(storage: Storage) -> np.ndarray:
        name = f"{root}data/{storage.key}"
        if name not in members:
            raise WeightFileError(f"{path}: has no {name!r}, which a tensor needs")
        data = archive.read(name)
        if len(data) != storage.count * storage.dtype.itemsize:
            raise WeightFileError(
                f"{path}, {name!r}: has {len(data)} bytes and its tensor's storage "
                f"{storage.count * storage.dtype.itemsize}; get the file again"
            )
        return np.frombuffer(data, storage.dtype)

    pickle = archive.read(pickles[0])
    if not pickle:
        raise WeightFileError(f"{path}, {pickles[0]!r}: is empty; get the file again")
    with mmap.mmap(-1, len(pickle)) as data:
        data.write(pickle)
        data.seek(0)
        return read_pickle(data, f"{path}, {pickles[0]!r}", MAKERS, reference), load


def _check_archive(
    path: Path, members: Mapping[str, ZipInfo], root: str, archive: Members
) -> None:
    """Refuse what torch.save does not write."""
    for name, info in members.items():
        if info.compress_type:
            raise WeightFileError(
                f"{path}, {name!r}: is compressed, which torch.save never does; save "
                "the state dictionary again"
            )
    if f"{root}byteorder" in members:
        order = archive.read(f"{root}byteorder")
        if order != b"little":
            raise WeightFileError(
                f"{path}: has the byte order {order[:10]!r}; save it on a "
                "little-endian machine"
            )


def _read_legacy(path: Path) -> tuple[Any, Loader]:
    """Read the layout before torch 1.6; see `_read_archive`.

    Four pickles: magic number, version, facts of the system, the object. Then one of
    the storages' keys in order, and for each its int64 count and values.
    """
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    where = str(path)
    _, version, system = (read_pickle(data, where, {}) for _ in range(3))
    little = isinstance(system, dict) and system.get("little_endian") is True
    if version != 1001 or not little:
        said = version if isinstance(version, int) else "unknown"
        raise WeightFileError(
            f"{path}: is of version {said} or a big-endian machine; save it again "
            "with a newer torch"
        )
    storages: dict[str, Storage] = {}

    def known(identity: Any) -> Storage:
        storage = reference(identity)
        return storages.setdefault(storage.key, storage)

    content = read_pickle(data, where, MAKERS, known)
    keys = read_pickle(data, where, {})
    found = _legacy_storages(path, data, keys, storages)

    def load(storage: Storage) -> np.ndarray:
        if storage.key not in found:
            raise WeightFileError(
                f"{path}: has no storage {storage.key!r}; get it again"
            )
        return found[storage.key]

    return content, load


def _legacy_storages(
    path: Path, data: mmap.mmap, keys: Any, storages: Mapping[str, Storage]
) -> dict[str, np.ndarray]:
    """Return values by key, from the position of `data` on; they map the file."""
    found = {}
    for key in keys if isinstance(keys, list) else [None]:
        at = data.tell() + 8
        count = int.from_bytes(data.read(8), "little", signed=True)
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or count != storage.count:
            raise WeightFileError(
                f"{path}, byte {at}: a storage of {count} values is not the one that "
                "the tensors take; the file is damaged or cut off, get it again"
            )
        end = at + count * storage.dtype.itemsize
        if end > len(data):
            raise WeightFileError(
                f"{path}, byte {at}: the file ends within the storage {key!r} of "
                f"{count} values; it is cut off, get it again"
            )
        found[key] = np.frombuffer(data, storage.dtype, count, at)
        data.seek(end)
    return found
