"""MATLAB 5 files: read as SciPy reads whole ones, refused where damaged."""

import random
import struct
import zlib

import h5py
import numpy as np
import pytest
import scipy.io

from fcn_jax.data.builders import mat5
from fcn_jax.data.examples import DataError
from tests.data import voc_trees as trees

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


def read(path, *names):
    return mat5.read_array(path, *names, remedy="get it again")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_arrays_are_those_that_were_saved(tmp_path, dtype, compressed):
    """Oracle: values that SciPy wrote, after another variable, alone and in a struct."""
    values = (np.arange(24) * 5).astype(dtype).reshape(2, 3, 4)
    path = tmp_path / "a.mat"
    record = {"text": "first", "map": values[0], "cell": np.array([1, "x"], object)}
    scipy.io.savemat(
        path,
        {"names": ["a", "bc"], "S": values, "R": record},
        do_compression=compressed,
    )
    np.testing.assert_array_equal(read(path, "S"), values, strict=True)
    np.testing.assert_array_equal(read(path, "R", "map"), values[0], strict=True)


def element(kind, content, order):
    """An element of a MATLAB 5 file, padded to eight bytes."""
    padding = b"\0" * (-len(content) % 8)
    return struct.pack(f"{order}II", kind, len(content)) + content + padding


def matrix(kind, shape, name, *parts, order):
    flags = element(6, struct.pack(f"{order}II", kind, 0), order)
    dimensions = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    content = flags + dimensions + element(1, name, order) + b"".join(parts)
    return element(14, content, order)


def mat_file(content, order=">"):
    mark = struct.pack(f"{order}H", 0x0100) + (b"MI" if order == ">" else b"IM")
    return b"MATLAB 5.0 MAT-file".ljust(124) + mark + content


def squeezed(content, order=">", missing=0):
    packed = zlib.compress(content)
    packed = packed[: len(packed) - missing]
    return struct.pack(f"{order}II", 15, len(packed)) + packed


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("packed", [False, True])
def test_a_hand_written_file_keeps_its_rows_and_columns(tmp_path, packed, order):
    """Oracle: bytes after the format's specification, column by column.

    The map is of class double, stored as uint16, as MATLAB does to save space.
    """
    stored = element(4, struct.pack(f"{order}6H", 1, 2, 3, 4, 5, 20), order)
    wanted = matrix(6, (3, 2), b"", stored, order=order)
    other = matrix(9, (1, 1), b"", element(2, bytes([7]), order), order=order)
    names = b"CategoriesPresent".ljust(32, b"\0") + b"Segmentation".ljust(32, b"\0")
    small = (4, 5) if order == ">" else (5, 4)  # the two halves of one number
    length = struct.pack(f"{order}HHi", *small, 32)
    parts = (length, element(1, names, order), other, wanted)
    whole = matrix(2, (1, 1), b"GTcls", *parts, order=order)
    path = tmp_path / "label.mat"
    path.write_bytes(mat_file(squeezed(whole, order) if packed else whole, order))
    found = read(path, "GTcls", "Segmentation")
    expected = np.array([[1, 4], [2, 5], [3, 20]], np.uint16)
    np.testing.assert_array_equal(found, expected, strict=True)


def save(**variables):
    return lambda path: scipy.io.savemat(path, variables)


def write(content):
    return lambda path: path.write_bytes(content)


