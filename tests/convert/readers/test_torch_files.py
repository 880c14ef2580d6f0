"""The reader of PyTorch's files, against torch's own, and of .safetensors."""

import collections
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from fcn_jax.convert.readers.open_weights import open_weights
from fcn_jax.convert.readers.weight_file import WeightFileError

torch = pytest.importorskip("torch", reason="writes the files and is the oracle")


def values(*shape):
    return torch.tensor(
        np.random.default_rng(shape).normal(size=shape), dtype=torch.float32
    )


def state():
    """Every kind of dense tensor that a state dictionary has."""
    base = values(4, 3, 5, 2)
    return collections.OrderedDict(
        {
            "features.0.weight": base,
            "features.0.bias": torch.nn.Parameter(values(4)),
            "transposed": base.permute(2, 3, 1, 0),
            "part": base[1:, ::2, 1:4],
            "tied": base,
            "half": values(6).half(),
            "brain": values(6).bfloat16(),
            "double": values(6).double(),
            "steps": torch.tensor(12_345_678_901),
            "bytes": torch.arange(5, dtype=torch.uint8),
            "mask": torch.tensor([True, False]),
        }
    )


def check(found, expected):
    assert found.format == "pytorch"
    assert list(found.arrays) == list(expected)
    for name, tensor in expected.items():
        tensor = tensor.detach()
        if tensor.dtype in (torch.half, torch.bfloat16):
            tensor = tensor.float()
        np.testing.assert_array_equal(found.arrays[name], tensor.numpy())
        assert found.arrays[name].dtype == tensor.numpy().dtype
        assert not found.arrays[name].flags.writeable


