"""The process that opens HDF5 files, with little memory and time for each.

HDF5's library trusts the sizes in a file: one of 13 KB took 14 GB, others loop or end
the process. So the library runs here, and here only; `hdf5.py` starts this and reads
the answer, one line of JSON: where each dataset's values are, in the file itself where
they are stored plainly, else in a second file to which they are unpacked.
"""

import contextlib
import json
import math
import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import IO, Any

import h5py
import numpy as np

from fcn_jax.convert.readers.archive import ALWAYS_ALLOWED, MOST_EXPANSION
from fcn_jax.convert.readers.weight_file import MOST_ARRAYS, MOST_AXES, described

DEEPEST = 16  # groups in groups; a hard link may make a group contain itself
MEMORY = 64 * 2**20  # bytes beyond those of the process and of what is unpacked
SECONDS = 0.8  # of computing time for the structure
UNPACKED = 25 * 2**20  # bytes to unpack in a second

_WEIGHTS = "model_weights"  # of a whole model saved by Keras 2, beside its optimiser
_SNAPSHOT = {"data", "diff"}  # groups of Caffe's .caffemodel.h5
_SOLVER = {"iter", "learned_net", "history"}  # of its .solverstate.h5


class Refused(ValueError):
    """What is wrong with a file, without its path."""


def describe(file: IO[bytes], unpacked: IO[bytes], most: int = MOST_ARRAYS) -> dict:
    """Return what a file holds: {"kind", "datasets"}, or {"error"} with a sentence.

    Args:
        file: the HDF5 file.
        unpacked: takes the values that are not plainly in it.
        most: objects that it may have.
    """
    size = os.fstat(file.fileno()).st_size
    try:
        with h5py.File(f"/proc/self/fd/{file.fileno()}", "r") as opened:
            kind, root = _root(opened)
            datasets = dict(_datasets(root, most))
            packed = _check_sizes(datasets, size)
            limit(MEMORY + 2 * packed, SECONDS + packed / UNPACKED)
            found = [
                _place(name, dataset, unpacked) for name, dataset in datasets.items()
            ]
    except Refused as error:
        return {"error": str(error)}
    except Exception as error:
        return {"damage": described(error)}
    return {"kind": kind, "datasets": found}


def limit(memory: int, seconds: float) -> None:
    """End this process once it takes more memory from now on, or computes longer."""
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = taken + memory
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _root(file: Any) -> tuple[str, Any]:
    """Whose file it is, and the group of its weights."""
    keys = {key for key, _ in zip(file, range(MOST_ARRAYS), strict=False)}
    if keys >= _SOLVER:
        raise Refused(
            "is a solver state of Caffe, which has no weights; give the .caffemodel or "
            ".caffemodel.h5 that was written with it"
        )
    for kind, key, fits in (
        ("keras", _WEIGHTS, True),
        ("caffe", "data", keys <= _SNAPSHOT),
        ("keras 3", "layers", "vars" in keys or keys == {"layers"}),
        ("keras 3", "_layer_checkpoint_dependencies", True),  # of its first versions
    ):
        hard = isinstance(file.get(key, getlink=True), h5py.HardLink)
        if key in keys and fits and hard and isinstance(file[key], h5py.Group):
            return kind, file[key]
    return "keras", file


