"""The reader of .caffemodel files: what it reads, and what it refuses."""

import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fcn_jax.convert.readers.caffe import parse_caffemodel
from fcn_jax.convert.readers.open_weights import open_weights
from fcn_jax.convert.readers.weight_file import WeightFileError
from tests.convert import caffemodel_writer as writer

PATH = Path("net.caffemodel")


def values(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(dtype)


def parse(data):
    return parse_caffemodel(PATH, data)


def one_blob(content):
    """A net of one layer `a` with one blob of these bytes."""
    return writer.net([writer.layer("a", "Convolution", [content])])


def test_new_format_spelled_out_byte_by_byte():
    """Oracle: the bytes, written by hand from caffe.proto and the wire format."""
    data = bytes.fromhex(
        "0a 01 6e"  # NetParameter.name = "n"
        "a2 06 1d"  # layer, field 100, 29 bytes
        "0a 01 63"  # name = "c"
        "12 02 49 50"  # type = "IP"
        "3a 14"  # blobs, field 7, 20 bytes
        "3a 04 0a 02 01 03"  # shape, field 7: dim packed 1, 3
        "2a 0c 0000803f 000000c0 0000003f"  # data, field 5: 1, -2, 0.5
    )
    found = parse(data)
    assert (found.format, found.title) == ("caffemodel", "n")
    assert found.kinds == {"c": "IP"}
    assert list(found.arrays) == ["c[0]"]
    np.testing.assert_array_equal(found.arrays["c[0]"], [[1.0, -2.0, 0.5]])
    assert found.arrays["c[0]"].dtype == np.float32


def test_v1_format_spelled_out_byte_by_byte():
    """Oracle: the bytes, written by hand; type 39 is DECONVOLUTION in caffe.proto."""
    data = bytes.fromhex(
        "12 19"  # layers, field 2, 25 bytes
        "28 27"  # type = 39, before the name
        "22 01 64"  # name = "d"
        "32 12"  # blobs, field 6, 18 bytes
        "08 01 10 01 18 02 20 01"  # num 1, channels 1, height 2, width 1
        "2a 08 0000803f 000000c0"  # data: 1, -2
    )
    found = parse(data)
    assert (found.format, found.title) == ("caffemodel (V1)", "")
    assert found.kinds == {"d": "Deconvolution"}
    np.testing.assert_array_equal(found.arrays["d[0]"], [[[[1.0], [-2.0]]]])


@pytest.mark.parametrize("v1", [False, True])
def test_a_net_comes_back_from_its_file(tmp_path, v1):
    """Oracle: the arrays that were written; V1 pads their shapes to four axes."""
    arrays = {
        "conv1/7x7_s2": [values(4, 3, 5, 2), values(4)],
        "fc6": [values(6, 7), values(6)],
        "upscore": [values(2, 3, 4, 5)],
    }
    kinds = {"upscore": "Deconvolution"}
    path = tmp_path / "any.name"
    path.write_bytes(writer.caffemodel(arrays, kinds, v1=v1, name="ein Netz ä"))
    found = open_weights(path)
    assert found.path == path
    assert found.title == "ein Netz ä"
    assert found.format == ("caffemodel (V1)" if v1 else "caffemodel")
    assert found.kinds == {
        "conv1/7x7_s2": "Convolution",
        "fc6": "InnerProduct",
        "upscore": "Deconvolution",
    }
    expected = {f"{k}[{i}]": x for k, xs in arrays.items() for i, x in enumerate(xs)}
    assert list(found.arrays) == list(expected)
    for name, array in expected.items():
        shape = (1,) * (4 - array.ndim) + array.shape if v1 else array.shape
        np.testing.assert_array_equal(found.arrays[name], array.reshape(shape))
        assert found.arrays[name].shape == shape
        assert not found.arrays[name].flags.writeable


def test_types_of_v1_have_their_new_names():
    """Oracle: caffe.proto's V1LayerType and the names of the layers of today."""
    numbers = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution", 18: "ReLU"}
    numbers |= {
        15: "LRN",
        17: "Pooling",
        21: "SoftmaxWithLoss",
        3: "Concat",
        22: "Split",
    }
    numbers |= {25: "Eltwise", 31: "Threshold", 38: "Exp", 0: "", 40: "", 2**40: ""}
    layers = [writer.v1_layer(f"l{n}", n, [writer.blob(values(1))]) for n in numbers]
    found = parse(writer.net(layers, v1=True))
    assert found.kinds == {f"l{n}": kind for n, kind in numbers.items()}


def floats(*numbers):
    return struct.pack(f"<{len(numbers)}f", *numbers)


SPELLINGS = {
    "unpacked": writer.blob(values(2, 3), packed=False),
    "double": writer.blob(values(2, 3, dtype=np.float64)),
    "double unpacked": writer.blob(values(2, 3, dtype=np.float64), packed=False),
    "double beside float": writer.bytes_field(5, floats(7, 8))
    + writer.blob(values(2, 3, dtype=np.float64)),
    "empty double": writer.bytes_field(8, b"") + writer.blob(values(2, 3)),
    "diff beside data": writer.blob(values(2, 3))
    + writer.bytes_field(6, floats(*range(6)))
    + writer.bytes_field(9, struct.pack("<6d", *range(6))),
    "data before shape": writer.bytes_field(5, values(2, 3).tobytes())
    + writer.bytes_field(7, writer.shape((2, 3))),
    "unpacked shape": writer.bytes_field(7, writer.shape((2, 3), packed=False))
    + writer.bytes_field(5, values(2, 3).tobytes()),
    "several pieces": writer.bytes_field(5, values(2, 3).tobytes()[:8])
    + writer.bytes_field(7, writer.shape((2,)))
    + writer.bytes_field(5, b"")
    + b"\x2d"
    + values(2, 3).tobytes()[8:12]
    + writer.bytes_field(7, writer.shape((3,)))
    + writer.bytes_field(5, values(2, 3).tobytes()[12:]),
    "unknown fields": writer.number_field(77, 3)
    + writer.bytes_field(1234, b"xyz")
    + b"\x59" + b"8 bytes."
    + writer.blob(values(2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_a_blob(spelling):
    """Oracle: the values, of which each spelling is one that protobuf accepts."""
    array = parse(one_blob(SPELLINGS[spelling])).arrays["a[0]"]
    double = spelling.startswith("double")
    expected = values(2, 3, dtype=np.float64 if double else np.float32)
    assert array.dtype == expected.dtype
    assert not array.flags.writeable
    np.testing.assert_array_equal(array, expected)


def test_a_legacy_size_outdoes_the_shape_and_others_are_zero():
    """Oracle: Blob::FromProto: any of the four sizes present, then all four count."""
    shape = writer.bytes_field(7, writer.shape((6,)))
    data = writer.bytes_field(5, values(6).tobytes())
    sizes = b"".join(writer.number_field(i, n) for i, n in enumerate((1, 2, 3, 1), 1))
    assert parse(one_blob(shape + sizes + data)).arrays["a[0]"].shape == (1, 2, 3, 1)
    with pytest.raises(WeightFileError, match=r"shape \[0, 0, 6, 0\], which takes 0"):
        parse(one_blob(shape + writer.number_field(3, 6) + data))


def test_values_map_the_file(tmp_path):
    """Oracle: a 400 MB blob, a hole in a sparse file, takes no time and no memory."""
    count = 100_000_000
    start = writer.bytes_field(7, writer.shape((10_000, 10_000)))
    start += writer.tag(5, 2) + writer.varint(4 * count)
    blob = writer.tag(7, 2) + writer.varint(len(start) + 4 * count) + start
    layer = writer.bytes_field(1, "fc6") + blob
    head = writer.tag(100, 2) + writer.varint(len(layer) + 4 * count) + layer
    path = tmp_path / "large.caffemodel"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + 4 * count)
    tracemalloc.start()
    begin = time.perf_counter()
    array = open_weights(path).arrays["fc6[0]"]
    seconds = time.perf_counter() - begin
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert array.shape == (10_000, 10_000)
    assert array[-1, -1] == 0
    assert seconds < 1
    assert peak < 2**20


BLOB = writer.blob(values(3))
DATA = writer.bytes_field(5, values(3).tobytes())
LAYER = writer.layer("a", "Convolution", [BLOB])
V1_LAYER = writer.v1_layer("a", "Convolution", [BLOB])
DAMAGED = "damaged, cut off or no caffemodel"

REFUSED = {
    "no layers": (writer.net([]), "holds no weights"),
    "no blobs": (writer.net([writer.layer("r", "ReLU")]), "holds no weights"),
    "both generations": (
        writer.net([LAYER]) + writer.net([V1_LAYER], v1=True),
        "layers of both generations",
    ),
    "V0": (
        writer.net([writer.bytes_field(1, writer.bytes_field(1, "c"))], v1=True),
        "V0 format of 2013, which is not read; rewrite .*upgrade_net_proto_binary",
    ),
    "same name": (writer.net([LAYER, LAYER]), "layer 'a': a second layer of this name"),
    "no name": (
        writer.net([writer.bytes_field(7, BLOB)]),
        "the layer at byte 5: it has blobs and no name",
    ),
    "name not UTF-8": (
        writer.net([writer.bytes_field(1, b"\xff\xfe")]),
        "the name of the layer at byte 5: it is not UTF-8",
    ),
    "long name": (
        writer.net([writer.layer("x" * 1025, "ReLU")]),
        "1025 bytes, more than 1024",
    ),
    "negative size": (
        one_blob(writer.bytes_field(7, writer.shape((-1, -3))) + DATA),
        r"layer 'a', blob 0: its shape \[-1, -3\] is negative",
    ),
    "values missing": (
        one_blob(writer.bytes_field(7, writer.shape((2, 2))) + DATA),
        r"it has 3 values and the shape \[2, 2\], which takes 4",
    ),
    "product beyond 64 bits": (
        one_blob(writer.bytes_field(7, writer.shape((2**32, 2**32, 3))) + DATA),
        "which takes 55340232221128654848",
    ),
    "no shape": (one_blob(DATA), r"3 values and the shape \[\], which takes 1"),
    "no values": (
        one_blob(writer.bytes_field(7, writer.shape((0, 2**60)))),
        "it has no values",
    ),
    "33 axes": (
        one_blob(writer.bytes_field(7, writer.shape((1,) * 33)) + DATA),
        "more than 32 axes",
    ),
    "million axes": (
        one_blob(writer.bytes_field(7, writer.shape((1,) * 10**6)) + DATA),
        "more than 32 axes",
    ),
    "half a value": (
        one_blob(writer.bytes_field(7, writer.shape((3,))) + b"\x2a\x05abcde"),
        "5 bytes are no multiple of the 4 of a value",
    ),
    "data as a number": (
        one_blob(writer.number_field(5, 3)),
        "field 5 has the wire type 0 instead of 2 or 5",
    ),
    "layer as a number": (writer.number_field(100, 3), "field 100 has the wire type 0"),
    "solver state": (writer.number_field(1, 450000), "field 1 has the wire type 0"),
    "terabytes in the net": (
        writer.tag(100, 2) + writer.varint(2**42) + b"abc",
        "field 100 claims 4398046511104 bytes where 3 are left",
    ),
    "terabytes in a blob": (
        one_blob(writer.tag(5, 2) + writer.varint(2**63) + b"abcd"),
        "field 5 claims 9223372036854775808 bytes where 4 are left",
    ),
    "beyond its parent": (
        writer.net([writer.bytes_field(1, "a") + b"\x3a\x08abc", LAYER]),
        "field 7 claims 8 bytes where 3 are left",
    ),
    "group": (b"\x0b\x0c", "field 1 has the wire type 3"),
    "end of a group": (b"\x0c", "field 1 has the wire type 4"),
    "wire type 7": (b"\x0f", "field 1 has the wire type 7"),
    "field 0": (b"\x02\x01a", "a field has the number 0"),
    "field 2^29": (writer.tag(2**29, 0) + b"\1", "has the number 536870912"),
    "endless number": (b"\xff" * 30, "more than ten bytes"),
    "65 bits": (b"\x28" + b"\xff" * 9 + b"\x02", "more than 64 bits"),
    "number cut": (b"\x28\xff\xff", "the data end within a number"),
    "float cut": (b"\x2d\0\0", "field 5 claims 4 bytes where 2 are left"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refuses(kind):
    """Oracle: the table of what Caffe does not write, each with its sentence."""
    data, message = REFUSED[kind]
    with pytest.raises(WeightFileError, match=message) as error:
        parse(data)
    assert str(error.value).startswith("net.caffemodel, byte ")
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_memory_does_not_follow_the_number_of_blobs():
    """Oracle: two million empty blobs in 4 MB are refused below 32 MB."""
    data = writer.net([writer.bytes_field(1, "a") + b"\x3a\x00" * 2_000_000])
    tracemalloc.start()
    with pytest.raises(WeightFileError, match="more than 65536 blobs"):
        parse(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25


def test_memory_does_not_follow_the_number_of_pieces():
    """Oracle: 50,001 pieces of one value take what the values take."""
    pieces = (b"\x2a\x04" + floats(2.5)) * 50_001
    data = one_blob(writer.bytes_field(7, writer.shape((50_001,))) + pieces)
    tracemalloc.start()
    array = parse(data).arrays["a[0]"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (array == 2.5).all()
    assert peak < 4 * 200_000


RAW = {  # enum Type of NVIDIA's caffe.proto
    0: np.float64,
    1: np.float32,
    2: np.float16,
}


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("kind", RAW)
def test_raw_data_of_nvidias_caffe(tmp_path, kind, v1):
    """Oracle: NumPy's values; those of 16 bits come in 32, exactly."""
    values = np.linspace(-3, 3, 24).astype(RAW[kind]).reshape(2, 3, 2, 2)
    raw = writer.number_field(10, kind) + writer.bytes_field(12, values.tobytes())
    other = writer.number_field(11, kind) + writer.bytes_field(13, bytes(48))
    blob = writer.bytes_field(7, writer.shape(values.shape)) + raw + other
    make, number = (writer.v1_layer, 4) if v1 else (writer.layer, "Convolution")
    data = writer.net(
        [make("conv1", number, [blob, writer.blob(np.ones(2, "f4"))])], v1=v1
    )
    (tmp_path / "a").write_bytes(data)
    found = open_weights(tmp_path / "a").arrays
    np.testing.assert_array_equal(found["conv1[0]"], values)
    assert found["conv1[0]"].dtype == (np.float64 if kind == 0 else np.float32)
    assert not found["conv1[0]"].flags.writeable
    np.testing.assert_array_equal(found["conv1[1]"], [1, 1])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (writer.number_field(10, 3) + writer.bytes_field(12, bytes(8)), "type 3, not"),
        (writer.bytes_field(12, bytes(8)), "of the type None, not"),
        (writer.number_field(10, 2) + writer.bytes_field(12, bytes(3)), "no multiple"),
        (writer.number_field(10, 1) + writer.bytes_field(12, bytes(8)), "has 2 values"),
    ],
)
def test_raw_data_that_are_no_floats_are_refused(tmp_path, fields, words):
    """Oracle: the types and sizes that raw_data of a weight have."""
    blob = writer.bytes_field(7, writer.shape((3,))) + fields
    data = writer.net([writer.layer("conv1", "Convolution", [blob])])
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(WeightFileError, match=f"layer 'conv1', blob 0: .*{words}"):
        open_weights(tmp_path / "a")
