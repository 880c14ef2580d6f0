"""The datasets of an HDF5 file, found by a child process and mapped here.

The library that reads HDF5 is never run in this process; see `hdf5_child.py`.
"""

import importlib.util
import json
import math
import mmap
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from fcn_jax.convert.readers.weight_file import WeightFileError

MAGIC = b"\x89HDF\r\n\x1a\n"

_PATIENCE = 60.0  # seconds for a child that computes less than one: a machine at work
_SPEED = 2**20  # bytes a second, of the slowest disk
_NUMBERS = re.compile(r"[<>|][fiu][1248]")


@dataclass(frozen=True)
class Dataset:
    """An array of an HDF5 file.

    Attributes:
        name: path below the group of the weights.
        title: the layer of which it is a variable, in Keras 3; or "".
        array: read-only.
    """

    name: str
    title: str
    array: np.ndarray


def read_hdf5(path: Path, file: IO[bytes]) -> tuple[str, list[Dataset]]:
    """Return the arrays of a file, which must stay as it is while they are in use.

    Args:
        path: for messages.
        file: the file, opened for reading.

    Returns:
        "keras", "keras 3" or "caffe", and the arrays.

    Raises:
        WeightFileError: for a link that is not hard, a dataset whose values are in
            another file or are another's, one of anything but numbers, with a shape
            that its stored values do not fill, and a file that is damaged or takes more
            memory or time than its size explains.
    """
    if importlib.util.find_spec("h5py") is None:
        raise WeightFileError(
            f"{path}: reading HDF5 files needs h5py; pip install h5py"
        )
    with tempfile.TemporaryFile() as unpacked:
        answer = _ask(path, file, unpacked)
        maps = {False: _mapped(file), True: _mapped(unpacked)}
    return answer["kind"], [_dataset(path, maps, own) for own in answer["datasets"]]


def _ask(path: Path, file: IO[bytes], unpacked: IO[bytes]) -> dict[str, Any]:
    """Return the child's answer."""
    status, said = run_child(path, file, unpacked)
    if status:
        ended = {
            -signal.SIGPROF: "it takes longer than its size explains",
            -signal.SIGSEGV: "it ends the library that reads it",
        }
        raise _damaged(path, ended.get(status, "it ends its reader"))
    answer = json.loads(said)
    if "damage" in answer:
        raise _damaged(path, answer["damage"])
    if "error" in answer:
        comma = "," if answer["error"].startswith("'") else ":"
        raise WeightFileError(f"{path}{comma} {answer['error']}")
    return answer


def run_child(path: Path, file: IO[bytes], unpacked: IO[bytes]) -> tuple[int, bytes]:
    """Return the child's exit status (minus the signal that ended it) and its answer."""
    descriptors = (file.fileno(), unpacked.fileno())
    command = [sys.executable, "-P", "-m", "fcn_jax.convert.readers.hdf5_child"]
    own = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    try:
        child = subprocess.run(
            [*command, *map(str, descriptors)],
            pass_fds=descriptors,
            env={**os.environ, **single, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PATIENCE + os.fstat(file.fileno()).st_size / _SPEED,
        )
    except subprocess.TimeoutExpired:
        raise _damaged(path, "it takes too long") from None
    return child.returncode, child.stdout


def _damaged(path: Path, reason: str) -> WeightFileError:
    return WeightFileError(
        f"{path}: cannot be read ({reason}); the file is damaged or cut off, get it again"
    )


def _mapped(file: IO[bytes]) -> mmap.mmap | bytes:
    if not os.fstat(file.fileno()).st_size:
        return b""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _dataset(path: Path, maps: dict[bool, Any], own: dict[str, Any]) -> Dataset:
    shape, dtype = own["shape"], own["dtype"]
    if not _NUMBERS.fullmatch(dtype):
        raise WeightFileError(
            f"{path}, {own['name']!r}: has the type {dtype}; only floats and integers of "
            "up to 64 bits are read"
        )
    try:
        count, start = math.prod(shape), own["start"]
        values = np.zeros(0, dtype)
        if count:
            values = np.frombuffer(maps[own["unpacked"]], dtype, count, start)
    except ValueError as error:
        raise _damaged(path, f"{own['name']!r}: {error}") from None
    values = values.reshape(shape)
    values.flags.writeable = False
    return Dataset(own["name"], own["title"], values)
