"""NYUDv2: a miniature official file, prepared and read back."""

import functools
import io
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from fcn_jax.data.builders import nyud, nyud_labeled
from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.builders.hha import NYUD as CAMERA
from fcn_jax.data.builders.hha import hha_from_depth
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import NYUD
from fcn_jax.data.sources.catalog import open_source

SIZE = (425, 560)
RAW = 60
COUNT = 5
NUMBERS = {"trainNdxs": [4, 1, 5], "testNdxs": [3, 2]}


def items(root, lists=None):
    return nyud.DATASET.read_tree(root, lists or root)


def decoded(data):
    return np.array(Image.open(io.BytesIO(data)))


def mapping():
    """Ids of raw classes 1..60, every one of 1..40 among them, in no order."""
    rng = np.random.default_rng(40)
    both = np.concatenate([np.arange(1, 41), rng.integers(1, 41, RAW - 40)])
    return rng.permutation(both).astype(np.uint8)


@functools.cache
def arrays():
    """Images of the official file as MATLAB has them, the number last."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (60, 80, 3, COUNT))
    return {
        "images": np.kron(coarse, np.ones((8, 8, 1, 1), int)).astype(np.uint8),
        "depths": (
            0.8
            + np.add.outer(np.arange(480) / 90, np.arange(640) / 170)[..., None]
            + np.arange(COUNT) / 10
        ).astype(np.float32),
        "labels": rng.integers(0, RAW + 1, (480, 640, COUNT)).astype(np.uint16),
    }


def make_labeled(root, **changed):
    """The official file, HDF5 with MATLAB's axes reversed; its two companions."""
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / nyud_labeled.FILE, "w") as file:
        for field, own in {**arrays(), **changed}.items():
            if own is not None:
                chunks = (1, *own.T.shape[1:])
                file.create_dataset(field, data=own.T, chunks=chunks, compression=1)
    numbers = {k: np.array(v, np.uint16)[:, None] for k, v in NUMBERS.items()}
    scipy.io.savemat(root / "splits.mat", numbers)
    own = {"className": np.array([["wall"]], object), "mapClass": mapping()[None]}
    scipy.io.savemat(root / "classMapping40.mat", own, do_compression=True)
    return root


@pytest.mark.slow
def test_the_official_file_comes_back_pixel_for_pixel(tmp_path):
    """Oracle: MATLAB's (46:470, 41:600) of what was written, by a loop over classes."""
    source, data = make_labeled(tmp_path / "source"), str(tmp_path / "data")
    said = prepare(nyud.DATASET, source=str(source), lists="", data_dir=data)
    assert "trainval 3, test 2 (not the published trainval 795, test 654" in said
    assert "train " not in said
    for split, numbers in (("trainval", [1, 4, 5]), ("test", [2, 3])):
        own = open_source("nyud_v2", split, data_dir=data)
        assert [own.name(i) for i in range(len(own))] == [f"500{n}" for n in numbers]
        for example, number in zip(own, numbers, strict=True):
            cut = {
                field: array[45:470, 40:600, ..., number - 1]
                for field, array in arrays().items()
            }
            np.testing.assert_array_equal(example.inputs["color"], cut["images"])
            depth = example.inputs["depth"][:, :, 0]
            millimetres = cut["depths"].astype(np.float64) * 1000
            np.testing.assert_allclose(depth, millimetres, atol=0.5001)
            wanted = np.full(SIZE, 255)
            for raw, target in enumerate(mapping(), 1):
                wanted[cut["labels"] == raw] = int(target) - 1
            np.testing.assert_array_equal(example.labels["semantic"], wanted)
            hha = hha_from_depth(depth, CAMERA.cropped(45, 40))
            np.testing.assert_array_equal(example.inputs["hha"], hha)


def test_lists_split_the_official_trainval(tmp_path, caplog):
    """Oracle: the order of the lists; they must name the images of splits.mat."""
    source, lists = make_labeled(tmp_path / "source"), tmp_path / "lists"
    assert set(items(source)) == {"trainval", "test"}
    assert "only trainval and test are prepared" in caplog.text
    lists.mkdir()
    (lists / "train.txt").write_text("5005\n5001")
    assert set(items(source, lists)) == {"trainval", "test"}
    (lists / "val.txt").write_text("5004\n")
    (lists / "test.txt").write_text("5003\n5002")
    caplog.clear()
    own = items(source, lists)
    assert "only trainval" not in caplog.text
    assert {split: [i.name for i in own[split]] for split in own} == {
        "train": ["5005", "5001"],
        "val": ["5004"],
        "trainval": ["5005", "5001", "5004"],
        "test": ["5003", "5002"],
    }
    (lists / "val.txt").write_text("5006\n")
    message = (
        "train.txt and val.txt do not name the 3 images of trainval that splits.mat"
    )
    with pytest.raises(DataError, match=message):
        items(source, lists)
    (lists / "val.txt").write_text("5004\n")
    (lists / "test.txt").write_text("5003\n")
    with pytest.raises(DataError, match="test.txt do not name the 2 images of test"):
        items(source, lists)


