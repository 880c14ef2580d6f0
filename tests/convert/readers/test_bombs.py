"""Small files that would take minutes or gigabytes: refused in little of both.

Every bomb is read in a process of its own, whose peak of memory and computing time are
measured.
"""

import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.convert.caffemodel_writer import bytes_field, tag
from tests.convert.readers.test_torch_files import number, text, write_archive

SECONDS, MEGABYTES = 2.0, 200


def nested(depth: int) -> bytes:
    """A tuple that holds the one before twice, `depth` times: two to that power."""
    return b")" + b"".join(
        b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(depth)
    )


def deep(depth: int) -> bytes:
    """A tuple in a tuple in a tuple."""
    return b")" + b"\x85" * depth


def npy(pickled: bytes) -> bytes:
    """An .npy file that holds a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickled


def array(shape: bytes, code: bytes, data: bytes) -> bytes:
    """The operations that make a pickled array."""
    make = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    )
    dtype = b"cnumpy\ndtype\n" + code + b"\x89\x88\x87R(K\x03X\x01\x00\x00\x00<NNNJ"
    dtype += b"\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return make + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


def tensor(storage_type: bytes, shape: bytes = b"K\x04\x85", key: bytes = b"") -> bytes:
    """The operations that make a tensor of PyTorch."""
    key = key or text("0")
    reference = b"(" + text("storage") + storage_type + key + text("cpu") + number(4)
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + b"tQ" + number(0)
        + shape + b"K\x01\x85\x89N" + b"tR"
    )  # fmt: skip


FLOAT = b"ctorch\nFloatStorage\n"
F4 = text("f4")


def pth(pickled: bytes) -> bytes:
    stream = io.BytesIO()
    write_archive(stream, pickled)
    return stream.getvalue()


def shared_names(leaf: bytes) -> bytes:
    """One value under 400 x 400 x 400 x 400 names of four characters and more."""
    data, memo = b"\x80\x03" + leaf + b"r\x00\x01\x00\x00", 256
    for _ in range(4):
        get = b"j" + struct.pack("<I", memo)
        entries = b"".join(text(f"{n:04}") + get for n in range(400))
        memo += 1
        data += b"}(" + entries + b"ur" + struct.pack("<I", memo)
    return data + b"."


def shared_text(count: int, size: int) -> bytes:
    """Arrays that each have the one text of 2 MB as their values."""
    shape = b"J" + struct.pack("<i", size // 4) + b"\x85"
    first = (
        b"\x80\x02}(" + text("first") + array(shape, F4, text("a" * size) + b"q\x01")
    )
    more = (text(f"{n}") + array(shape, F4, b"h\x01") for n in range(count))
    return first + b"".join(more) + b"u."


def shared_pairs(count: int) -> bytes:
    """One list of pairs, of which a dictionary is made again and again."""
    pairs = b"](" + b"".join(text(f"{n}") + b"K\x00\x86" for n in range(count)) + b"e"
    make = b"ccollections\nOrderedDict\nh\x01\x85R0"
    return b"\x80\x02" + pairs + b"q\x01" + make * count + b"}."


def shared_arguments(count: int) -> bytes:
    """One long tuple of arguments, with which a function is called again and again."""
    arguments = b"(" + b"K\x00" * count + b"tq\x01"
    return (
        b"\x80\x02"
        + arguments
        + b"ctorch._utils\n_rebuild_tensor\nh\x01R0" * count
        + b"N."
    )


def long_shape(axes: int) -> bytes:
    """A tuple of large numbers."""
    return b"(" + (b"\x8a\x08" + b"\xff" * 7 + b"\x7f") * axes + b"t"


def npy_header(axes: int) -> bytes:
    sizes = b"(" + b"9999999999999999999," * axes + b")"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + sizes + b", }\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header


def npz(*members: bytes, compress: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compress) as archive:
        for index, member in enumerate(members):
            archive.writestr(f"{index}.npy", member)
    return stream.getvalue()


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def mat(shape: np.ndarray, values: bytes = b"\1" * 8, name: bytes = b"x") -> bytes:
    """A MATLAB 5 array of bytes."""
    flags = element(6, struct.pack("<II", 9, 0))
    parts = flags + element(5, shape.astype("<i4").tobytes()) + element(1, name)
    return element(14, parts + element(2, values))


def mat_file(*elements: bytes) -> bytes:
    return b"MATLAB 5.0".ljust(124) + b"\0\1IM" + b"".join(elements)


def compressed(content: bytes) -> bytes:
    packed = zlib.compress(content, 9)
    return struct.pack("<II", 15, len(packed)) + packed


def h5(change) -> bytes:
    h5py = pytest.importorskip("h5py", reason="writes HDF5 files")
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        change(file)
    return stream.getvalue()


def chunks(rank: int, size: int) -> bytes:
    """A chunked dataset, whose pieces get another rank and size in its bytes."""

    def write(file):
        file.create_dataset(
            "a", data=np.ones((3, 5), "f4"), chunks=(3, 5), compression=4
        )

    data = h5(write)
    # Data layout message, version 3, chunked: rank + 1, address, sizes, element size.
    at = next(
        i
        for i in range(len(data))
        if data[i : i + 3] == b"\3\2\3" and data[i + 11 : i + 23] == struct.pack("<III", 3, 5, 4)
    )  # fmt: skip
    sizes = struct.pack("<II", size, size)
    return (
        data[: at + 2]
        + bytes([rank])
        + data[at + 3 : at + 11]
        + sizes
        + data[at + 19 :]
    )


def linked(file) -> None:
    """A group that holds the next one 60 times, four times over."""
    group = file
    for _ in range(4):
        inner = file.create_group(None)
        for n in range(60):
            group[f"{n}" * 100] = inner
        group = inner
    group["a"] = np.ones(3, "f4")


def packed_zeros(file) -> None:
    zeros = np.zeros(25_000_000, "f4")
    file.create_dataset("a", data=zeros, compression=9, chunks=(25_000_000,))


SMALL = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n" + bytes(4)  # fmt: skip

BOMBS = {
    # Tuples within tuples, hashed or printed.
    "storage type": ("a.pth", lambda: pth(b"\x80\x02}(" + text("a") + tensor(nested(30)) + b"u.")),
    "deep storage type": ("a.pth", lambda: pth(b"\x80\x02}(" + text("a") + tensor(deep(150_000)) + b"u.")),
    "storage key": ("a.pth", lambda: pth(b"\x80\x02}(" + text("a") + tensor(FLOAT, key=nested(30)) + b"u.")),
    "type of an array": ("a.npy", lambda: npy(b"\x80\x03}" + text("a") + array(b"K\x02\x85", nested(30), b"C\x08" + bytes(8)) + b"s.")),
    "encoding": ("a.npy", lambda: npy(b"\x80\x03c_codecs\nencode\n" + text("a") + nested(30) + b"\x86R.")),
    "version": ("a.pth", lambda: b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02" + nested(30) + b".\x80\x02}."),
    # Long shapes.
    "shape of a header": ("a.npy", lambda: npy_header(400)),
    "shape in an archive": ("a.npz", lambda: npz(npy_header(450), compress=8)),
    "shape of a pickled array": ("a.npy", lambda: npy(b"\x80\x03}" + text("a") + array(long_shape(150_000), F4, b"C\x08" + bytes(8)) + b"s.")),
    "shape of objects": ("a.npy", lambda: npy(b"\x80\x03}" + text("a") + array(long_shape(150_000), text("O8"), b"]") + b"s.")),
    "shape of a tensor": ("a.pth", lambda: pth(b"\x80\x02}(" + text("a") + tensor(FLOAT, long_shape(100_000)) + b"u.")),
    "shape in MATLAB": ("a.mat", lambda: mat_file(mat(np.full(500_000, 2**31 - 1)))),
    "packed shape in MATLAB": ("a.mat", lambda: mat_file(compressed(mat(np.full(7_000_000, 2**31 - 1))))),
    # One array under many names, one text in many arrays.
    "names": ("a.npy", lambda: npy(shared_names(array(b"K\x02\x85", F4, b"C\x08" + bytes(8))))),
    "names of nothing": ("a.npy", lambda: npy(shared_names(b"}"))),
    "text": ("a.npy", lambda: npy(shared_text(2000, 1_600_000))),
    "less text": ("a.npy", lambda: npy(shared_text(20_000, 40_000))),
    # One container copied again and again.
    "pairs": ("a.pth", lambda: pth(shared_pairs(20_000))),
    "arguments": ("a.pth", lambda: pth(shared_arguments(20_000))),
    # What unpacks to far more.
    "zeros": ("a.npz", lambda: npz(b"\x93NUMPY" + bytes(180_000_000), compress=8)),
    "variables in MATLAB": ("a.mat", lambda: mat_file(*[compressed(mat(np.array([1, 30_000_000]), bytes(30_000_000), b"z"))] * 40)),
    "a variable in MATLAB": ("a.mat", lambda: mat_file(compressed(mat(np.array([1, 60_000_000]), bytes(60_000_000))))),
    # Many small parts.
    "members": ("a.npz", lambda: npz(*[SMALL] * 17_000, compress=0)),
    "fewer members": ("a.npz", lambda: npz(*[SMALL] * 8_000, compress=0)),
    "layers": ("a.caffemodel", lambda: b"\xa2\x06\x00" * 700_000),
    "single values": ("a.caffemodel", lambda: bytes_field(100, bytes_field(7, (tag(5, 5) + bytes(4)) * 400_000))),
    # HDF5.
    "rank of pieces": ("a.h5", lambda: chunks(2, 3)),
    "size of pieces": ("a.h5", lambda: chunks(3, 2**31 - 1)),
    "links": ("a.h5", lambda: h5(linked)),
    "packed zeros": ("a.h5", lambda: h5(packed_zeros)),
}  # fmt: skip

CHILD = """
import json, os, resource, sys, time
from pathlib import Path
from fcn_jax.convert.readers.open_weights import open_weights
from fcn_jax.data.builders.mat5 import read_array

