"""NYUDv2: a miniature tree, prepared and read back."""

import functools
import io
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from absl import logging
from PIL import Image

from fcn_jax.data.builders import nyud
from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.builders.hha import NYUD as CAMERA
from fcn_jax.data.builders.hha import hha_from_depth
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import NYUD
from fcn_jax.data.sources.catalog import open_source

LISTS = {"train": ["5511", "5004"], "val": ["6001"], "test": ["5002", "5001"]}
TRAINVAL = ["5511", "5004", "6001"]
SIZE = (425, 560)


@functools.cache
def pixels(name):
    """Colour, depth, HHA and ids of a picture, every id of 0..40 among them."""
    rng = np.random.default_rng(int(name))
    flat = np.concatenate([np.arange(41), rng.integers(0, 41, SIZE[0] * SIZE[1] - 41)])
    return {
        "images": np.kron(
            rng.integers(0, 256, (85, 112, 3)), np.ones((5, 5, 1), int)
        ).astype(np.uint8),
        "depth": (900 + 7 * np.add.outer(np.arange(425), np.arange(560))).astype("u2"),
        "hha": np.full((*SIZE, 3), int(name) % 250, np.uint8),
        "segmentation": flat.reshape(SIZE).astype(np.uint8),
    }


def make_tree(root, *, hha=True, lists=LISTS):
    """nyud.tar.gz as the reference reads it, its lists beside it."""
    for part in ("data/images", "data/depth", "data/hha", "segmentation"):
        (root / part).mkdir(parents=True)
    for split, names in lists.items():
        end = "\n" if split == "val" else ""  # as the published ones
        (root / f"{split}.txt").write_text("\n".join(names) + end)
        for name in names:
            own = pixels(name)
            for part in ("images", "depth", *(["hha"] if hha else [])):
                path = root / "data" / part / f"img_{name}.png"
                Image.fromarray(own[part]).save(path, compress_level=1)
            path = root / "segmentation" / f"img_{name}.mat"
            scipy.io.savemat(path, {"segmentation": own["segmentation"]})
    return root


def items(root, lists=None):
    return nyud.DATASET.read_tree(root, lists or root)


def decoded(data):
    return np.array(Image.open(io.BytesIO(data)))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("nyud")
    tree, data = make_tree(home / "tree"), str(home / "data")
    return tree, data, prepare(nyud.DATASET, source=str(tree), lists="", data_dir=data)


@pytest.mark.parametrize("split", ["train", "val", "trainval", "test"])
def test_prepared_examples_are_the_files_pixel_for_pixel(prepared, split):
    """Oracle: what was written; the reference's uint8 less 1, in which 0 becomes 255."""
    _, data, said = prepared
    assert "train 2, val 1, trainval 3, test 2 (not the published train 381" in said
    source = open_source("nyud_v2", split, data_dir=data)
    names = TRAINVAL if split == "trainval" else LISTS[split]
    assert [source.name(i) for i in range(len(source))] == names
    assert dict(source.outputs) == {"semantic": NYUD}
    for index, name in enumerate(names):
        example, own = source[index], pixels(name)
        np.testing.assert_array_equal(example.inputs["color"], own["images"])
        np.testing.assert_array_equal(example.inputs["hha"], own["hha"])
        found = example.inputs["depth"]
        np.testing.assert_array_equal(found, own["depth"][:, :, None], strict=True)
        wanted = own["segmentation"] - np.uint8(1)
        np.testing.assert_array_equal(example.labels["semantic"], wanted, strict=True)
        assert example.labels["semantic"][0, :41].tolist() == [255, *range(40)]


def test_pictures_pass_through_byte_for_byte(prepared):
    """Oracle: the bytes of the files."""
    own = items(prepared[0])["val"][0]
    for key, folder in (("color", "images"), ("depth", "depth"), ("hha", "hha")):
        path = prepared[0] / "data" / folder / "img_6001.png"
        assert own.inputs[key]() == path.read_bytes()


def test_inputs_are_those_asked_for(prepared):
    """Oracle: the keys."""
    for inputs in (("color",), ("color", "depth"), ("hha",)):
        source = open_source("nyud_v2", "test", data_dir=prepared[1], inputs=inputs)
        assert tuple(source[0].inputs) == inputs


