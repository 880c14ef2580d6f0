"""Sound files of other kinds: each is named, with what to do about it."""

import pickle

import numpy as np
import pytest

from fcn_jax.convert.readers.open_weights import open_weights
from fcn_jax.convert.readers.weight_file import WeightFileError
from tests.convert.caffemodel_writer import blob, bytes_field, net, number_field, shape

VALUES = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)


def solver_state() -> bytes:
    """SolverState of caffe.proto: iter, learned_net, history, current_step."""
    history = bytes_field(3, blob(VALUES))
    return (
        number_field(1, 4000)
        + bytes_field(2, "a_iter_4000.caffemodel")
        + history
        + history
        + number_field(4, 2)
    )


def mean_image(legacy: bool) -> bytes:
    """BlobProto, as imagenet_mean.binaryproto."""
    return blob(VALUES, legacy=legacy)


def onnx() -> bytes:
    """ModelProto of onnx.proto: ir_version, producer_name, graph, opset_import."""
    tensor = number_field(1, 3) + number_field(2, 1) + bytes_field(8, "conv1.weight")
    graph = bytes_field(1, bytes_field(4, "Conv")) + bytes_field(5, tensor)
    model = number_field(1, 8) + bytes_field(2, "pytorch") + bytes_field(3, "2.1")
    return model + bytes_field(7, graph) + bytes_field(8, number_field(2, 17))


def graph_def() -> bytes:
    """GraphDef of TensorFlow: nodes of a name and an operation."""
    nodes = [bytes_field(1, n) + bytes_field(2, "Const") for n in ("conv1/W", "b")]
    return b"".join(bytes_field(1, node) for node in nodes)


LEVELDB_END = (0xDB4775248B80FB57).to_bytes(8, "little")
MATLAB = b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\1IM"
KINDS = {
    "solver state": (solver_state(), "a solver state of Caffe .*give the .caffemodel"),
    "solver state without a net": (
        number_field(1, 9) + bytes_field(3, blob(VALUES)),
        "a solver state of Caffe",
    ),
    "mean": (mean_image(legacy=True), "a single blob of Caffe .*a mean image"),
    "mean with a shape": (mean_image(legacy=False), "a single blob of Caffe"),
    "ONNX": (onnx(), "an ONNX net; load it with the onnx package"),
    "graph": (graph_def(), r"a graph of TensorFlow \(.pb\)"),
    "index": (bytes(40) + LEVELDB_END, "a checkpoint of TensorFlow.*numpy.savez"),
    "ckpt V1": (b"\0\x01\x02" * 99 + LEVELDB_END, "a checkpoint of TensorFlow"),
    "MatConvNet": (MATLAB + bytes(99), "a MATLAB file, .*scipy.io.loadmat"),
    "MATLAB 7.3": (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n", "version 7.3"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(50), "a TensorFlow Lite net"),
    "pickle": (pickle.dumps({"a": VALUES}), "a bare pickle, which may run code"),
    "zstandard": (b"\x28\xb5\x2f\xfd\x04", "a zstandard archive; unpack it"),
    "net without weights": (net([]), "it holds no weights"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named(tmp_path, kind):
    """Oracle: the messages' field numbers, and the formats' own marks."""
    data, words = KINDS[kind]
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    with pytest.raises(WeightFileError, match=words) as error:
        open_weights(path)
    assert str(error.value).startswith(str(path))
    assert "damaged" not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_numbers_of_a_tensorflow_checkpoint_are_told_by_their_name(tmp_path):
    """Oracle: tf.train.Saver's names; the file has no mark of its own."""
    path = tmp_path / "vgg_16.ckpt.data-00000-of-00001"
    path.write_bytes(VALUES.tobytes())
    with pytest.raises(WeightFileError, match="is a checkpoint of TensorFlow"):
        open_weights(path)


def test_a_net_stays_a_net(tmp_path):
    """Oracle: a BlobShape beside a name; every field of a net, none of them weights."""
    path = tmp_path / "a"
    path.write_bytes(bytes_field(1, "VGG") + bytes_field(100, bytes_field(1, "data")))
    with pytest.raises(WeightFileError, match="it holds no weights"):
        open_weights(path)
    path.write_bytes(bytes_field(7, shape((2, 2))) + b"\xff")
    with pytest.raises(WeightFileError, match="damaged"):
        open_weights(path)
