"""The reader of Keras' .h5 files, and what it does not follow or unpack."""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from fcn_jax.convert.layouts.weight_layouts import WEIGHT_LAYOUTS
from fcn_jax.convert.readers import hdf5, hdf5_child
from fcn_jax.convert.readers.open_weights import open_weights
from fcn_jax.convert.readers.weight_file import WeightFileError

h5py = pytest.importorskip("h5py", reason="writes and reads HDF5 files")


@pytest.fixture
def child():
    """Asks for the process that reads HDF5 files."""


@pytest.fixture(autouse=True)
def reader(request, monkeypatch):
    """Reads in this process where a test does not ask for the child: half a second."""
    if "child" in request.fixturenames:
        return

    def run_child(path, file, unpacked):
        answer = json.dumps(hdf5_child.describe(file, unpacked)).encode()
        unpacked.flush()
        return 0, answer

    monkeypatch.setattr(hdf5, "run_child", run_child)
    monkeypatch.setattr(hdf5_child, "limit", lambda *_: None)


def values(*shape, dtype=np.float32):
    return np.random.default_rng(shape).normal(size=shape).astype(dtype)


KERNEL, BIAS = values(3, 2, 5, 4), values(4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vgg16.h5"


def check(path, names):
    found = open_weights(path)
    assert (found.path, found.format) == (path, "keras")
    assert list(found.arrays) == names
    for array, expected in zip(found.arrays.values(), (KERNEL, BIAS), strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == np.float32
        assert not array.flags.writeable


@pytest.mark.usefixtures("child")
def test_weights_of_keras_applications(path):
    """Oracle: the arrays written, in the layout of vgg16_weights_tf_dim_ordering."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"block1_conv1", b"flatten"]
        group = file.create_group("block1_conv1")
        group.attrs["weight_names"] = [b"block1_conv1_W_1:0", b"block1_conv1_b_1:0"]
        group["block1_conv1_W_1:0"], group["block1_conv1_b_1:0"] = KERNEL, BIAS
        file.create_group("flatten")
    check(path, ["block1_conv1/block1_conv1_W_1:0", "block1_conv1/block1_conv1_b_1:0"])


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_whole_model_of_keras_2(path, compression):
    """Oracle: the arrays written below model_weights; the optimiser's are left out."""
    with h5py.File(path, "w", userblock_size=0) as file:
        file.attrs["model_config"] = "{}"
        group = file.create_group("model_weights/conv1/conv1")
        group.create_dataset("kernel:0", data=KERNEL, compression=compression)
        group.create_dataset("a_bias:0", data=BIAS, compression=compression)
        group.move("a_bias:0", "z_bias:0")
        file["optimizer_weights/Adam/kernel:0"] = values(7)
    check(path, ["conv1/conv1/kernel:0", "conv1/conv1/z_bias:0"])


def soft_link(file):
    file["a"] = h5py.SoftLink("/fine")


def external_link(file):
    with h5py.File("secret.h5", "w") as other:
        other["x"] = BIAS
    file["a"] = h5py.ExternalLink("secret.h5", "/x")


def external_root(file):
    external_link(file)
    file["model_weights"] = h5py.SoftLink("/fine")


def external_storage(file):
    with open("secret", "wb") as other:
        other.write(bytes(16))
    file.create_dataset("a", (4,), "f4", external=[("secret", 0, 16)])


def virtual_dataset(file):
    with h5py.File("secret.h5", "w") as other:
        other["x"] = BIAS
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (4,))
    file.create_virtual_dataset("a", layout)


def shape_bomb(file):
    file.create_dataset("a", (10**6, 10**6), "f4", chunks=(1000, 1000))


def partly_written(file):
    file.create_dataset("a", (1000, 1000), "f4", chunks=(10, 10))
    file["a"][:10, :10] = 1


def never_written(file):
    file.create_dataset("a", (10, 10), "f4", chunks=(10, 10), compression="gzip")


def many_names(file):
    file["a"] = values(10_000)
    for index in range(9):
        file[f"a{index}"] = file["a"]


def compressed_bomb(file):
    shape = (25_000, 1000)
    file.create_dataset("a", shape, "f4", chunks=shape, compression="gzip")
    file["a"][...] = 0


def half_written_bomb(file):
    file.create_dataset("a", (10**6, 10**6), "f4", chunks=(10, 10), compression="gzip")
    file["a"][:10, :10] = 1


def chunk_bomb(file):
    file.create_dataset(
        "a", (1,), "f4", chunks=(10**8,), maxshape=(10**8,), compression="gzip"
    )
    file["a"][...] = 1


def text(file):
    file["a"] = "hello"


def objects(file):
    file.create_dataset("a", data=["x", "y"], dtype=h5py.string_dtype())


def references(file):
    file.create_dataset("a", data=file["fine"].ref, dtype=h5py.ref_dtype)


def booleans(file):
    file["a"] = np.array([True])


def records(file):
    file["a"] = np.zeros(2, [("x", "f4")])


def nothing(file):
    file["a"] = h5py.Empty("f4")


def cycle(file):
    file.create_group("a")
    file["a/a"] = file["a"]


REFUSED = {
    soft_link: "'a': is a link .SoftLink., and links are not followed",
    external_link: "'a': is a link .ExternalLink.",
    external_root: "is a link .(Soft|External)Link.",
    external_storage: "'a': its values are in another file or dataset",
    virtual_dataset: "'a': its values are in another file or dataset",
    shape_bomb: r"has 0 bytes of values and the shape \(1000000, 1000000\) .*never",
    partly_written: r"has 400 bytes of values and the shape \(1000, 1000\)",
    never_written: r"has 0 bytes of values and the shape \(10, 10\)",
    many_names: "its datasets claim 400016 bytes of a file of 4[0-9]{4};",
    compressed_bomb: "claim 1000000[0-9]* bytes and the file has .* it is not unpacked",
    half_written_bomb: "claim 40000000000[0-9]* bytes and the file has",
    chunk_bomb: "claim 4000000[0-9]* bytes and the file has",
    text: "'a': has the type object",
    objects: "'a': has the type object",
    references: "'a': has the type object",
    booleans: "'a': has the type bool",
    records: "'a': has the type .*only arrays of floats and integers",
    nothing: r"'a': has the type float32 and the shape None",
    cycle: "over 16 groups deep",
}


@pytest.mark.slow
@pytest.mark.parametrize("change", REFUSED)
def test_refuses(path, monkeypatch, change):
    """Oracle: the table of what is not wholly in the file; no memory is taken for it."""
    monkeypatch.chdir(path.parent)
    with h5py.File(path, "w") as file:
        file["fine"] = BIAS
        change(file)
    tracemalloc.start()
    with pytest.raises(WeightFileError, match=REFUSED[change]) as error:
        open_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert peak < 2**22


def test_refuses_more_objects_than_layers_have(path):
    """Oracle: eleven datasets where ten objects are allowed."""
    with h5py.File(path, "w") as file:
        for index in range(10):
            file[f"a{index}"] = BIAS
    with path.open("rb") as file:
        assert len(hdf5_child.describe(file, io.BytesIO(), 10)["datasets"]) == 10
    with h5py.File(path, "a") as file:
        file["b"] = BIAS
    with path.open("rb") as file:
        answer = hdf5_child.describe(file, io.BytesIO(), 10)
    assert answer == {
        "error": "'b': over 16 groups deep or 10 objects; no file of a net's layers"
    }


def test_refuses_a_file_without_datasets(path):
    """Oracle: a group and nothing in it."""
    with h5py.File(path, "w") as file:
        file.create_group("layer")
    with pytest.raises(WeightFileError, match="holds no weights; it has no datasets"):
        open_weights(path)


def test_refuses_a_file_cut_off(path):
    """Oracle: half of the file."""
    with h5py.File(path, "w") as file:
        file["a"] = values(10_000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightFileError, match="cannot be read .*truncated file"):
        open_weights(path)


def test_zeros_that_compress_well_are_read(path):
    """Oracle: 4 MB of zeros, as a bias or an unused layer may have."""
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.zeros((1000, 1000), "f4"), compression="gzip")
    assert path.stat().st_size < 40_000
    assert not open_weights(path).arrays["a"].any()