def test_hha_is_computed_where_there_is_none(tmp_path, caplog):
    """Oracle: the encoder itself, with the camera of the cut picture; and the log."""
    logging.set_verbosity(logging.INFO)
    tree = make_tree(tmp_path, hha=False)
    own = items(tree)["test"][1]
    assert "HHA is computed from the depth" in caplog.text
    found = decoded(own.inputs["hha"]())
    wanted = hha_from_depth(pixels("5001")["depth"], CAMERA.cropped(45, 40))
    np.testing.assert_array_equal(found, wanted, strict=True)
    # Nothing at all of the directory may be there, either.
    (tree / "data" / "hha").rmdir()
    assert decoded(items(tree)["val"][0].inputs["hha"]()).shape == (425, 560, 3)


def test_hha_is_read_where_it_is_given(tmp_path, caplog):
    """Oracle: the log; HHA of some of the pictures is refused with the first missing."""
    logging.set_verbosity(logging.INFO)
    tree = make_tree(tmp_path)
    items(tree)
    assert f"HHA is read from {tree}/data/hha" in caplog.text
    for name in ("5004", "5001"):
        (tree / "data" / "hha" / f"img_{name}.png").unlink()
    message = r"lacks 1 of the 8 files of split train \(data/hha/img_5004.png\)"
    with pytest.raises(DataError, match=message):
        items(tree)


def test_whole_pictures_have_the_whole_camera(tmp_path):
    """Oracle: the encoder itself; of other sizes the camera is not known."""
    tree = make_tree(tmp_path, hha=False)
    path = tree / "data" / "depth" / "img_6001.png"
    depth = (900 + 7 * np.add.outer(np.arange(480), np.arange(640))).astype("u2")
    Image.fromarray(depth).save(path)
    hha = items(tree)["val"][0].inputs["hha"]
    np.testing.assert_array_equal(decoded(hha()), hha_from_depth(depth, CAMERA))
    Image.fromarray(depth[:20, :30]).save(path)
    with pytest.raises(DataError, match="img_6001.png is 20x30 pixels .* 425x560 and"):
        hha()


@pytest.mark.slow
@pytest.mark.parametrize("hha", [True, False])
def test_holes_are_refused_and_a_repair_is_enough(tmp_path, hha):
    """Oracle: three zeros in a depth map, with the file; then the map as it was."""
    tree, data = make_tree(tmp_path / "tree", hha=hha), str(tmp_path / "data")
    path = tree / "data" / "depth" / "img_5004.png"
    depth = pixels("5004")["depth"].copy()
    depth[200, 3:6] = 0
    Image.fromarray(depth).save(path)
    with pytest.raises(DataError, match=r"5004.*: 3 of 238000 pixels are 0"):
        prepare(nyud.DATASET, source=str(tree), lists="", data_dir=data)
    Image.fromarray(pixels("5004")["depth"]).save(path)
    said = prepare(nyud.DATASET, source=str(tree), lists="", data_dir=data)
    assert "trainval 3, test 2" in said


def test_a_label_outside_the_classes_is_refused(tmp_path):
    """Oracle: the id 41, of two pixels."""
    tree = make_tree(tmp_path)
    ids = pixels("6001")["segmentation"].copy()
    ids[3, 4:6] = 41
    scipy.io.savemat(tree / "segmentation" / "img_6001.mat", {"segmentation": ids})
    message = r"img_6001.mat: segmentation has the ids 41 \(2 pixels\).* are 0..40"
    with pytest.raises(DataError, match=message):
        items(tree)["val"][0].labels["semantic"]()


@pytest.mark.parametrize("place", ["nyud", "data/nyud"])
def test_the_tree_may_be_in_a_directory_and_the_lists_elsewhere(tmp_path, place):
    """Oracle: the names of the lists; those given with --lists come first."""
    tree = make_tree(tmp_path / "source" / place)
    (tmp_path / "lists").mkdir()
    (tree / "train.txt").rename(tmp_path / "lists" / "train.txt")
    (tmp_path / "lists" / "test.txt").write_text("5001\r\n")
    (tree / "val.txt").rename(tmp_path / "source" / "val.txt")
    own = items(tmp_path / "source", tmp_path / "lists")
    names = {split: [item.name for item in own[split]] for split in own}
    assert names == {**LISTS, "trainval": TRAINVAL, "test": ["5001"]}


def test_the_published_archive_goes_through(tmp_path):
    """Oracle: a depth map of the tree that was packed; the lists stay beside it."""
    tree = make_tree(tmp_path / "tree")
    source = tmp_path / "source"
    source.mkdir()
    for split in LISTS:
        (tree / f"{split}.txt").rename(source / f"{split}.txt")
    with tarfile.open(source / "nyud.tar.gz", "w:gz") as archive:
        archive.add(tree, "nyud")
    data = str(tmp_path / "data")
    prepare(nyud.DATASET, source=str(source), lists="", data_dir=data)
    depth = open_source("nyud_v2", "val", data_dir=data)[0].inputs["depth"]
    np.testing.assert_array_equal(depth[:, :, 0], pixels("6001")["depth"])