def measured(path):
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    try:
        if path.suffix == ".mat":
            read_array(path, "x", remedy="get it again")
        else:
            open_weights(path)
        said = "read"
    except ValueError as error:
        said = f"{type(error).__name__}: {error}"
    own = resource.getrusage(resource.RUSAGE_SELF)
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() - begin + child.ru_utime + child.ru_stime
    return [seconds, max(own.ru_maxrss - start, child.ru_maxrss) // 1024, said]

for path in map(Path, sys.argv[1:]):
    if not os.fork():  # each starts from the same memory
        print(json.dumps([str(path), *measured(path)]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, tuple[Path, float, int, str]]:
    """Path, seconds of computing, megabytes and what is said, of every bomb."""
    folder = tmp_path_factory.mktemp("bombs")
    paths = {}
    for index, (kind, (name, make)) in enumerate(BOMBS.items()):
        paths[kind] = folder / f"{index}{Path(name).suffix}"
        paths[kind].write_bytes(make())
        assert paths[kind].stat().st_size < 5 * 2**20
    result = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, paths.values())],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    answers = {row[0]: row[1:] for row in map(json.loads, result.stdout.splitlines())}
    return {kind: (path, *answers[str(path)]) for kind, path in paths.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_takes_little_time_and_memory(kind, measured):
    """Oracle: the limits, measured in the process that reads and its children."""
    path, seconds, memory, said = measured[kind]
    if kind == "fewer members":
        assert said == "read"
    else:
        assert said.startswith(("WeightFileError: ", "DataError: ")), said[:300]
        assert str(path) in said
    assert len(said) < 1500
    assert seconds < SECONDS, (seconds, said)
    assert memory < MEGABYTES, (memory, said)


def test_the_bombs_are_what_they_say():
    """Oracle: Python's own pickle makes the same tuples of the smallest of them."""
    assert pickle.loads(b"\x80\x02" + nested(2) + b".") == (((), ()), ((), ()))
    assert pickle.loads(b"\x80\x02" + deep(3) + b".") == ((((),),),)
    leaf = pickle.loads(shared_names(b"}"))
    for _ in range(4):
        assert len(leaf) == 400
        leaf = leaf["0399"]
    assert json.dumps(leaf) == "{}"