LAYERS = ("block1_conv1", "block1_conv2")


def write_keras_3(file, titles=True):
    """As Keras 3.15 writes a model's weights, beside what it writes of others."""
    for number, title in enumerate(LAYERS):
        layer = f"layers/conv2d_{number}" if number else "layers/conv2d"
        group = file.create_group(f"{layer}/vars")
        group.attrs["name"] = title if titles else layer.removeprefix("layers/")
        group["0"], group["1"] = KERNEL + number, BIAS + number
    file.create_group("layers/flatten/vars").attrs["name"] = "flatten"
    file.create_group("vars").attrs["name"] = "vgg16"
    file["optimizer/vars/0"] = values(7)


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize("titles", [True, False])
@pytest.mark.parametrize("archive", [True, False])
def test_weights_of_keras_3(path, tmp_path, archive, titles):
    """Oracle: the arrays written, by the layers' own names or their classes'."""
    with h5py.File(path, "w") as file:
        write_keras_3(file, titles)
    if archive:
        with zipfile.ZipFile(tmp_path / "a.keras", "w") as whole:
            whole.writestr("metadata.json", "{}")
            whole.write(path, "model.weights.h5")
        path = tmp_path / "a.keras"
    found = open_weights(path)
    assert found.format == "keras"
    first, second = LAYERS if titles else ("conv2d", "conv2d_1")
    assert set(found.arrays) == {f"{n}/{i}" for n in (first, second) for i in (0, 1)}
    for number, name in enumerate((first, second)):
        np.testing.assert_array_equal(found.arrays[f"{name}/0"], KERNEL + number)
        np.testing.assert_array_equal(found.arrays[f"{name}/1"], BIAS + number)
        keys = WEIGHT_LAYOUTS["keras"].keys(f"conv1_{number + 1}", "weight")
        assert f"{name}/0" in keys