def _datasets(root: Any, most: int) -> Iterator[tuple[str, Any]]:
    """Yield (path below `root`, dataset), found through hard links only."""
    waiting, seen = [("", root, 0)], 0
    while waiting:
        prefix, group, depth = waiting.pop()
        for key in group:
            name, seen = f"{prefix}{key}", seen + 1
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise Refused(
                    f"{name!r}: is a link ({type(link).__name__}), and links "
                    "are not followed; copy the data to this place"
                )
            if depth == DEEPEST or seen > most:
                raise Refused(
                    f"{name!r}: over {DEEPEST} groups deep or {most} "
                    "objects; no file of a net's layers"
                )
            item = group[key]
            if isinstance(item, h5py.Group):
                waiting.append((f"{name}/", item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                yield name, item


def _check_sizes(datasets: dict[str, Any], size: int) -> int:
    """Refuse, before a value is read, what is not wholly in the file.

    Returns:
        Bytes of all values that have to be unpacked.
    """
    stored, declared, packed = 0, 0, 0
    for name, dataset in datasets.items():
        problem = _problem(dataset)
        if problem:
            raise Refused(f"{name!r}: {problem}")
        stored += dataset.id.get_storage_size()
        chunks = _chunks(dataset)
        largest = max(dataset.size, math.prod(chunks)) * dataset.dtype.itemsize
        declared += largest
        packed += largest if chunks or not _plain(dataset) else 0
    if stored > size:
        raise Refused(
            f"its datasets claim {stored} bytes of a file of {size}; it is cut "
            "off or made to deceive (get it again from a source you trust)"
        )
    if declared > MOST_EXPANSION * size + ALWAYS_ALLOWED:
        raise Refused(
            f"its arrays claim {declared} bytes and the file has {size}, over "
            f"{MOST_EXPANSION} times fewer; no trained weights compress like this, so "
            "it is not unpacked (get it from a source you trust)"
        )
    return packed


def _chunks(dataset: Any) -> tuple[int, ...]:
    plist = dataset.id.get_create_plist()
    return plist.get_chunk() if plist.get_layout() == h5py.h5d.CHUNKED else ()


def _plain(dataset: Any) -> bool:
    """Tell whether the values are in the file as NumPy has them."""
    same = dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype)
    return same and dataset.id.get_offset() is not None


def _problem(dataset: Any) -> str:
    """Say what is wrong with a dataset; "" if it is valid."""
    if dataset.external is not None or dataset.is_virtual:
        return "its values are in another file or dataset; copy them into this one"
    if dataset.shape is None or dataset.dtype.kind not in "fiu":
        return (
            f"has the type {dataset.dtype} and the shape {dataset.shape}; only arrays "
            "of floats and integers are read"
        )
    chunks = _chunks(dataset)
    if len(dataset.shape) > MOST_AXES or (chunks and len(chunks) != len(dataset.shape)):
        return (
            f"has {len(dataset.shape)} axes and pieces of {len(chunks)}; arrays have up "
            f"to {MOST_AXES}, and their pieces as many; it is damaged"
        )
    expected = dataset.size * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    packed = dataset.id.get_create_plist().get_nfilters() > 0
    if (stored < expected and not packed) or (expected and not stored):
        return (
            f"has {stored} bytes of values and the shape {dataset.shape} of "
            f"{dataset.dtype} takes {expected}; it was never written or is damaged"
        )
    return ""


def _place(name: str, dataset: Any, unpacked: IO[bytes]) -> dict[str, Any]:
    """Return where the values of a dataset are, and what stands beside them."""
    found = {
        "name": name,
        "title": _title(dataset),
        "dtype": dataset.dtype.str,
        "shape": dataset.shape,
        "unpacked": not _plain(dataset),
        "start": dataset.id.get_offset(),
    }
    if found["unpacked"]:
        values = np.ascontiguousarray(dataset[()])
        found["start"] = unpacked.tell()
        unpacked.write(values.data)
    return found


def _title(dataset: Any) -> str:
    """Return the name of the layer of which this is a variable, in Keras 3."""
    if not dataset.parent.name.endswith("/vars"):
        return ""
    title = dataset.parent.attrs.get("name", "")
    return title if isinstance(title, str) else ""


def main() -> None:
    """Describe the file of the first descriptor; the second takes unpacked values."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, target = (int(argument) for argument in sys.argv[1:])
    limit(MEMORY, SECONDS)
    with open(source, "rb") as file, open(target, "wb") as unpacked:
        answer = describe(file, unpacked)
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
