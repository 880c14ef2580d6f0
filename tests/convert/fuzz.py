"""Damages weight files of every format at random and looks at what is made of them.

    python -m tests.convert.fuzz --reader=pth --executions=100000

Everything must be refused in one line by an error of this package, or be read, in two
seconds and 200 MB. A finding is printed with the bytes and ends the run with status 1.
"""

import argparse
import collections
import contextlib
import io
import json
import os
import pickle
import random
import resource
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from fcn_jax.convert.readers import hdf5, hdf5_child
from fcn_jax.convert.readers.open_weights import open_weights
from fcn_jax.convert.readers.weight_file import WeightFileError
from fcn_jax.data.builders.mat5 import read_array
from fcn_jax.data.examples import DataError
from tests.convert import fuzz_caffe
from tests.convert.fuzz_caffe import mutated

SECONDS, MEGABYTES = 2.0, 200
RNG = np.random.default_rng(0)
ARRAYS = {
    "conv1_1.weight": RNG.normal(size=(2, 3, 3, 3)).astype(np.float32),
    "conv1_1.bias": RNG.normal(size=2).astype(np.float32),
    "steps": np.array(3),
}


class Reader(NamedTuple):
    """How the files of a format are made and read.

    Attributes:
        suffix: of the file.
        seeds: valid files.
        damaged: the next file, of a random generator and the seeds.
        read: gives the arrays of a file.
    """

    suffix: str
    seeds: Callable[[], list[Any]]
    damaged: Callable[[random.Random, list[Any]], bytes]
    read: Callable[[Path], dict[str, np.ndarray]]


def read_weights(path: Path) -> dict[str, np.ndarray]:
    return dict(open_weights(path).arrays)


def any_bytes(rng: random.Random, seeds: list[bytes]) -> bytes:
    return mutated(rng, rng.choice(seeds))