def test_layers_of_inner_models_with_equal_names_keep_their_paths(path):
    """Oracle: two layers called conv2d, one of them in an inner model."""
    with h5py.File(path, "w") as file:
        for place in ("layers/conv2d", "layers/functional/layers/conv2d"):
            file.create_group(f"{place}/vars")["0"] = KERNEL
        file.create_group("vars")
    assert set(open_weights(path).arrays) == {
        "conv2d/vars/0",
        "functional/layers/conv2d/vars/0",
    }


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_snapshot_of_caffe(path, compression):
    """Oracle: the blobs written, as Net::ToHDF5 does; GoogLeNet's names have a slash."""
    with h5py.File(path, "w") as file:
        for name in ("conv1_1", "inception_3a/1x1", "relu"):
            file.create_group(f"data/{name}")
        for name in ("conv1_1", "inception_3a/1x1"):
            group = file[f"data/{name}"]
            group.create_dataset("0", data=KERNEL, compression=compression)
            group["1"] = BIAS
        file["diff/conv1_1/0"] = KERNEL * 0
    found = open_weights(path)
    assert found.format == "caffemodel (HDF5)"
    assert set(found.kinds) == {"conv1_1", "inception_3a/1x1"}
    for name in found.kinds:
        np.testing.assert_array_equal(found.arrays[f"{name}[0]"], KERNEL)
        np.testing.assert_array_equal(found.arrays[f"{name}[1]"], BIAS)
    assert len(found.arrays) == 4


def test_a_solver_state_of_caffe_is_named(path):
    """Oracle: what SGDSolver::SnapshotSolverStateToHDF5 writes."""
    with h5py.File(path, "w") as file:
        file["iter"], file["current_step"] = 3, 1
        file["learned_net"] = "a_iter_3.caffemodel.h5"
        file["history/0"] = KERNEL
    with pytest.raises(WeightFileError, match="is a solver state of Caffe.*give the"):
        open_weights(path)
