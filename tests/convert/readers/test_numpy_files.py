"""The readers of .npz archives and of .npy files with a pickled dictionary."""

import io
import os
import pickle
import pickletools
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from fcn_jax.convert.readers.open_weights import open_weights
from fcn_jax.convert.readers.weight_file import WeightFileError


def values(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(dtype)


def header(descr, shape, version=1):
    """The start of an .npy file."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode()


def npy(pickled):
    """An .npy file of objects with this pickle."""
    return header("|O", "()") + pickled


def write_npy(path, content, protocol):
    """As numpy.save, whose protocol is its own."""
    array = np.array(content, dtype=object)
    path.write_bytes(npy(pickle.dumps(array, protocol=protocol)))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_npy_of_lists(tmp_path, protocol):
    """Oracle: the arrays that were pickled, in the layout of vgg16.npy."""
    weight, bias = values(3, 3, 2, 5), values(5)
    path = tmp_path / "vgg16.npy"
    content = {"conv1_1": [weight, bias], "fc6": (values(7, 4), values(4))}
    write_npy(path, content, protocol)
    found = open_weights(path)
    assert found.format == "npy"
    assert list(found.arrays) == ["conv1_1[0]", "conv1_1[1]", "fc6[0]", "fc6[1]"]
    for name, array in found.arrays.items():
        layer, index = name[:-3], int(name[-2])
        np.testing.assert_array_equal(array, content[layer][index])
        assert array.dtype == np.float32
        assert not array.flags.writeable


def test_npy_as_numpy_saves_it(tmp_path):
    """Oracle: numpy.save; dictionaries within, other orders, types and layouts."""
    weight = values(3, 3, 2, 5)
    content = {
        "conv1": {
            "weights": np.asfortranarray(weight),
            "biases": values(5, dtype=">f8"),
        },
        "ragged": np.array([values(2), values(3)], dtype=object),
        "mean": np.float32(103.939),
        "plain": np.arange(6, dtype=np.int64).reshape(2, 3),
    }
    np.save(tmp_path / "a.npy", content, allow_pickle=True)
    arrays = open_weights(tmp_path / "a.npy").arrays
    assert set(arrays) == {
        "conv1/weights",
        "conv1/biases",
        "ragged[0]",
        "ragged[1]",
        "mean",
        "plain",
    }
    np.testing.assert_array_equal(arrays["conv1/weights"], weight)
    np.testing.assert_array_equal(arrays["conv1/biases"], content["conv1"]["biases"])
    np.testing.assert_array_equal(arrays["ragged[1]"], values(3))
    np.testing.assert_array_equal(arrays["mean"], np.float32(103.939))
    np.testing.assert_array_equal(arrays["plain"], [[0, 1, 2], [3, 4, 5]])


def python2_pickle():
    """What Python 2 wrote for array({'conv1': [array([1.5, -2, 0.1], '<f4')]}).

    By hand: its str is SHORT_BINSTRING, and one byte of 0.1 is no ASCII.
    """

    def array(shape, code, byte_order, data):
        dtype = (
            b"cnumpy\ndtype\n" + text(code) + b"K\x00K\x01\x87R"
            b"(K\x03"
            + text(byte_order)
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK"
            + (b"\x3f" if code == b"O8" else b"\x00")  # flags
            + b"tb"
        )
        return (
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
            b"K\x00\x85"
            + text(b"b")
            + b"tR(K\x01"
            + shape
            + dtype
            + b"\x89"
            + data
            + b"tb"
        )

    def text(data):
        return b"U" + bytes([len(data)]) + data

    numbers = array(b"K\x03\x85", b"f4", b"<", text(struct.pack("<3f", 1.5, -2, 0.1)))
    content = b"](}" + text(b"conv1") + b"]" + numbers + b"ase"
    return b"\x80\x02" + array(b")", b"O8", b"|", content) + b"."


def test_npy_of_python_2(tmp_path):
    """Oracle: the three values, in bytes written by hand after Python 2's pickler."""
    data = python2_pickle()
    pickletools.dis(data, out=io.StringIO())  # is a whole pickle
    loaded = pickle.loads(data, encoding="latin1").item()
    np.testing.assert_array_equal(loaded["conv1"][0], np.float32([1.5, -2, 0.1]))
    (tmp_path / "a.npy").write_bytes(npy(data))
    arrays = open_weights(tmp_path / "a.npy").arrays
    np.testing.assert_array_equal(arrays["conv1[0]"], np.float32([1.5, -2, 0.1]))


class Gadget:
    """Pickles as a call."""

    def __init__(self, call, *arguments):
        self.call = (call, arguments)

    def __reduce__(self):
        return self.call


def test_refuses_a_plain_npy(tmp_path):
    """Oracle: a single array is no net."""
    np.save(tmp_path / "a.npy", values(3, 4))
    with pytest.raises(WeightFileError, match=r"a single array of shape \(3, 4\)"):
        open_weights(tmp_path / "a.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    """Oracle: the arrays that were saved, of either order, with slashes in names."""
    arrays = {
        "conv1_1/W": values(3, 2, 5, 4),
        "conv1_1/b": values(3, dtype=">f4"),
        "fortran": np.asfortranarray(values(3, 4, dtype=np.float64)),
        "count": np.array(7, np.uint8),
        "half": values(6, dtype=np.float16),
    }
    save(tmp_path / "a.npz", **arrays)
    found = open_weights(tmp_path / "a.npz")
    assert found.format == "npz"
    assert list(found.arrays) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert not found.arrays[name].flags.writeable


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)


MEMBERS = {
    "objects": (
        npy(pickle.dumps(Gadget(os.mkdir, "marker"))),
        "has the type '|O'; only floats and integers are read, pickled objects never",
    ),
    "records": (header("<f4,<i4", "(2,)") + bytes(16), "has the type '<f4,<i4'"),
    "text": (header("<U4", "(2,)") + bytes(32), "has the type '<U4'"),
    "values missing": (
        header("<f4", "(3, 4)") + bytes(44),
        r"has 44 bytes of values and the shape \[3, 4\] of <f4 takes 48",
    ),
    "values too many": (header("<f4", "(3,)") + bytes(16), "has 16 bytes of values"),
    "huge": (header("<f8", f"({2**40}, {2**40})") + bytes(8), "takes 967140655691703"),
    "empty": (header("<f4", f"(0, {2**62})"), "sizes from 1 on"),
    "axes": (header("<f4", f"({'1, ' * 40})") + bytes(4), "up to 32 axes"),
    "code": (header("<f4", "(__import__('os').mkdir('marker'),)"), "not the header of"),
    "digits": (header("<f4", f"({'9' * 5000},)"), "not the header of"),
    "long header": (
        header("<f4", f"(3,){' ' * 20_000}", version=2) + bytes(12),
        "not the header of",
    ),
    "claimed header": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "not the header of"),
    "no npy": (b"hello", "not the header of"),
    "nothing": (b"", "not the header of"),
    "other magic": (b"\x93NUMPX" + header("<f4", "(3,)")[6:] + bytes(12), "not the"),
    "version 9": (header("<f4", "(3,)", version=9) + bytes(12), "not the header of"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MEMBERS)
def test_refuses_a_member_of_an_npz(tmp_path, monkeypatch, kind):
    """Oracle: the table of what numpy.savez does not write of numbers."""
    monkeypatch.chdir(tmp_path)
    data, message = MEMBERS[kind]
    archive(
        tmp_path / "a.npz",
        [("fine.npy", header("<f4", "(1,)") + bytes(4)), ("b.npy", data)],
    )
    with pytest.raises(WeightFileError, match=message) as error:
        open_weights(tmp_path / "a.npz")
    assert str(error.value).startswith(f"{tmp_path / 'a.npz'}, 'b.npy'")
    assert not (tmp_path / "marker").exists()


def test_versions_of_the_header(tmp_path):
    """Oracle: three zeros in each version; Python 2 wrote long integers with an L."""
    members = [(f"v{v}.npy", header("<f4", "(3,)", v) + bytes(12)) for v in (1, 2, 3)]
    members.append(("long.npy", header("<f4", "(3L, 1L)") + bytes(12)))
    archive(tmp_path / "a.npz", members)
    arrays = open_weights(tmp_path / "a.npz").arrays
    assert [x.shape for x in arrays.values()] == [(3,), (3,), (3,), (3, 1)]


def test_refuses_a_zip_bomb(tmp_path):
    """Oracle: 400 MB of zeros in 0.4 MB; refused with no memory taken."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:  # noqa: SIM117
        with file.open("a.npy", "w") as member:
            member.write(header("<f4", "(100000000,)"))
            for _ in range(100):
                member.write(bytes(4_000_000))
    assert path.stat().st_size < 500_000
    tracemalloc.start()
    with pytest.raises(WeightFileError, match="claim 400000[0-9]* bytes and the file"):
        open_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


def test_refuses_a_size_that_is_not_the_members(tmp_path):
    """Oracle: a central directory that claims a terabyte, and one of overlapping files."""
    archive(tmp_path / "a.npz", [("a.npy", header("<f4", "(1,)") + bytes(4))])
    data = bytearray((tmp_path / "a.npz").read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**32 - 2)
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(WeightFileError, match="claim 4294967294 bytes"):
        open_weights(tmp_path / "a.npz")
    data[entry + 20 : entry + 24] = struct.pack("<I", 10_000)
    data[entry + 24 : entry + 28] = struct.pack("<I", 10_000)
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(WeightFileError, match="claim more than its"):
        open_weights(tmp_path / "a.npz")


def test_refuses_a_flipped_value_of_an_archive(tmp_path):
    """Oracle: the archive's own checksum."""
    archive(tmp_path / "a.npz", [("a.npy", header("<f4", "(8,)") + bytes(32))])
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data.replace(bytes(16), bytes(15) + b"\1", 1))
    with pytest.raises(WeightFileError, match="'a.npy': cannot be read .*CRC-32"):
        open_weights(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_refuses_two_members_of_a_name(tmp_path):
    """Oracle: two files `a.npy`."""
    data = header("<f4", "(1,)") + bytes(4)
    archive(tmp_path / "a.npz", [("a.npy", data), ("a.npy", data)])
    with pytest.raises(WeightFileError, match="two files of the archive have the same"):
        open_weights(tmp_path / "a.npz")


def test_refuses_encryption_and_other_compressions(tmp_path):
    """Oracle: bit 0 of the flags, and LZMA."""
    data = header("<f4", "(1,)") + bytes(4)
    archive(tmp_path / "a.npz", [("a.npy", data)], zipfile.ZIP_LZMA)
    with pytest.raises(WeightFileError, match="'a.npy': compressed by method 14"):
        open_weights(tmp_path / "a.npz")
    archive(tmp_path / "a.npz", [("a.npy", data)])
    changed = bytearray((tmp_path / "a.npz").read_bytes())
    changed[changed.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(changed)
    with pytest.raises(WeightFileError, match="'a.npy': encrypted; decrypt"):
        open_weights(tmp_path / "a.npz")
