"""Pickles that would run code, take memory or are damaged: read as data, refused."""

import os
import pickle
import struct
import time
import tracemalloc

import numpy as np
import pytest

from fcn_jax.convert.readers.open_weights import open_weights
from fcn_jax.convert.readers.weight_file import WeightFileError


def npy(pickled):
    """An .npy file of objects with this pickle."""
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + pickled


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
    content = {"conv1": [np.ones(2), marking(marker)[kind]]}
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


@pytest.mark.slow
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
