"""The readers of .npz and of pickled .npy files, and the pickles they do not run."""

import io
import os
import pickle
import pickletools
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from fcn_jax.convert.foreign import WeightFileError
from fcn_jax.convert.reading import open_weights


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


def marking(path):
    """Calls that would leave a file."""
    import subprocess

    return {
        "os.system": Gadget(os.system, f"touch {path}"),
        "eval": Gadget(eval, f"open({str(path)!r}, 'w')"),
        "exec": Gadget(exec, f"open({str(path)!r}, 'w')"),
        "open": Gadget(open, str(path), "w"),
        "subprocess": Gadget(subprocess.call, ["touch", str(path)]),
        "os.mkdir": Gadget(os.mkdir, str(path)),
        "getattr": Gadget(getattr, "", "join"),
        "np.save": Gadget(np.save, str(path), 1),
    }


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("kind", marking(""))
def test_a_pickle_is_not_run(tmp_path, kind, protocol):
    """Oracle: the marker that pickle.loads would leave does not appear."""
    marker = tmp_path / "marker"
    content = {"conv1": [values(2), marking(marker)[kind]]}
    data = pickle.dumps(np.array(content, dtype=object), protocol=protocol)
    (tmp_path / "a.npy").write_bytes(npy(data))
    with pytest.raises(WeightFileError, match="nothing of it was run") as error:
        open_weights(tmp_path / "a.npy")
    assert str(error.value).startswith(str(tmp_path / "a.npy"))
    assert not marker.exists()


def test_the_gadgets_do_run_elsewhere(tmp_path):
    """Oracle: pickle.loads, so that the test above can fail."""
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(marking(marker)["os.mkdir"]))
    assert marker.exists()


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
FLOATS = b"cnumpy\ndtype\n\x8c\x02f4K\x00K\x01\x87R"
OBJECTS = b"cnumpy\ndtype\n\x8c\x02O8K\x00K\x01\x87R"
HUGE = b"\x8a\x06\x00\x00\x00\x00\x00\x01"  # 2^40
ENTRY = b"\x80\x02}\x8c\x01a"  # {"a": ..., to be ended by `s.`


def pickled_array(shape, dtype, data):
    start = b"K\x00\x85\x8c\x01btR"
    return RECONSTRUCT + start + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


HOSTILE = {
    "huge array of objects": (
        ENTRY + pickled_array(HUGE + b"\x85", OBJECTS, b"]") + b"s.",
        "does not fill its shape",
    ),
    "huge array of floats": (
        ENTRY + pickled_array(HUGE + b"\x85", FLOATS, b"C\x04abcd") + b"s.",
        r"'a': has 4 bytes of values and the shape \[1099511627776\]",
    ),
    "objects as bytes": (
        ENTRY + pickled_array(b"K\x01\x85", OBJECTS, b"C\x08abcdefgh") + b"s.",
        "neither bytes nor a list",
    ),
    "floats as a list": (
        ENTRY + pickled_array(b"K\x01\x85", FLOATS, b"](K\x01e") + b"s.",
        "neither bytes nor a list",
    ),
    "huge reconstruction": (
        ENTRY + RECONSTRUCT + HUGE + b"\x85\x8c\x01btRs.",
        "'a': is an array without values, not an array of numbers",
    ),
    "ndarray called": (
        ENTRY + b"cnumpy\nndarray\n" + HUGE + b"\x85\x85Rs.",
        "this name is not called",
    ),
    "negative shape": (
        ENTRY + pickled_array(b"J\xff\xff\xff\xff\x85", FLOATS, b"C\x00") + b"s.",
        r"has the shape \[-1\]; sizes from 1 on",
    ),
    "shape of text": (
        ENTRY + pickled_array(b"\x8c\x01x\x85", FLOATS, b"C\x00") + b"s.",
        "a shape is not of numbers",
    ),
    "tuple as a key": (b"\x80\x02})" + b"\x85" * 20_000 + b"Ns.", "has a tuple as a key"),
    "deep lists": (
        b"\x80\x02}\x8c\x01a" + b"](" * 20_000 + b"e" * 20_000 + b"s.",
        "is a list, not an array of numbers",
    ),
    "deep dictionaries": (
        b"\x80\x02" + b"}\x8c\x01a" * 10_000 + b"N" + b"s" * 10_000 + b".",
        "'a/a/a/a': is a dict, not an array",
    ),
    "dictionary in itself": (b"\x80\x02}q\x00\x8c\x01ah\x00s.", "'a/a/a/a': is a dict"),
    "large memo": (b"\x80\x02}r\xff\xff\xff\xff.", "holds no weights"),
    "claims 2^62 bytes": (
        b"\x80\x04}\x8e" + struct.pack("<Q", 2**62) + b"abc",
        "the pickle cannot be read .*expected 4611686018427387904 bytes",
    ),
    "too many operations": (b"\x80\x02" + b"]" * 400_000 + b".", "over 300000 operations"),
    "no end": (b"\x80\x02}", "pickle exhausted before seeing STOP"),
    "nothing": (b"", "pickle exhausted"),
    "empty stack": (b"\x80\x02.", "cannot be read"),
    "unknown operation": (b"\x80\x02\xff.", "opcode b'.xff' unknown"),
    "long name": (
        b"\x80\x02}X\xd0\x07\x00\x00" + b"a" * 2000 + b"Ns.",
        "has a name of 2000 characters",
    ),
    "two of a name": (
        b"\x80\x02}(K\x01" + pickled_array(b"K\x01\x85", FLOATS, b"C\x04abcd")
        + b"\x8c\x011" + pickled_array(b"K\x01\x85", FLOATS, b"C\x04abcd") + b"u.",
        "'1': two arrays have this name",
    ),
    "no dictionary": (b"\x80\x02].", "holds a pickled list, no dictionary"),
    "empty dictionary": (b"\x80\x02}.", "holds no weights"),
    "text": (b"\x80\x02}\x8c\x01a\x8c\x01bs.", "'a': is a str, not an array of numbers"),
    "text as numbers": (
        ENTRY + pickled_array(b"K\x01\x85", FLOATS, b"\x8c\x04\xc4\x80\xc4\x80") + b"s.",
        "'a': has characters beyond Latin-1",
    ),
    "too few values": (b"\x80\x02}\x8c\x01aN\x86\x87s.", "finds too few values"),
    "no list": (b"\x80\x02}Na.", "appends to what is no list"),
    "no mapping": (b"\x80\x02]\x8c\x01aNs.", "an entry of what is no dictionary"),
    "text called": (b"\x80\x02\x8c\x0bnumpy.dtype)R.", "calls what is no name"),
    "other encoding": (
        b"\x80\x02c_codecs\nencode\n\x8c\x01a\x8c\x03hex\x86R.",
        "the encoding 'hex' is not latin1",
    ),
    "attribute of a function": (
        b"\x80\x02c_codecs\nencode\n}\x8c\x01aK\x01sb.",
        "changes a _?Name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_refuses_a_hostile_pickle(tmp_path, kind):
    """Oracle: the table, each in its sentence, in 32 MB and a few seconds."""
    data, message = HOSTILE[kind]
    path = tmp_path / "a.npy"
    path.write_bytes(npy(data))
    begin = time.perf_counter()
    if kind != "too many operations":  # slow under the tracer
        tracemalloc.start()
    with pytest.raises(WeightFileError, match=message) as error:
        open_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert peak < 2**25
    assert time.perf_counter() - begin < 20


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