@pytest.mark.parametrize("zipped", [True, False])
def test_state_dictionary(tmp_path, zipped):
    """Oracle: the tensors that torch.save was given, in both of its layouts."""
    torch.save(state(), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    check(open_weights(tmp_path / "a.pth"), state())


@pytest.mark.parametrize("zipped", [True, False])
def test_state_dictionary_of_a_module(tmp_path, zipped):
    """Oracle: the module; its dictionary has _metadata as an attribute."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    file = tmp_path / "a.pth"
    torch.save(module.state_dict(), file, _use_new_zipfile_serialization=zipped)
    check(open_weights(file), module.state_dict())


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_state_dictionary_within_a_checkpoint(tmp_path, wrapper):
    """Oracle: the tensors, without DataParallel's prefix and what stands beside."""
    inner = {f"module.{name}": tensor for name, tensor in state().items()}
    groups = [{"lr": 0.1, "nesterov": False, "maximize": None, "params": [0, 1]}]
    optimizer = {"state": {0: {"momentum_buffer": values(3)}}, "param_groups": groups}
    content = {"epoch": 3, "optimizer": optimizer, wrapper: inner}
    torch.save(content, tmp_path / "a.pth")
    check(open_weights(tmp_path / "a.pth"), state())


def test_a_prefix_of_some_names_stays(tmp_path):
    """Oracle: two names, one with the prefix."""
    torch.save({"module.a": values(2), "b": values(3)}, tmp_path / "a.pth")
    assert list(open_weights(tmp_path / "a.pth").arrays) == ["module.a", "b"]


class Gadget:
    """Pickles as a call."""

    def __init__(self, call, *arguments):
        self.call = (call, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("call", [os.mkdir, os.system, eval, print, torch.load])
def test_a_pickle_is_not_run(tmp_path, monkeypatch, call, zipped):
    """Oracle: the marker that loading it would leave does not appear."""
    monkeypatch.chdir(tmp_path)
    argument = {os.system: "mkdir marker", eval: "__import__('os').mkdir('marker')"}
    gadget = Gadget(call, argument.get(call, "marker"))
    file = tmp_path / "a.pth"
    content = {"a": values(2), "b": gadget}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        WeightFileError, match="the pickle names .*nothing of it was run"
    ):
        open_weights(file)
    assert not (tmp_path / "marker").exists()


REFUSED = {
    "module": (lambda: torch.nn.Linear(2, 3), "names 'torch.nn.modules.linear.Linear'"),
    "entry": (lambda: {"a": values(2), "lr": 0.1}, "entry 'lr': is a float, not a dense"),
    "nested": (lambda: {"a": {"b": values(2)}}, "entry 'a': is a dict, not a dense"),
    "key": (lambda: {3: values(2)}, "entry 3: is a Tensor, not a dense tensor with a"),
    "tensor": (lambda: values(2), "no state dictionary but a _?Tensor"),
    "empty": (dict, "no state dictionary but a dict without entries"),
    "list": (lambda: [values(2)], "no state dictionary but a list"),
    "sparse": (lambda: {"a": values(2, 2).to_sparse()}, "the pickle names"),
    "quantised": (
        lambda: {"a": torch.quantize_per_tensor(values(4), 0.1, 0, torch.qint8)},
        "the pickle names",
    ),
    "complex": (lambda: {"a": torch.tensor([1j])}, "names 'torch.ComplexFloatStorage'"),
    "meta": (lambda: {"a": torch.empty(3, device="meta")}, "the pickle names"),
    "expanded": (lambda: {"a": torch.zeros(1).expand(10**9)}, "beyond its storage"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:DeprecationWarning")
def test_refuses(tmp_path, kind):
    """Oracle: the table of what torch saves and no net of ours takes."""
    make, message = REFUSED[kind]
    path = tmp_path / "a.pth"
    torch.save(make(), path)
    with pytest.raises(WeightFileError, match=message) as error:
        open_weights(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_refuses_torchscript(tmp_path):
    """Oracle: an archive that has code beside its data.pkl, as torch.jit.save's has."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02c__torch__\nNet\n)\x81.")
        archive.writestr("a/code/__torch__.py", "class Net(Module):")
    with pytest.raises(WeightFileError, match="names '__torch__.Net'"):
        open_weights(tmp_path / "a.pt")


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def tensor_pickle(
    storage="FloatStorage", count=4, offset=0, shape=(4,), strides=(1,), key="0"
):
    """data.pkl of {"a": tensor}, as torch writes it."""

    def numbers(items):
        return b"(" + b"".join(number(item) for item in items) + b"t"

    reference = b"(" + text("storage") + f"ctorch\n{storage}\n".encode() + text(key)
    reference += text("cpu") + number(count) + b"tQ"
    arguments = reference + number(offset) + numbers(shape) + numbers(strides)
    build = b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"\x89N" + b"tR"
    return b"\x80\x02}(" + text("a") + build + b"u."


def write_archive(path, pickled, data=bytes(16), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/byteorder", "little")
        archive.writestr("a/data/0", data)


def test_an_archive_by_hand(tmp_path):
    """Oracle: torch.load of the same bytes; a view with an offset and two strides."""
    pickled = tensor_pickle(count=8, offset=1, shape=(2, 3), strides=(1, 2))
    write_archive(tmp_path / "a.pth", pickled, np.arange(8, dtype="<f4").tobytes())
    with zipfile.ZipFile(tmp_path / "a.pth", "a") as archive:
        archive.writestr("a/version", "3\n")
    array = open_weights(tmp_path / "a.pth").arrays["a"]
    np.testing.assert_array_equal(array, [[1, 3, 5], [2, 4, 6]])
    loaded = torch.load(tmp_path / "a.pth", weights_only=True)["a"]
    np.testing.assert_array_equal(array, loaded)


HOSTILE = {
    "beyond": (tensor_pickle(shape=(5,)), "reaches beyond its storage"),
    "offset beyond": (tensor_pickle(offset=1), "reaches beyond its storage"),
    "stride beyond": (tensor_pickle(shape=(2,), strides=(4,)), "reaches beyond"),
    "stride 0": (tensor_pickle(shape=(2**40,), strides=(0,)), "reaches beyond"),
    "negative offset": (tensor_pickle(offset=-1, shape=(2,)), "is negative"),
    "negative stride": (tensor_pickle(shape=(2,), strides=(-1,)), "is negative"),
    "negative shape": (tensor_pickle(shape=(-2, -2), strides=(1, 1)), "is negative"),
    "negative count": (tensor_pickle(count=-4), "a storage has no key or no count"),
    "axes": (tensor_pickle(shape=(1,) * 33, strides=(1,) * 33), "too many axes"),
    "fewer strides": (tensor_pickle(shape=(2, 2)), "cannot be read"),
    "storage too small": (
        tensor_pickle(count=2**40),
        r"'a/data/0': has 16 bytes and its tensor's storage 4398046511104",
    ),
    "storage missing": (tensor_pickle(key="../../etc"), "has no 'a/data/../../etc'"),
    "called type": (b"\x80\x02ctorch\nFloatStorage\n)R.", "a type of storage is called"),
    "no storage": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR.", "no storage"),
    "wrong reference": (b"\x80\x02K\x01Q.", "cannot be read"),
    "deep tuple as key": (b"\x80\x02})" + b"\x85" * 20_000 + b"Ns.", "a tuple as a key"),
    "ordered tuple": (
        b"\x80\x02ccollections\nOrderedDict\n]])" + b"\x85" * 10_000 + b"aNaa\x85R.",
        "the name of an entry is no text",
    ),
    "no reference to a storage": (
        tensor_pickle().replace(text("storage"), text("tensor")),
        "to no storage or to a view",
    ),
    "view": (tensor_pickle().replace(b"tQ", b"K\x01tQ"), "to no storage or to a view"),
    "key": (tensor_pickle().replace(text("0"), b"K\x00"), "no key or no count"),
    "count": (tensor_pickle().replace(number(4) + b"tQ", text("4") + b"tQ"), "no count"),
    "empty pickle": (b"", "'a/data.pkl': is empty"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_refuses_a_hostile_archive(tmp_path, kind):
    """Oracle: the table of tensors that are not what the file holds."""
    pickled, message = HOSTILE[kind]
    path = tmp_path / "a.pth"
    write_archive(path, pickled)
    tracemalloc.start()
    with pytest.raises(WeightFileError, match=message) as error:
        open_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert peak < 2**25


def test_refuses_two_types_of_one_storage_beyond_it(tmp_path):
    """Oracle: four floats, of which a second tensor takes four doubles."""
    first, second = tensor_pickle(), tensor_pickle(storage="DoubleStorage")
    both = first[:-2] + second[4:].replace(text("a"), text("b"), 1)
    write_archive(tmp_path / "a.pth", both)
    with pytest.raises(
        WeightFileError, match="has 16 bytes and its tensor's storage 32"
    ):
        open_weights(tmp_path / "a.pth")


def test_refuses_one_storage_many_times(tmp_path):
    """Oracle: 1000 halves of 1 MB, which would be 2 GB as float32."""
    entries = b""
    for index in range(1000):
        one = tensor_pickle("HalfStorage", 2**19, shape=(2**19,))
        entries += one[4:-2].replace(text("a"), text(f"t{index}"), 1)
    write_archive(tmp_path / "a.pth", b"\x80\x02}(" + entries + b"u.", bytes(2**20))
    with pytest.raises(WeightFileError, match="claim 2097152000 bytes of a file of"):
        open_weights(tmp_path / "a.pth")


def test_refuses_what_torch_never_writes(tmp_path):
    """Oracle: a compressed archive, a big-endian one, one with two pickles."""
    path = tmp_path / "a.pth"
    write_archive(path, tensor_pickle(), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightFileError, match="is compressed, which torch.save never"):
        open_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", tensor_pickle())
        archive.writestr("a/byteorder", "big")
    with pytest.raises(WeightFileError, match="has the byte order b'big'"):
        open_weights(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b/data.pkl", tensor_pickle())
    with pytest.raises(WeightFileError, match="has 2 data.pkl; torch writes one"):
        open_weights(path)


def old_file(*objects, rest=b""):
    """A file of the old layout, whose magic number comes first."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    return magic + b"".join(objects) + rest


def dumped(*objects):
    return [pickle.dumps(item, protocol=2) for item in objects]


SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
TENSOR = tensor_pickle().replace(b"tQ", b"NtQ")
OLD = {
    "version": (old_file(*dumped(1000, SYSTEM)), "is of version 1000"),
    "big": (old_file(*dumped(1001, {"little_endian": False})), "a big-endian machine"),
    "system": (old_file(*dumped(1001, [])), "or a big-endian machine"),
    "cut": (old_file(*dumped(1001, SYSTEM), TENSOR), "pickle exhausted"),
    "keys": (old_file(*dumped(1001, SYSTEM), TENSOR, *dumped(3)), "is not the one"),
    "key": (old_file(*dumped(1001, SYSTEM), TENSOR, *dumped(["9"])), "is not the one"),
    "no keys": (
        old_file(*dumped(1001, SYSTEM), TENSOR, *dumped([])),
        "has no storage '0'",
    ),
    "count": (
        old_file(
            *dumped(1001, SYSTEM), TENSOR, *dumped(["0"]), rest=struct.pack("<q", 5)
        ),
        "a storage of 5 values is not the one that the tensors take",
    ),
    "values": (
        old_file(
            *dumped(1001, SYSTEM),
            TENSOR,
            *dumped(["0"]),
            rest=struct.pack("<q", 4) + bytes(15),
        ),
        "the file ends within the storage '0' of 4 values",
    ),
}


@pytest.mark.parametrize("kind", OLD)
def test_refuses_a_damaged_old_file(tmp_path, kind):
    """Oracle: the table; with its values whole the file is read."""
    data, message = OLD[kind]
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(WeightFileError, match=message):
        open_weights(tmp_path / "a.pth")
    (tmp_path / "a.pth").write_bytes(OLD["values"][0] + b"\0")
    np.testing.assert_array_equal(open_weights(tmp_path / "a.pth").arrays["a"], [0] * 4)


def test_safetensors(tmp_path):
    """Oracle: the tensors that the library was given."""
    library = pytest.importorskip("safetensors.torch", reason="writes .safetensors")
    tensors = {
        "features.0.weight": values(4, 3, 5, 2),
        "half": values(6).half(),
        "brain": values(6).bfloat16(),
        "steps": torch.tensor([3, 4]),
    }
    library.save_file(tensors, tmp_path / "a.safetensors", {"format": "pt"})
    found = open_weights(tmp_path / "a.safetensors")
    assert found.format == "safetensors"
    assert set(found.arrays) == set(tensors)
    for name, tensor in tensors.items():
        expected = tensor if tensor.dtype == torch.int64 else tensor.float()
        np.testing.assert_array_equal(found.arrays[name], expected.numpy())
        assert found.arrays[name].dtype == expected.numpy().dtype
        assert not found.arrays[name].flags.writeable


def test_refuses_safetensors_without_tensors(tmp_path):
    """Oracle: an empty header and nothing behind it, which the library reads."""
    pytest.importorskip("safetensors", reason="reads .safetensors")
    (tmp_path / "a").write_bytes(struct.pack("<Q", 8) + b"{}      ")
    with pytest.raises(WeightFileError, match="holds no weights; it has no tensors"):
        open_weights(tmp_path / "a")


HEADERS = {
    "beyond the file": (
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        "cannot be read",
    ),
    "shape": (
        b'{"a":{"dtype":"F32","shape":[1073741824,4],"data_offsets":[0,8]}}',
        "cannot be read",
    ),
    "type": (
        b'{"a":{"dtype":"BOOL","shape":[8],"data_offsets":[0,8]}}',
        "'a': has the type bool; only floats and integers",
    ),
    "not whole": (b"{}      ", "cannot be read"),
    "no JSON": (b"{nonsense", "cannot be read"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_refuses_safetensors(tmp_path, kind):
    """Oracle: the table of headers that the eight bytes of values do not fit."""
    pytest.importorskip("safetensors", reason="reads .safetensors")
    header, message = HEADERS[kind]
    path = tmp_path / "a"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(WeightFileError, match=message) as error:
        open_weights(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