def test_companions_may_be_with_the_lists_and_are_missed(tmp_path):
    """Oracle: the file, the repository that publishes it and the flag."""
    source, lists = make_labeled(tmp_path / "source"), tmp_path / "lists"
    lists.mkdir()
    for name in ("splits.mat", "classMapping40.mat"):
        (source / name).rename(lists / name)
        message = (
            f"source/{name} is missing; .* https://github.com/ankurhanda/.*--lists"
        )
        with pytest.raises(DataError, match=message):
            items(source)
        assert len(items(source, lists)["test"]) == 2
        shutil.copy(lists / name, source / name)


@pytest.mark.parametrize("bad", [0, -0.7, np.nan, np.inf, 70])
def test_distances_without_a_logarithm_are_refused(tmp_path, bad):
    """Oracle: two pixels of the cut picture, one beside it."""
    depths = arrays()["depths"].copy()
    depths[[100, 101, 479], 300, 2] = bad
    own = items(make_labeled(tmp_path, depths=depths))["test"][1]
    message = r"has 2 of 238000 pixels of depths 3 outside 0.001..65.535 m"
    with pytest.raises(DataError, match=message):
        own.inputs["depth"]()
    with pytest.raises(DataError, match=message):
        own.inputs["hha"]()


BROKEN = {
    "a field missing": ({"depths": None}, "has no array depths"),
    "other axes": (
        {"images": np.zeros((480, 640, COUNT, 3), np.uint8)},
        r"images of the shape .*must be \(number, 3, 640, 480\) of u1",
    ),
    "another type": ({"labels": np.zeros((480, 640, COUNT), np.int16)}, "of u2"),
    "another number": ({"labels": np.zeros((480, 640, 3), np.uint16)}, "'labels': 3"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_other_fields_are_refused(tmp_path, case):
    """Oracle: the field that was changed, and the page of the file."""
    changed, message = BROKEN[case]
    source = make_labeled(tmp_path, **changed)
    with pytest.raises(DataError, match=f"{message}.*get nyu_depth_v2_labeled.mat of"):
        items(source)


def test_nothing_is_followed_out_of_the_file(tmp_path):
    """Oracle: a soft and an external link, values in another file, a virtual array."""
    source = make_labeled(tmp_path / "source", images=None)
    path = source / nyud_labeled.FILE
    shape, other = (COUNT, 3, 640, 480), tmp_path / "other"
    other.write_bytes(bytes(COUNT * 3 * 640 * 480))

    def virtual(file):
        layout = h5py.VirtualLayout(shape, "u1")
        layout[:] = h5py.VirtualSource(str(other), "images", shape)
        file.create_virtual_dataset("images", layout)

    def external(file):
        files = [(str(other), 0, other.stat().st_size)]
        file.create_dataset("images", shape, "u1", external=files)

    def soft(file):
        file["images"] = h5py.SoftLink("/labels")

    def outside(file):
        file["images"] = h5py.ExternalLink(str(other), "images")

    for write, message in (
        (soft, "has no array images"),
        (outside, "has no array images"),
        (external, "has the values of images in another file"),
        (virtual, "has the values of images in another file"),
    ):
        with h5py.File(path, "a") as file:
            if "images" in list(file):  # `in file` and pop would follow a link
                del file["images"]
            write(file)
        with pytest.raises(DataError, match=message):
            items(source)


def test_damage_is_one_sentence(tmp_path):
    """Oracle: noise, half of the file, and zeros in the compressed labels."""
    source = make_labeled(tmp_path)
    path = source / nyud_labeled.FILE
    whole = path.read_bytes()
    for data in (b"noise" * 99, whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(
            DataError, match=r"is no readable HDF5 file .*get nyu_depth"
        ):
            items(source)
    path.write_bytes(whole)
    own = items(source)["test"][0]
    with h5py.File(path) as file:
        place = file["labels"].id.get_chunk_info_by_coord((1, 0, 0)).byte_offset
    path.write_bytes(whole[:place] + bytes(999) + whole[place + 999 :])
    with pytest.raises(DataError, match=r"is damaged in labels 2 \("):
        own.labels["semantic"]()
    assert decoded(own.inputs["color"]()).shape == (425, 560, 3)


def test_raw_classes_beyond_the_mapping_are_refused(tmp_path):
    """Oracle: the id 61 of three pixels, where the mapping has 60."""
    labels = arrays()["labels"].copy()
    labels[45, 40:43, 1] = RAW + 1
    own = items(make_labeled(tmp_path, labels=labels))["test"][0]
    message = r"labels 2 the ids 61 \(3 pixels\) beyond the 60 raw classes"
    with pytest.raises(DataError, match=message):
        own.labels["semantic"]()


SPLITS = {
    "an image of both": ([1, 2], [3, 2], "1 images are in both trainNdxs and"),
    "number 0": ([0, 1], [2], "trainNdxs names 2 images, 2 different ones, 1 of them"),
    "beyond": ([1], [6], r"testNdxs names 1 images, .* 1 of them outside 1..5"),
    "no number": ([1.5], [2], "trainNdxs names 1 images, .* 1 of them outside"),
    "twice": ([1, 1], [2], "trainNdxs names 2 images, 1 different ones"),
    "none": ([], [2], "trainNdxs names 0 images"),
}


@pytest.mark.parametrize("case", SPLITS)
def test_other_splits_are_refused(tmp_path, case):
    """Oracle: what was written, and the field."""
    train, test, message = SPLITS[case]
    source = make_labeled(tmp_path)
    own = {"trainNdxs": np.array(train, float), "testNdxs": np.array(test, float)}
    scipy.io.savemat(source / "splits.mat", own)
    with pytest.raises(DataError, match=message):
        items(source)


@pytest.mark.parametrize("classes", [[1, 41], [0, 1], [1.5], []])
def test_other_mappings_are_refused(tmp_path, classes):
    """Oracle: classes are 1..40."""
    source = make_labeled(tmp_path)
    path = source / "classMapping40.mat"
    scipy.io.savemat(path, {"mapClass": np.array([classes], float)})
    message = f"mapClass has {len(classes)} classes, and others than 1..40"
    with pytest.raises(DataError, match=message):
        items(source)


TEST_DATA = Path(os.environ.get("FCN_JAX_TEST_DATA", ""))
needs_test_data = pytest.mark.skipif(
    not (os.environ.get("FCN_JAX_TEST_DATA") and (TEST_DATA / "nyuv2_meta").is_dir()),
    reason="FCN_JAX_TEST_DATA names no directory with nyuv2_meta/ in it",
)


def make_published(root):
    """A file of the published number of images, none of them written; its companions."""
    root.mkdir()
    shapes = {"images": (3, 640, 480), "depths": (640, 480), "labels": (640, 480)}
    with h5py.File(root / nyud_labeled.FILE, "w") as file:
        for (field, shape), kind in zip(
            shapes.items(), ("u1", "f4", "u2"), strict=True
        ):
            file.create_dataset(field, (1449, *shape), kind, chunks=(1, *shape))
    for name in ("splits.mat", "classMapping40.mat"):
        shutil.copy(TEST_DATA / "nyuv2_meta" / name, root / name)
    return root


@needs_test_data
def test_the_published_companions_and_lists(tmp_path, monkeypatch):
    """Oracle: the published counts, the lists, and the names of the classes."""
    source = make_published(tmp_path / "source")
    with pytest.raises(
        DataError, match=r"bytes, and the published file 2972037809; get"
    ):
        items(source)
    monkeypatch.setattr(nyud_labeled, "verify_published", lambda path, count: None)
    own = items(source)
    assert {split: len(own[split]) for split in own} == {"trainval": 795, "test": 654}
    for split in ("train", "val", "test"):
        text = (TEST_DATA / "lists" / f"nyud_{split}.txt").read_text()
        (source / f"{split}.txt").write_text(text)
    own = items(source)
    assert {split: len(own[split]) for split in own} == nyud.COUNTS
    text = (TEST_DATA / "lists" / "nyud_val.txt").read_text().split()
    assert [item.name for item in own["val"]] == text
    stored = scipy.io.loadmat(source / "classMapping40.mat")
    names = [str(name[0]).replace(" ", "_") for name in stored["className"][0]]
    assert [name.replace(" ", "_") for name in NYUD.names] == names
    _, table, _ = nyud_labeled.read_meta(source / nyud_labeled.FILE, [source])
    assert table.tolist() == [255, *(stored["mapClass"][0].astype(int) - 1)]
    assert np.bincount(table)[[0, 36, 37, 38, 39]].tolist() == [1, 1, 68, 82, 707]


@needs_test_data
@pytest.mark.parametrize("name", ["splits.mat", "classMapping40.mat"])
def test_altered_companions_are_refused(tmp_path, name):
    """Oracle: a byte of the text before the data."""
    source = make_published(tmp_path / "source")
    data = bytearray((source / name).read_bytes())
    data[40] ^= 1
    (source / name).write_bytes(data)
    message = f"{name} has the (MD5|SHA256) .*, and the published file .*ankurhanda"
    with pytest.raises(DataError, match=message):
        items(source)
