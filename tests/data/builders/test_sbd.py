"""SBD: a miniature tree with MATLAB labels, prepared and read back; broken ones refused."""

import io

import numpy as np
import pytest
import scipy.io
from PIL import Image

from fcn_jax.data.builders import sbd
from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.examples import DataError
from fcn_jax.data.sources.catalog import open_source
from tests.data import voc_trees as trees

LISTS = {
    "train": ["2009_000015", "2008_000002", "2010_000009"],
    "val": ["2008_000003", "2011_000007"],
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("sbd")
    tree = trees.write_sbd(home / "source" / "benchmark_RELEASE" / "dataset", LISTS)
    data = str(home / "data")
    said = prepare(sbd.DATASET, source=str(home / "source"), lists="", data_dir=data)
    return tree, data, said


@pytest.mark.parametrize("split", LISTS)
def test_prepared_examples_are_the_files_pixel_for_pixel(prepared, split):
    """Oracle: Pillow's pixels of the JPEG; the ids that were saved, none of them 255."""
    tree, data, _ = prepared
    source = open_source("sbd", split, data_dir=data)
    assert [source.name(i) for i in range(len(source))] == LISTS[split]
    for index, name in enumerate(LISTS[split]):
        example = source[index]
        photo = trees.pixels(tree / "img" / f"{name}.jpg")
        np.testing.assert_array_equal(example.inputs["color"], photo)
        np.testing.assert_array_equal(
            example.labels["semantic"], trees.sbd_label(name), strict=True
        )
        assert example.labels["semantic"].max() == 20


def test_prepare_says_which_counts_are_not_the_published_ones(prepared):
    """Oracle: 8,498 and 2,857 images."""
    assert "train 3, val 2 (not the published train 8498, val 2857: " in prepared[2]


def test_photographs_pass_through_and_labels_become_grey_png(tmp_path):
    """Oracle: the bytes of the JPEG; mode and pixels of the PNG."""
    tree = trees.write_sbd(tmp_path / "dataset", LISTS)
    item = sbd.DATASET.read_tree(tmp_path, tmp_path)["train"][2]
    photo = (tree / "img" / "2010_000009.jpg").read_bytes()
    assert item.inputs["color"]() == photo
    with Image.open(io.BytesIO(item.labels["semantic"]())) as label:
        assert (label.format, label.mode) == ("PNG", "L")
        np.testing.assert_array_equal(label, trees.sbd_label("2010_000009"))


@pytest.mark.parametrize(
    "place",
    [
        *("", "dataset", "benchmark_RELEASE/dataset", "sbd", "SBD", "sbd/dataset"),
        *("sbd/benchmark_RELEASE/dataset", "benchmark/benchmark_RELEASE/dataset"),
    ],
)
def test_the_tree_is_found_where_the_archive_puts_it(tmp_path, place):
    """Oracle: the ids of the lists."""
    trees.write_sbd(tmp_path / "source" / place, LISTS)
    found = sbd.DATASET.read_tree(tmp_path / "source", tmp_path)
    assert {s: [i.name for i in items] for s, items in found.items()} == LISTS


def remove(*parts):
    def change(tree):
        tree.joinpath(*parts).rename(tree / "moved")

    return change


def write_list(split, text):
    return lambda tree: (tree / f"{split}.txt").write_text(text)


REFUSED = {
    "tree": (
        lambda tree: tree.rename(tree.parent / "other"),
        r"holds no SBD tree .*berkeley.edu/\S+/benchmark.tgz \(no licence stated",
    ),
    "labels": (remove("cls"), "dataset lacks cls/; extract https"),
    "images": (remove("img"), "dataset lacks img/; extract https"),
    "list": (remove("val.txt"), "the list .*dataset/val.txt is missing; .*benchmark"),
    "label": (
        remove("cls", "2008_000003.mat"),
        r"lacks 1 of the 4 files of split val \(cls/2008_000003.mat\); .*benchmark",
    ),
    "shared": (
        write_list("val", "2008_000002\n"),
        r"1 images \(2008_000002\) are in both train and val",
    ),
    "empty": (write_list("train", ""), "train.txt lists no images"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_trees_are_refused(tmp_path, kind):
    """Oracle: the table of incomplete trees."""
    change, message = REFUSED[kind]
    change(trees.write_sbd(tmp_path / "dataset", LISTS))
    with pytest.raises(DataError, match=message):
        sbd.DATASET.read_tree(tmp_path, tmp_path)


def save(**variables):
    return lambda path: scipy.io.savemat(path, variables)


def truncated(path):
    trees.write_mat(path, trees.sbd_label("x"))
    path.write_bytes(path.read_bytes()[:-40])


IDS = np.array([[0, 1, 2], [3, 20, 5]], np.uint8)
WITH_VOID = np.array([[0, 255, 255], [21, 20, 5]], np.uint8)
UNREADABLE = {
    "no variable": (save(other=IDS), "label.mat has no variable GTcls; it has other"),
    "no field": (
        save(GTcls={"Boundaries": IDS}),
        "label.mat has no field Segmentation in GTcls; it has Boundaries",
    ),
    "void": (
        save(GTcls={"Segmentation": WITH_VOID}),
        r"the ids 21 \(1 pixels\), 255 \(2 pixels\); SBD's are 0..20, without void",
    ),
    "negative": (save(GTcls={"Segmentation": -IDS.astype(np.int16)}), r"ids -20 \(1 "),
    "float": (
        save(GTcls={"Segmentation": IDS / 2}),
        r"ids 0\.5 \(1 pixels\), 1\.5 \(1 ",
    ),
    "cube": (
        save(GTcls={"Segmentation": IDS[None]}),
        r"of the shape \(1, 2, 3\)",
    ),
    "no pixels": (save(GTcls={"Segmentation": IDS[:0]}), r"of the shape \(0, 3\)"),
    "truncated": (truncated, "label.mat is truncated"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_other_label_files_are_refused(tmp_path, kind):
    """Oracle: the table of damaged files; each message names the file and its origin."""
    make, message = UNREADABLE[kind]
    path = tmp_path / "label.mat"
    make(path)
    with pytest.raises(DataError, match=message) as caught:
        sbd.segmentation(path)
    assert str(caught.value).startswith(str(path))
    assert "benchmark.tgz" in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint16, np.float64])
def test_other_types_of_numbers_are_read(tmp_path, dtype):
    """Oracle: the ids that were saved."""
    path = tmp_path / "label.mat"
    save(GTcls={"Segmentation": IDS.astype(dtype)})(path)
    np.testing.assert_array_equal(sbd.segmentation(path), IDS, strict=True)


def test_prepare_works_once_a_label_is_repaired(tmp_path):
    """Oracle: a label with void refused, then the tree as it was."""
    tree = trees.write_sbd(tmp_path / "dataset", LISTS)
    path = tree / "cls" / "2011_000007.mat"
    whole = path.read_bytes()
    ids = trees.sbd_label("2011_000007")
    ids[2, 3] = 255
    trees.write_mat(path, ids)
    flags = {"source": str(tmp_path), "lists": "", "data_dir": str(tmp_path / "data")}
    with pytest.raises(DataError, match=r"2011_000007.mat: .* 255 \(1 pixels\)"):
        prepare(sbd.DATASET, **flags)
    path.write_bytes(whole)
    assert prepare(sbd.DATASET, **flags).startswith("sbd: train 3, val 2")
