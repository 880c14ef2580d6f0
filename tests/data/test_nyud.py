"""NYUDv2 from both of its layouts, in miniature."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from fcn_jax.data.builders import nyud, nyud_labeled
from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.builders.mat5 import read_array
from fcn_jax.data.examples import DataError
from fcn_jax.data.hha import NYUD as CAMERA
from fcn_jax.data.hha import hha_from_depth
from fcn_jax.data.labels import IGNORE
from fcn_jax.data.sources import open_source
from tests.data.paper_trees import write_nyud

TEST_DATA = Path(os.environ.get("FCN_JAX_TEST_DATA", ""))
needs_test_data = pytest.mark.skipif(
    not (os.environ.get("FCN_JAX_TEST_DATA") and (TEST_DATA / "nyuv2_meta").is_dir()),
    reason="FCN_JAX_TEST_DATA names no directory with nyuv2_meta/ in it",
)
LISTS = {"train": ["5003"], "val": ["5004", "5006"], "test": ["5001"]}


def _prepared(source: Path, data_dir: Path, lists: str = "") -> str:
    return prepare(
        nyud.DATASET, source=str(source), lists=lists, data_dir=str(data_dir)
    )


def test_the_berkeley_tree_comes_back(tmp_path):
    """Oracle: Pillow and SciPy on the files; 0 is void, 1..40 are 0..39."""
    write_nyud(tmp_path / "tree", LISTS)
    said = _prepared(tmp_path / "tree", tmp_path / "data")
    assert "train 1, val 2, trainval 3, test 1" in said
    assert "not the published" in said
    tree = tmp_path / "tree"
    source = open_source("nyud_v2", "trainval", data_dir=str(tmp_path / "data"))
    assert [source.name(index) for index in range(3)] == ["5003", "5004", "5006"]
    for index in range(len(source)):
        example, name = source[index], source.name(index)
        for key, part in (("color", "images"), ("hha", "hha")):
            with Image.open(tree / "data" / part / f"img_{name}.png") as file:
                np.testing.assert_array_equal(example.inputs[key], np.asarray(file))
        with Image.open(tree / "data" / "depth" / f"img_{name}.png") as file:
            depth = np.asarray(file)
        assert example.inputs["depth"].dtype == np.uint16
        np.testing.assert_array_equal(example.inputs["depth"][:, :, 0], depth)
        path = tree / "segmentation" / f"img_{name}.mat"
        stored = scipy.io.loadmat(path)["segmentation"].astype(int)
        expected = np.where(stored == 0, IGNORE, stored - 1)
        np.testing.assert_array_equal(example.labels["semantic"], expected)
        assert {0, 39, IGNORE} <= set(np.unique(expected))


def test_inputs_are_chosen_by_the_network(tmp_path):
    """Oracle: the keys asked for."""
    write_nyud(tmp_path / "tree", LISTS)
    _prepared(tmp_path / "tree", tmp_path / "data")
    for inputs in (("color",), ("color", "depth"), ("hha",)):
        data_dir = str(tmp_path / "data")
        source = open_source("nyud_v2", "test", data_dir=data_dir, inputs=inputs)
        assert tuple(source[0].inputs) == inputs


def test_hha_is_computed_where_it_is_missing(tmp_path):
    """Oracle: the encoding of the stored depth with the cropped camera."""
    write_nyud(tmp_path / "tree", LISTS)
    for path in (tmp_path / "tree" / "data" / "hha").iterdir():
        path.unlink()
    (tmp_path / "tree" / "data" / "hha").rmdir()
    _prepared(tmp_path / "tree", tmp_path / "data")
    example = open_source("nyud_v2", "test", data_dir=str(tmp_path / "data"))[0]
    depth = example.inputs["depth"][:, :, 0].astype(float)
    expected = hha_from_depth(depth, CAMERA.cropped(45, 40))
    np.testing.assert_array_equal(example.inputs["hha"], expected)


def test_holes_in_the_depth_are_refused(tmp_path):
    """Oracle: the count of zeros; a second attempt after the repair works."""
    write_nyud(tmp_path / "tree", LISTS)
    path = tmp_path / "tree" / "data" / "depth" / "img_5006.png"
    with Image.open(path) as file:
        depth = np.array(file)
    broken = depth.copy()
    broken[0, :5] = 0
    Image.fromarray(broken).save(path)
    with pytest.raises(DataError, match="5006.*5 of 378 pixels are 0"):
        _prepared(tmp_path / "tree", tmp_path / "data")
    Image.fromarray(depth).save(path)
    assert "trainval 3" in _prepared(tmp_path / "tree", tmp_path / "data")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda tree: (tree / "test.txt").unlink(), "test.txt is missing"),
        (lambda tree: (tree / "val.txt").write_text("5003\n"), "5003"),
        (lambda tree: (tree / "val.txt").write_text("5009\n"), "img_5009"),
        (
            lambda tree: (tree / "test.txt").write_text(
                "".join(f"{5001 + n}\n" for n in range(654))
            ),
            "654 images as the published list does, but not the same",
        ),
    ],
)
def test_other_trees_are_refused(spoil, message, tmp_path):
    """Oracle: the file that each sentence has to name."""
    write_nyud(tmp_path / "tree", LISTS)
    spoil(tmp_path / "tree")
    with pytest.raises(DataError, match=message):
        _prepared(tmp_path / "tree", tmp_path / "data")


def _write_labeled(folder: Path) -> dict[str, np.ndarray]:
    """The official layout with four images and 45 raw classes; axes reversed."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    arrays = {
        "images": rng.integers(0, 256, (4, 3, 640, 480), dtype=np.uint8),
        "depths": rng.uniform(0.7, 9.9, (4, 640, 480)).astype(np.float32),
        "labels": rng.integers(0, 46, (4, 640, 480)).astype(np.uint16),
    }
    with h5py.File(folder / nyud_labeled.FILE, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip")
    # Raw classes in another order than ours; 38 to 40 take several.
    mapped = np.array([*range(37, 0, -1), 38, 39, 40, 40, 38, 40, 39, 40], np.uint8)
    scipy.io.savemat(folder / "classMapping40.mat", {"mapClass": mapped[None]})
    splits = {
        "trainNdxs": np.array([[4], [1]], np.uint16),
        "testNdxs": np.array([[2], [3]], np.uint16),
    }
    scipy.io.savemat(folder / "splits.mat", splits)
    return arrays | {"mapped": mapped}


def test_the_labeled_file_comes_back(tmp_path):
    """Oracle: the arrays that were written, turned, cut and mapped by hand."""
    arrays = _write_labeled(tmp_path / "source")
    said = _prepared(tmp_path / "source", tmp_path / "data")
    assert "trainval 2" in said
    assert "test 2" in said
    for split, indices in (("trainval", (0, 3)), ("test", (1, 2))):
        source = open_source("nyud_v2", split, data_dir=str(tmp_path / "data"))
        for place, index in enumerate(indices):
            example = source[place]
            assert source.name(place) == str(5001 + index)
            color = np.moveaxis(arrays["images"][index], (0, 1, 2), (2, 1, 0))
            np.testing.assert_array_equal(
                example.inputs["color"], color[45:470, 40:600]
            )
            metres = np.swapaxes(arrays["depths"][index], 0, 1)[45:470, 40:600]
            found = example.inputs["depth"][:, :, 0].astype(float)
            np.testing.assert_allclose(found, metres * 1000, atol=0.501)
            raw = np.swapaxes(arrays["labels"][index], 0, 1)[45:470, 40:600]
            table = [IGNORE, *(int(k) - 1 for k in arrays["mapped"])]
            expected = np.array(table)[raw]
            np.testing.assert_array_equal(example.labels["semantic"], expected)
            assert example.inputs["hha"].shape == (425, 560, 3)


def test_lists_have_to_be_those_of_the_splits(tmp_path):
    """Oracle: a list with an image of the other split."""
    _write_labeled(tmp_path / "source")
    for split, ids in (("train", "5001"), ("val", "5004"), ("test", "5002\n5003")):
        (tmp_path / "source" / f"{split}.txt").write_text(ids)
    assert "train 1, val 1" in _prepared(tmp_path / "source", tmp_path / "data")
    (tmp_path / "source" / "val.txt").write_text("5002")
    with pytest.raises(DataError, match=r"do not name the images of splits.mat"):
        _prepared(tmp_path / "source", tmp_path / "other")


def test_another_mapping_is_refused(tmp_path):
    """Oracle: a class below 38 that two raw classes share."""
    _write_labeled(tmp_path / "source")
    mapped = np.array([[*range(1, 41), 5]], np.uint8)
    path = tmp_path / "source" / "classMapping40.mat"
    scipy.io.savemat(path, {"mapClass": mapped})
    with pytest.raises(DataError, match="mapClass is not the table of 40 classes"):
        _prepared(tmp_path / "source", tmp_path / "data")
    path.unlink()
    with pytest.raises(DataError, match=r"classMapping40.mat is missing; put"):
        _prepared(tmp_path / "source", tmp_path / "data")


@needs_test_data
def test_the_official_splits_and_mapping_are_read():
    """Oracle: the published counts, and the mapping's own checks."""
    meta = TEST_DATA / "nyuv2_meta"
    train = nyud_labeled._indices(meta / "splits.mat", "trainNdxs", 1449)
    test = nyud_labeled._indices(meta / "splits.mat", "testNdxs", 1449)
    assert (len(train), len(test)) == (795, 654)
    assert not set(train) & set(test)
    table = nyud_labeled._table(meta / "classMapping40.mat")
    assert table.shape == (895,)
    mapped = read_array(meta / "classMapping40.mat", "mapClass", remedy="").ravel()
    assert np.bincount(mapped)[38:].tolist() == [68, 82, 707]
    lists = TEST_DATA / "lists"
    ids = {
        split: [
            int(n) - 5000 for n in (lists / f"nyud_{split}.txt").read_text().split()
        ]
        for split in ("train", "val", "test")
    }
    assert sorted([*ids["train"], *ids["val"]]) == train
    assert sorted(ids["test"]) == test


@needs_test_data
def test_the_published_lists_are_accepted(tmp_path):
    """Oracle: the lists themselves, and one of them with an id exchanged."""
    for split in ("train", "val", "test"):
        content = (TEST_DATA / "lists" / f"nyud_{split}.txt").read_text()
        (tmp_path / f"{split}.txt").write_text(content)
    found = nyud._listed(tmp_path, tmp_path, needed=True)
    assert {split: len(ids) for split, ids in found.items()} == {
        "train": 381,
        "val": 414,
        "test": 654,
    }
    altered = (tmp_path / "val.txt").read_text().replace(found["val"][0], "9999", 1)
    (tmp_path / "val.txt").write_text(altered)
    with pytest.raises(DataError, match="not the same ones"):
        nyud._listed(tmp_path, tmp_path, needed=True)


@needs_test_data
def test_a_real_depth_map_is_encoded():
    """Oracle: what a room has: floor and walls, and plausible heights."""
    with Image.open(TEST_DATA / "rgbd_sample" / "depth.png") as file:
        depth = np.asarray(file).astype(float)
    image = hha_from_depth(depth, CAMERA.cropped(45, 40))
    assert image.shape == (*depth.shape, 3)
    disparity = np.clip(np.round(31000 / np.maximum(depth / 10, 100)), 0, 255)
    np.testing.assert_array_equal(image[..., 0], disparity)
    assert np.ptp(image[..., 1]) > 50
    walls = np.abs(image[..., 2].astype(int) - 128) < 15
    assert 0.1 < walls.mean() < 0.95
