"""Which reader a file goes to, by its content, and what no reader takes."""

import gzip
import io
import os
import pickle
import random
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from fcn_jax.convert.readers.open_weights import open_weights
from fcn_jax.convert.readers.weight_file import WeightFileError
from tests.convert import caffemodel_writer as writer
from tests.convert.fuzz_caffe import mutated

WEIGHT = np.random.default_rng(5).normal(size=(3, 2, 5, 4)).astype(np.float32)


def npz_file(path):
    with path.open("wb") as file:  # savez would add .npz to the name
        np.savez(file, **{"conv1/W": WEIGHT})


def npy_file(path):
    with path.open("wb") as file:
        np.save(file, {"conv1": [WEIGHT]}, allow_pickle=True)  # type: ignore[arg-type]


def caffe_file(path):
    path.write_bytes(writer.caffemodel({"conv1": [WEIGHT]}))


def keras_file(path):
    h5py = pytest.importorskip("h5py", reason="writes the Keras file")
    with h5py.File(path, "w") as file:
        file["conv1/kernel:0"] = WEIGHT


def safetensors_file(path):
    numpy = pytest.importorskip("safetensors.numpy", reason="writes .safetensors")
    numpy.save_file({"conv1.weight": WEIGHT}, path)


def torch_file(path):
    torch = pytest.importorskip("torch", reason="writes the .pth file")
    torch.save({"conv1.weight": torch.tensor(WEIGHT)}, path)


def old_torch_file(path):
    torch = pytest.importorskip("torch", reason="writes the .pth file")
    state = {"conv1.weight": torch.tensor(WEIGHT)}
    torch.save(state, path, _use_new_zipfile_serialization=False)


FORMATS = {
    "caffemodel": (caffe_file, "caffemodel", "conv1[0]"),
    "npz": (npz_file, "npz", "conv1/W"),
    "npy": (npy_file, "npy", "conv1[0]"),
    "h5": (keras_file, "keras", "conv1/kernel:0"),
    "safetensors": (safetensors_file, "safetensors", "conv1.weight"),
    "pth": (torch_file, "pytorch", "conv1.weight"),
    "old pth": (old_torch_file, "pytorch", "conv1.weight"),
}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("name", ["weights", "weights.caffemodel", "weights.pth"])
def test_content_decides_and_not_the_name(tmp_path, format_, name):
    """Oracle: the array that was written."""
    write, expected, array_name = FORMATS[format_]
    path = tmp_path / name
    write(path)
    found = open_weights(str(path))
    assert (found.path, found.format, found.title[:3]) in [
        (path, expected, ""),
        (path, expected, "net"),
    ]
    assert list(found.arrays) == [array_name]
    np.testing.assert_array_equal(found.arrays[array_name], WEIGHT)
    assert not found.arrays[array_name].flags.writeable


@pytest.mark.parametrize("format_", [f for f in FORMATS if f != "h5"])
def test_damaged_files_are_refused_or_read(tmp_path, format_):
    """Oracle: nothing but WeightFileError with the path, and arrays within the file.

    Of a small file, cut short and mutated by the fuzzer's hand. HDF5 is left out: it is
    read by a C library, whose faults would end the test run.
    """
    write, path = FORMATS[format_][0], tmp_path / "weights"
    write(path)
    data, rng = path.read_bytes(), random.Random(7)
    cases = [data[:n] for n in range(0, len(data), 1 + len(data) // 60)]
    cases += [mutated(rng, data) for _ in range(250)]
    read = 0
    for case in cases:
        path.write_bytes(case)
        try:
            found = open_weights(path)
        except WeightFileError as error:
            sentence = str(error)
            if not sentence.startswith(str(path)) or "\n" in sentence:
                raise AssertionError(
                    f"not one line with the path: {sentence}"
                ) from None
        else:
            read += 1
            assert found.arrays
            assert sum(x.nbytes for x in found.arrays.values()) <= 101 * len(data)
    assert 0 < read < len(cases)


@pytest.mark.parametrize(
    "data",
    [
        writer.caffemodel({"a": [WEIGHT]}, name="likeaa{safetensors"),
        writer.number_field(16, 2) + writer.caffemodel({"a": [WEIGHT]}),
        writer.bytes_field(7, "<html>") + writer.caffemodel({"a": [WEIGHT]}),
    ],
)
def test_first_bytes_that_resemble_another_format(tmp_path, data):
    """Oracle: the brace of safetensors, the 80 of a pickle, a page in a field."""
    (tmp_path / "a").write_bytes(data)
    np.testing.assert_array_equal(open_weights(tmp_path / "a").arrays["a[0]"], WEIGHT)


def gzip_tar(data):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("vgg16.ckpt")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


REFUSED = {
    "empty": (b"", "is empty; get it again"),
    "web page": (
        b"\n  <!DOCTYPE html>\n<html><title>Google Drive - Virus scan warning",
        "is a web page or XML, not weights, .*download it again",
    ),
    "page with a mark": (b"\xef\xbb\xbf<HTML lang=en>", "is a web page or XML"),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "web page or XML"),
    "LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "is a Git LFS pointer, .*`git lfs pull`",
    ),
    "prototxt": (b'name: "VGG16"\nlayer {\n  name: "data"\n}\n', "is text, not weights"),
    "gzip": (gzip.compress(b"x"), "is a gzip archive; unpack it"),
    "tar": (gzip_tar(b"x"), "is a tar archive; unpack it"),
    "pickle": (pickle.dumps({"conv1": WEIGHT}), "a bare pickle, which may run code"),
    "zip of others": (
        zipped(**{"readme.txt": b"x", "a.caffemodel": b"y"}),
        "a zip archive with 'readme.txt', 'a.caffemodel' files, neither .npz nor",
    ),
    "empty zip": (zipped(), "a zip archive with no files, neither"),
    "Keras 3": (
        zipped(**{"config.json": b"{}", "model.weights.h5": b"x"}),
        "cannot be read .*file signature not found",
    ),
    "no zip": (b"PK\x03\x04 and what not", "cannot be read .*BadZipFile"),
    "no h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "cannot be read"),
    "JPEG": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01", "damaged, cut off or no caffemodel"),
    "zeros": (bytes(100), "a field has the number 0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refuses(tmp_path, kind):
    """Oracle: the table of what is taken for weights, each with its sentence."""
    data, message = REFUSED[kind]
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    if kind == "no h5":
        pytest.importorskip("h5py", reason="finds that it is no HDF5")
    with pytest.raises(WeightFileError, match=message) as error:
        open_weights(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_refuses_what_is_no_file(tmp_path):
    """Oracle: a missing file, a directory, a pipe (which is not waited for)."""
    with pytest.raises(WeightFileError, match="net: there is no such file; check"):
        open_weights(tmp_path / "net")
    with pytest.raises(WeightFileError, match="is a directory; give a weight file"):
        open_weights(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(WeightFileError, match="pipe: is no regular file"):
        open_weights(tmp_path / "pipe")


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    """Oracle: the system's error, raised by hand since root may read everything."""
    path = tmp_path / "net"
    caffe_file(path)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fcn_jax.convert.readers.open_weights.read_caffemodel", refuse)
    with pytest.raises(
        WeightFileError, match="net: cannot be read .*Permission denied"
    ):
        open_weights(path)
