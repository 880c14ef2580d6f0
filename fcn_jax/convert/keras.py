"""Keras' weights in HDF5, .h5, with nothing followed out of the file."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fcn_jax.convert.archive import check_expansion, damaged
from fcn_jax.convert.foreign import Foreign, WeightFileError

MAGIC = b"\x89HDF\r\n\x1a\n"
_WEIGHTS = "model_weights"  # of a whole model saved by Keras 2, beside its optimiser
_DEEPEST = 16  # groups in groups; a hard link may make a group contain itself
_MOST_OBJECTS = 100_000


def read_keras(path: Path) -> Foreign:
    """The datasets of an .h5 file by their paths, "block1_conv1/block1_conv1_W_1:0".

    In the file of a whole model only "model_weights" is read, and not named.

    Raises:
        WeightFileError: for a link that is not hard, a dataset whose values are in
            another file or are another's, one of anything but numbers, with a shape
            that its stored values do not fill, and damaged data.
    """
    try:
        import h5py
    except ImportError:
        raise WeightFileError(
            f"{path}: reading Keras' files needs h5py; pip install h5py"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            root = file
            if isinstance(file.get(_WEIGHTS, getlink=True), h5py.HardLink):
                root = file[_WEIGHTS]
            datasets = dict(_datasets(path, root))
            _check_sizes(path, datasets)
            arrays = {name: _read(dataset) for name, dataset in datasets.items()}
    except WeightFileError:
        raise
    except Exception as error:
        raise damaged(path, error) from None
    if not arrays:
        raise WeightFileError(f"{path}: holds no weights; it has no datasets")
    return Foreign(path, "keras", arrays)


def _datasets(path: Path, root: Any) -> Iterator[tuple[str, Any]]:
    """(path below `root`, dataset), found through hard links only."""
    import h5py

    waiting, seen = [("", root, 0)], 0
    while waiting:
        prefix, group, depth = waiting.pop()
        for key in group:
            name, seen = f"{prefix}{key}", seen + 1
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise WeightFileError(
                    f"{path}, {name!r}: is a link ({type(link).__name__}), and links "
                    "are not followed; copy the data to this place"
                )
            if depth == _DEEPEST or seen > _MOST_OBJECTS:
                raise WeightFileError(
                    f"{path}, {name!r}: over {_DEEPEST} groups deep or {_MOST_OBJECTS} "
                    "objects; no file of Keras' layers"
                )
            item = group[key]
            if isinstance(item, h5py.Group):
                waiting.append((f"{name}/", item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                yield name, item


def _check_sizes(path: Path, datasets: dict[str, Any]) -> None:
    """Refuses, before a value is read, what is not wholly in the file."""
    size, stored, declared = path.stat().st_size, 0, 0
    for name, dataset in datasets.items():
        problem = _problem(dataset)
        if problem:
            raise WeightFileError(f"{path}, {name!r}: {problem}")
        stored += dataset.id.get_storage_size()
        largest = max(dataset.size, math.prod(dataset.chunks or ()))
        declared += largest * dataset.dtype.itemsize
    if stored > size:
        raise WeightFileError(
            f"{path}: its datasets claim {stored} bytes of a file of {size}; it is cut "
            "off or made to deceive (get it again from a source you trust)"
        )
    check_expansion(path, declared, size)


def _problem(dataset: Any) -> str:
    """What is wrong with a dataset; "" if nothing."""
    if dataset.external is not None or dataset.is_virtual:
        return "its values are in another file or dataset; copy them into this one"
    if dataset.shape is None or dataset.dtype.kind not in "fiu":
        return (
            f"has the type {dataset.dtype} and the shape {dataset.shape}; only arrays "
            "of floats and integers are read"
        )
    expected = dataset.size * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    packed = dataset.id.get_create_plist().get_nfilters() > 0
    if stored < expected and not packed or (expected and not stored):
        return (
            f"has {stored} bytes of values and the shape {dataset.shape} of "
            f"{dataset.dtype} takes {expected}; it was never written or is damaged"
        )
    return ""


def _read(dataset: Any) -> np.ndarray:
    array = np.asarray(dataset[()])
    array.flags.writeable = False
    return array