# Archives: their members are damaged, and only sometimes the archive, whose checksums
# would find that.


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def any_member(rng: random.Random, seeds: list[dict[str, bytes]]) -> bytes:
    members = dict(rng.choice(seeds))
    if rng.random() < 0.2:
        return mutated(rng, zipped(members))
    name = rng.choice(list(members))
    members[name] = mutated(rng, members[name])
    return zipped(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def npy_members() -> list[dict[str, bytes]]:
    members = {}
    for name, array in ARRAYS.items():
        stream = io.BytesIO()
        np.save(stream, array)
        members[f"{name}.npy"] = stream.getvalue()
    return [members]


def torch_files() -> list[Any]:
    """Of both layouts, as they are and as members."""
    import torch

    state = collections.OrderedDict((k, torch.tensor(v)) for k, v in ARRAYS.items())
    content = {
        "epoch": 3,
        "best": np.float64(0.5),
        "args": argparse.Namespace(lr=0.1),
        "state_dict": state,
    }
    found: list[Any] = []
    for whole in (state, content):
        for is_zip in (True, False):
            stream = io.BytesIO()
            torch.save(whole, stream, _use_new_zipfile_serialization=is_zip)
            data = stream.getvalue()
            if is_zip:
                with zipfile.ZipFile(stream) as archive:
                    found.append({n: archive.read(n) for n in archive.namelist()})
            else:
                found.append(data)
    return found


def damaged_torch(rng: random.Random, seeds: list[Any]) -> bytes:
    seed = rng.choice(seeds)
    if isinstance(seed, bytes):
        return mutated(rng, seed)
    if rng.random() < 0.7:  # the pickle alone, in an archive as torch writes it
        name = next(n for n in seed if n.endswith("data.pkl"))
        return zipped({**seed, name: mutated(rng, seed[name])})
    return any_member(rng, [seed])


# The others -------------------------------------------------------------------------


def npy_files() -> list[bytes]:
    """Pickled dictionaries, of every protocol that NumPy has written."""
    content = {
        "conv1_1": [ARRAYS["conv1_1.weight"], ARRAYS["conv1_1.bias"]],
        "fc6": {"weights": ARRAYS["conv1_1.bias"]},
    }
    whole = np.array(content, object)
    header = (
        b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
    )
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    return [start + pickle.dumps(whole, protocol) for protocol in (2, 3, 4)]


def safetensors_files() -> list[bytes]:
    from safetensors.numpy import save

    return [save(ARRAYS, {"format": "pt"})]


def damaged_safetensors(rng: random.Random, seeds: list[bytes]) -> bytes:
    """The header alone, with its length put right, or any bytes."""
    data = rng.choice(seeds)
    if rng.random() < 0.3:
        return mutated(rng, data)
    length = int.from_bytes(data[:8], "little")
    header = mutated(rng, data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def hdf5_files() -> list[bytes]:
    """Stored plainly and in compressed pieces, of Keras 2 and 3, and of Caffe."""
    import h5py

    found = []
    for group in ("model_weights/a", "layers/conv2d/vars", "data/conv1_1"):
        for options in ({}, {"chunks": (1, 3, 3, 3), "compression": 4}):
            stream = io.BytesIO()
            with h5py.File(stream, "w") as file:
                inner = file.create_group(group)
                inner.attrs["name"] = "block1_conv1"
                inner.create_dataset("0", data=ARRAYS["conv1_1.weight"], **options)
                inner.create_dataset("1", data=ARRAYS["conv1_1.bias"])
            found.append(stream.getvalue())
    return found


class Server:
    """As `hdf5.run_child`, by a child that serves file after file until one ends it."""

    def __init__(self):
        self._child = 0

    def run_child(self, path: Path, file: Any, unpacked: Any) -> tuple[int, bytes]:
        """Status of the child, 0 while it lives, and its answer."""
        if not self._child:
            self._start()
        os.write(self._questions, f"{path}\t{unpacked.fileno()}\n".encode())
        answer = self._answers.readline()
        if answer:
            return 0, answer
        _, status = os.waitpid(self._child, 0)
        self.stop()
        return os.waitstatus_to_exitcode(status), b""

    def stop(self) -> None:
        """Ends the child."""
        if self._child:
            os.close(self._questions)
            self._answers.close()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._child, 0)
        self._child = 0

    def _start(self) -> None:
        questions, self._questions = os.pipe()
        answers, into = os.pipe()
        parent = os.getpid()
        self._child = os.fork()
        if not self._child:
            os.close(self._questions)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with os.fdopen(questions) as asked:
                for question in asked:
                    os.write(into, _answer(question, parent))
            os._exit(0)
        os.close(questions)
        os.close(into)
        self._answers = os.fdopen(answers, "rb")


def _answer(question: str, parent: int) -> bytes:
    path, descriptor = question.rstrip("\n").split("\t")
    hdf5_child.limit(hdf5_child.MEMORY, hdf5_child.SECONDS)
    unpacked = f"/proc/{parent}/fd/{descriptor}"
    with open(path, "rb") as source, open(unpacked, "wb") as target:
        return json.dumps(hdf5_child.describe(source, target)).encode() + b"\n"


SERVER = Server()


def read_hdf5(path: Path) -> dict[str, np.ndarray]:
    with mock.patch.object(hdf5, "run_child", SERVER.run_child):
        return read_weights(path)


def mat_files() -> list[bytes]:
    import scipy.io

    found = []
    record = {"x": ARRAYS["conv1_1.bias"], "S": {"x": np.arange(6).reshape(2, 3)}}
    for compressed in (False, True):
        stream = io.BytesIO()
        scipy.io.savemat(stream, record, do_compression=compressed)
        found.append(stream.getvalue())
    return found


def damaged_mat(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Any bytes, or those of a variable that is then compressed."""
    if rng.random() < 0.6:
        return mutated(rng, rng.choice(seeds))
    plain = seeds[0]
    packed = zlib.compress(mutated(rng, plain[128:]))
    return plain[:128] + struct.pack("<II", 15, len(packed)) + packed


def read_mat(path: Path) -> dict[str, np.ndarray]:
    found = {"x": read_array(path, "x", remedy="get it again")}
    return found | {"S": read_array(path, "S", "x", remedy="get it again")}


READERS = {
    "caffemodel": Reader(
        ".caffemodel", fuzz_caffe.seeds, fuzz_caffe.case, read_weights
    ),
    "pth": Reader(".pth", torch_files, damaged_torch, read_weights),
    "npz": Reader(".npz", npy_members, any_member, read_weights),
    "npy": Reader(".npy", npy_files, any_bytes, read_weights),
    "h5": Reader(".h5", hdf5_files, any_bytes, read_hdf5),
    "safetensors": Reader(
        ".safetensors", safetensors_files, damaged_safetensors, read_weights
    ),
    "mat": Reader(".mat", mat_files, damaged_mat, read_mat),
}


class Summary(NamedTuple):
    """What came of a run: files read, slowest in seconds, growth in MB, findings."""

    read: int
    slowest: float
    growth: int
    findings: list[str]


def fuzz(name: str, executions: int, seed: int) -> Summary:
    """Damages and reads files of a format.

    Args:
        name: of `READERS`.
        executions: how many.
        seed: of the random choices.
    """
    reader, rng = READERS[name], random.Random(seed)
    seeds = reader.seeds()
    read, slowest, findings = 0, 0.0, []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / f"a{reader.suffix}"
        path.write_bytes(reader.damaged(random.Random(0), seeds))
        outcome(reader, path)  # what is loaded once is no growth
        start = _peak()
        for index in range(executions):
            data = reader.damaged(rng, seeds)
            path.unlink(missing_ok=True)  # arrays may map the last one
            path.write_bytes(data)
            begin = _computed()
            problem, good = outcome(reader, path)
            seconds = _computed() - begin
            read, slowest = read + good, max(slowest, seconds)
            if problem or seconds > SECONDS:
                findings.append(f"{index}, {seconds:.1f} s: {problem}: {data[:3000]!r}")
    SERVER.stop()
    return Summary(read, slowest, _peak() - start, findings)


def outcome(reader: Reader, path: Path) -> tuple[str, bool]:
    """What is wrong with how a file is read or refused, and whether it is read."""
    try:
        found = reader.read(path)
    except (WeightFileError, DataError) as error:
        said = str(error)
        good = said.startswith(str(path)) and said.isprintable() and len(said) < 2000
        return ("" if good else f"a bad sentence: {said!r}"), False
    except Exception as error:
        return f"{type(error).__name__}: {error}", False
    total = sum(array.nbytes for array in found.values())
    for array in found.values():
        array.tobytes()  # touches every value
    much = total > 2**24 + 20 * path.stat().st_size
    return ("too many bytes" if much else ""), True


def _computed() -> float:
    """Seconds of computing of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak() -> int:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", choices=(*READERS, "all"), default="all")
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    for name in READERS if options.reader == "all" else [options.reader]:
        begin = time.perf_counter()
        summary = fuzz(name, options.executions, options.seed)
        failed |= bool(summary.findings) or summary.growth > MEGABYTES
        for finding in summary.findings[:20]:
            print(finding)
        print(
            f"{name}: {options.executions} files in {time.perf_counter() - begin:.0f} s, "
            f"{summary.read} read, {len(summary.findings)} findings, slowest "
            f"{summary.slowest:.2f} s, {summary.growth} MB more",
            flush=True,
        )
    return failed


if __name__ == "__main__":
    sys.exit(main())