def hdf5(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["S"] = np.zeros((3, 4), np.uint8)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def truncated(path):
    scipy.io.savemat(path, {"S": np.arange(600).reshape(20, 30)}, do_compression=True)
    path.write_bytes(path.read_bytes()[:-40])


def huge(path):
    with path.open("wb") as file:
        file.truncate(mat5.MAX_BYTES + 1)


def array(shape, *parts):
    return mat_file(matrix(9, shape, b"S", *parts, order=">"))


IDS = np.array([[0, 1, 2], [3, 20, 5]], np.uint8)
SIX = element(2, bytes(range(6)), ">")
LIMIT = str(32 * 2**20)
REFUSED = {
    "no variable": (save(a=IDS, b=IDS), "has no variable S; it has a, b: get it again"),
    "no struct": (save(S={"x": IDS}), "has S, which is no array of real numbers"),
    "text": (save(S="abc"), "has S, which is no array of real numbers"),
    "complex": (save(S=IDS * 1j), "has S, which is no array of real numbers"),
    "version 7.3": (hdf5, "is of MATLAB's file version 0x0200, not 5"),
    "other file": (write(b"x" * 300), "is no MATLAB 5 file"),
    "nothing": (write(b""), "is no MATLAB 5 file"),
    "no elements": (write(mat_file(b"")), "has no variable S; it has none"),
    "truncated": (truncated, "is truncated: "),
    "bomb": (
        write(
            mat_file(squeezed(array((1, 2**25), element(2, bytes(2**25), ">"))[128:]))
        ),
        f"to more than {LIMIT}",
    ),
    "axes": (write(array((1,) * 33, SIX)), "an array has 33 axes"),
    "no checksum": (
        write(mat_file(squeezed(array((2, 3), SIX)[128:], missing=4))),
        "a compressed variable does not end",
    ),
    "huge": (huge, f"has more than {LIMIT} bytes"),
    "damaged zlib": (write(mat_file(struct.pack(">IId", 15, 8, 2))), "is damaged"),
    "fewer numbers": (write(array((2, 4), SIX)), r"S has 6 numbers, not \(2, 4\)"),
    "negative": (write(array((-2, -3), SIX)), r"S has 6 numbers, not \(-2, -3\)"),
    "no numbers": (write(array((2, 3))), "S is stored as data type 0"),
    "of text": (write(array((2, 3), element(1, b"", ">"))), "S has 0 numbers"),
    "halves": (write(array((1, 3), element(4, bytes(5), ">"))), "is damaged"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_files_are_refused(tmp_path, kind):
    """Oracle: the table of damaged files; each message names the file and the remedy."""
    make, message = REFUSED[kind]
    path = tmp_path / "label.mat"
    make(path)
    with pytest.raises(DataError, match=message) as caught:
        read(path, "S")
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).endswith(": get it again")


FIELDS = {
    "no struct": (save(S=IDS), "has S, which is no struct of one element"),
    "two": (
        save(S=np.array([(IDS,)] * 2, [("map", "O")])),
        "which is no struct of one element",
    ),
    "no field": (save(S={"a": IDS, "b": 1}), "has no field map in S; it has a, b:"),
    "empty field": (
        write(
            mat_file(
                matrix(
                    *(2, (1, 1), b"S", element(5, b"\0\0\0\4", ">")),
                    *(element(1, b"map\0", ">"), element(14, b"", ">")),
                    order=">",
                )
            )
        ),
        "has S.map, which is no array",
    ),
    "names": (
        write(
            mat_file(
                matrix(
                    *(2, (1, 1), b"S", element(5, b"\0\0\0\1", ">")),
                    *(element(1, b"m" * 1001, ">"), SIX),
                    order=">",
                )
            )
        ),
        "1001 bytes of field names of 1",
    ),
}


@pytest.mark.parametrize("kind", FIELDS)
def test_other_structs_are_refused(tmp_path, kind):
    """Oracle: the table of structs without the field."""
    make, message = FIELDS[kind]
    make(tmp_path / "a.mat")
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.mat", "S", "map")


def test_a_missing_file_is_left_to_the_caller(tmp_path):
    """Oracle: the error of the system."""
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "a.mat", "S")


def test_changed_bytes_are_read_or_refused(tmp_path):
    """Oracle: arrays or DataError, whatever byte of a file is another."""
    path = tmp_path / "a.mat"
    trees.write_mat(path, trees.sbd_label("x"), compressed=False)
    whole = path.read_bytes()
    draw = random.Random(3)
    refused = 0
    for place in range(112, len(whole)):
        changed = bytearray(whole)
        changed[place] = draw.choice([0, 1, 2, 127, 255, changed[place] ^ 4])
        path.write_bytes(changed)
        try:
            found = read(path, "GTcls", "Segmentation")
            assert found.ndim == 2
        except DataError:
            refused += 1
    assert refused > 50


@trees.needs_test_data
def test_real_files_are_read_as_scipy_reads_them():
    """Oracle: SciPy's loadmat of two files that MATLAB wrote."""
    folder = trees.TEST_DATA / "nyuv2_meta"
    for file, name in (
        ("splits.mat", "trainNdxs"),
        ("splits.mat", "testNdxs"),
        ("classMapping40.mat", "mapClass"),
    ):
        expected = scipy.io.loadmat(folder / file)[name]
        assert expected.size > 600
        np.testing.assert_array_equal(read(folder / file, name), expected, strict=True)