def test_broken_trees_are_refused(tmp_path):
    """Oracle: what was taken away, the place that publishes it, and the flag."""
    tree = make_tree(tmp_path / "tree")
    with pytest.raises(
        DataError, match=r"holds neither the tree .*, nor nyu_depth_v2_"
    ):
        items(tmp_path)
    (tmp_path / "lists").mkdir()
    (tree / "test.txt").rename(tmp_path / "test.txt")
    message = (
        r"lists/test.txt is missing; put test.txt of https://github.com/shelhamer/.*"
    )
    with pytest.raises(DataError, match=f"{message}data/nyud/ .*--lists"):
        items(tree, tmp_path / "lists")
    (tree / "test.txt").write_text("5002\n6001\n")
    with pytest.raises(
        DataError, match=r"1 images \(6001\) are in both val.txt and tes"
    ):
        items(tree)
    (tmp_path / "test.txt").rename(tree / "test.txt")
    (tree / "data" / "images" / "img_5002.png").unlink()
    (tree / "segmentation" / "img_5001.mat").unlink()
    message = r"lacks 2 of the 8 files of split test \(data/images/img_5002.png, seg"
    with pytest.raises(DataError, match=message):
        items(tree)
    shutil.rmtree(tree / "data" / "depth")
    with pytest.raises(DataError, match=r"tree lacks data/depth/ .*nyud.tar.gz"):
        items(tree)


TEST_DATA = Path(os.environ.get("FCN_JAX_TEST_DATA", ""))
needs_test_data = pytest.mark.skipif(
    not (os.environ.get("FCN_JAX_TEST_DATA") and (TEST_DATA / "nyuv2_meta").is_dir()),
    reason="FCN_JAX_TEST_DATA names no directory with nyuv2_meta/ in it",
)


@needs_test_data
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_altered_lists_are_refused(tmp_path, split):
    """Oracle: two names exchanged; a newline more or less at the end counts nothing."""
    paths = {own: tmp_path / f"{own}.txt" for own in ("train", "val", "test")}
    for own, path in paths.items():
        shutil.copy(TEST_DATA / "lists" / f"nyud_{own}.txt", path)
    names = paths[split].read_text().split()
    for end in ("", "\n"):
        paths[split].write_text("\n".join(names) + end)
        assert {own: len(ids) for own, ids in nyud._read_lists([tmp_path]).items()} == {
            own: nyud.COUNTS[own] for own in paths
        }
    paths[split].write_text("\n".join([names[1], names[0], *names[2:]]))
    message = (
        f"{split}.txt names {len(names)} images as the published list does, but its"
    )
    with pytest.raises(DataError, match=message):
        nyud._read_lists([tmp_path])


@needs_test_data
def test_a_photographed_room_goes_through(tmp_path):
    """Oracle: the files; disparity by hand; a room has walls, and a floor at 0."""
    tree = make_tree(tmp_path / "tree", hha=False, lists={"train": [], "val": []})
    names = {"train": "5001", "val": "5002", "test": "5003"}
    for split, name in names.items():
        (tree / f"{split}.txt").write_text(name)
        for file, folder in (("images", "images"), ("depth", "depth")):
            path = tree / "data" / folder / f"img_{name}.png"
            shutil.copy(TEST_DATA / "rgbd_sample" / f"{file}.png", path)
        path = tree / "segmentation" / f"img_{name}.mat"
        scipy.io.savemat(path, {"segmentation": pixels("5001")["segmentation"]})
    data = str(tmp_path / "data")
    prepare(nyud.DATASET, source=str(tree), lists="", data_dir=data)
    own = open_source("nyud_v2", "val", data_dir=data)[0]
    color = np.array(Image.open(TEST_DATA / "rgbd_sample" / "images.png"))
    np.testing.assert_array_equal(own.inputs["color"], color)
    depth, hha = own.inputs["depth"][:, :, 0], own.inputs["hha"]
    assert (depth.min(), depth.max()) == (1923, 9484)
    disparity = 31000 / (depth / 10)
    assert np.abs(hha[..., 0] - disparity).max() <= 0.5001
    angle = hha[..., 2].astype(int) - 38
    assert (np.abs(angle - 90) < 15).mean() > 0.2
    floor = angle < 10
    assert floor.mean() > 0.05
    assert np.median(hha[floor, 1]) < 100
