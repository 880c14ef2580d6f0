"""PASCAL VOC: miniature trees, prepared and read back; broken trees refused."""

import dataclasses
import functools
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.builders import voc
from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.builders.voc_lists import list_digest, warn_altered
from fcn_jax.data.examples import DataError
from fcn_jax.data.sources.catalog import open_source
from tests.data import voc_trees as trees

LISTS = {
    "train": ["2008_000008", "2007_000032", "2009_000017"],  # the list's order counts
    "val": ["2007_000033", "2011_000006"],
}
LISTS["trainval"] = sorted(LISTS["train"] + LISTS["val"])
PLACES = {2011: "TrainVal/VOCdevkit/VOC2011", 2012: "VOCdevkit/VOC2012"}
DATASETS = {2011: voc.VOC2011, 2012: voc.VOC2012}


@pytest.fixture(scope="module", params=[2011, 2012])
def prepared(request, tmp_path_factory):
    home = tmp_path_factory.mktemp("voc")
    tree = trees.write_voc(home / "source" / PLACES[request.param], LISTS)
    said = prepare(
        DATASETS[request.param],
        source=str(home / "source"),
        lists="",
        data_dir=str(home / "data"),
    )
    return request.param, tree, str(home / "data"), said


@pytest.mark.parametrize("split", LISTS)
def test_prepared_examples_are_the_files_pixel_for_pixel(prepared, split):
    """Oracle: Pillow's pixels of the JPEG, the ids that were saved, 255 included."""
    year, tree, data, _ = prepared
    source = open_source(f"voc{year}", split, data_dir=data)
    assert [source.name(i) for i in range(len(source))] == LISTS[split]
    np.testing.assert_array_equal(
        source.sizes(), [trees.size_of(name) for name in LISTS[split]]
    )
    for index, name in enumerate(LISTS[split]):
        example = source[index]
        photo = trees.pixels(tree / "JPEGImages" / f"{name}.jpg")
        np.testing.assert_array_equal(example.inputs["color"], photo)
        np.testing.assert_array_equal(
            example.labels["semantic"], trees.voc_label(name), strict=True
        )
        assert (example.labels["semantic"][0] == 255).all()


def test_prepare_says_which_counts_are_not_the_published_ones(prepared):
    """Oracle: the published numbers of images, data_dir's version directory."""
    year, _, data, said = prepared
    published = {2011: "train 1112, val 1111, trainval 2223"}.get(
        year, "train 1464, val 1449, trainval 2913"
    )
    assert said == (
        f"voc{year}: train 3, val 2, trainval 5 (not the published {published}: scores "
        f"will not compare), written to {data}/voc{year}/1.0.0"
    )


def test_files_pass_through_untouched(tmp_path):
    """Oracle: the bytes of the files."""
    tree = trees.write_voc(tmp_path / "VOC2012", LISTS)
    item = voc.VOC2012.read_tree(tmp_path, tmp_path)["val"][1]
    assert item.name == "2011_000006"
    photo, label = "JPEGImages/2011_000006.jpg", "SegmentationClass/2011_000006.png"
    assert item.inputs["color"]() == (tree / photo).read_bytes()
    assert item.labels["semantic"]() == (tree / label).read_bytes()
    assert item.files == f"VOC2012/{photo}, {label}"


@pytest.mark.parametrize("year", DATASETS)
@pytest.mark.parametrize("parent", ["", "VOCdevkit", "TrainVal/VOCdevkit"])
@pytest.mark.parametrize("inside", [False, True])
def test_the_tree_is_found_where_the_archives_put_it(tmp_path, year, parent, inside):
    """Oracle: the ids of the lists, from the folder above or from the tree itself."""
    tree = trees.write_voc(tmp_path / parent / f"VOC{year}", LISTS)
    source = tree if inside else tmp_path
    found = DATASETS[year].read_tree(source, source)
    assert {s: [i.name for i in items] for s, items in found.items()} == LISTS


def test_a_tree_of_another_name_is_taken_and_another_year_is_not(tmp_path):
    """Oracle: a directory called VOC2012 holds no VOC2011; one called data may."""
    other = trees.write_voc(tmp_path / "VOC2012", LISTS)
    with pytest.raises(DataError, match=f"{other} holds no VOC2011 tree .*25-May-2011"):
        voc.VOC2011.read_tree(other, other)
    with pytest.raises(DataError, match="holds no VOC2011 tree"):
        voc.VOC2011.read_tree(tmp_path, tmp_path)
    renamed = other.rename(tmp_path / "data")
    assert len(voc.VOC2011.read_tree(renamed, renamed)["trainval"]) == 5


def remove(name):
    def change(tree):
        path = tree / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def write(split, text):
    path = f"ImageSets/Segmentation/{split}.txt"
    return lambda tree: (tree / path).write_text(text, encoding="utf-8")


ORIGIN = (
    r"thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar \(.*no open"
)
REFUSED = {
    "tree": (lambda tree: tree.rename(tree.parent / "other"), "holds no VOC2012 tree"),
    "images": (remove("JPEGImages"), "VOC2012 lacks JPEGImages/; extract VOCtrainval"),
    "lists": (remove("ImageSets"), "VOC2012 lacks ImageSets/Segmentation/; extract"),
    "list": (
        remove("ImageSets/Segmentation/trainval.txt"),
        f"Segmentation/trainval.txt is missing; .*{ORIGIN}",
    ),
    "image": (
        remove("JPEGImages/2011_000006.jpg"),
        r"lacks 1 of the 4 files of split val \(JPEGImages/2011_000006.jpg\)",
    ),
    "labels": (
        lambda tree: [f.unlink() for f in (tree / "SegmentationClass").iterdir()],
        r"lacks 3 of the 6 .*train \(\w+/2008_000008.png, \S+32.png, \S+17.png\); "
        f".*{ORIGIN}",
    ),
    "more labels": (
        write("train", "".join(f"2007_00000{k}\n" for k in range(4))),
        r"lacks 8 of the 8 files of split train \(\S+, \S+, \S+, \.\.\.\)",
    ),
    "empty": (write("val", "\n \n"), "val.txt lists no images; take the list of .*"),
    "twice": (
        write("val", "2007_000033\n2007_000033\n"),
        "val.txt names 2007_000033 more than once",
    ),
    "columns": (
        write("val", "2007_000033\n2011_000006 -1\n"),
        "val.txt line 2 is '2011_000006 -1'; it must be the id of one image",
    ),
    "file name": (write("val", "2007_000033.jpg\n"), "line 1 is '2007_000033.jpg'"),
    "outside": (write("val", "../../2007_000033\n"), "line 1 is '../../2007_000033'"),
    "other letters": (write("val", "2007_00003\u0663\n"), "val.txt cannot be read"),
    "shared": (
        write("val", "2007_000032\n2007_000033\n"),
        r"1 images \(2007_000032\) are in both train and val of .*VOC2012; take",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_trees_are_refused(tmp_path, kind):
    """Oracle: the table of incomplete and altered trees."""
    change, message = REFUSED[kind]
    change(trees.write_voc(tmp_path / "VOCdevkit" / "VOC2012", LISTS))
    with pytest.raises(DataError, match=message):
        voc.VOC2012.read_tree(tmp_path, tmp_path)


def save_label(array):
    def change(tree):
        Image.fromarray(array).save(tree / "SegmentationClass" / "2007_000033.png")

    return change


def truncate(tree):
    path = tree / "JPEGImages" / "2007_000033.jpg"
    path.write_bytes(path.read_bytes()[:-200])


NAME = "2007_000033"
HEIGHT, WIDTH = trees.size_of(NAME)
SPOILT = {
    "colours": (
        save_label(np.full((HEIGHT, WIDTH, 3), 128, np.uint8)),
        "split val, example 2007_000033 .*RGB",
    ),
    "id": (
        save_label(np.full((HEIGHT, WIDTH), 37, np.uint8)),
        rf"label ids 37 \({HEIGHT * WIDTH} pixels\)",
    ),
    "turned": (
        save_label(np.zeros((WIDTH, HEIGHT), np.uint8)),
        f"image is {HEIGHT}x{WIDTH} pixels .*label {WIDTH}x{HEIGHT}",
    ),
    "truncated": (truncate, "example 2007_000033 .*damaged|truncated"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_prepare_refuses_spoilt_files_and_works_once_they_are_repaired(tmp_path, kind):
    """Oracle: the table of damaged pairs; the tree as it was before."""
    change, message = SPOILT[kind]
    tree = trees.write_voc(tmp_path / "VOC2012", LISTS)
    shutil.copytree(tree, tmp_path / "whole" / "VOC2012")
    change(tree)
    build = functools.partial(prepare, voc.VOC2012, lists="", data_dir=f"{tmp_path}/d")
    with pytest.raises(DataError, match=message):
        build(source=str(tmp_path))
    assert "trainval 5" in build(source=str(tmp_path / "whole"))


def test_digest_of_a_list_is_that_of_the_sorted_file():
    """Oracle: MD5 of the text with a line feed after every id."""
    text = b"2007_000032\n2008_000008\n"
    expected = hashlib.md5(text, usedforsecurity=False).hexdigest()
    assert list_digest(["2008_000008", "2007_000032"]) == expected


def test_a_list_as_long_as_the_published_one_but_another_is_said_in_the_log(caplog):
    """Oracle: one message where ids differ, none where count or ids are as expected."""
    ids, md5 = LISTS["train"], list_digest(LISTS["train"])
    warn_altered(ids, "train.txt", 3, md5)
    warn_altered(ids[:2], "train.txt", 3, md5)
    warn_altered(ids, "train.txt", 3, None)
    assert not caplog.messages
    warn_altered([*ids[:2], "2009_000018"], "train.txt", 3, md5)
    (message,) = caplog.messages
    assert message.startswith("train.txt names 3 images, as many as the published list")
    assert md5 in message


def test_the_list_of_another_year_is_refused(tmp_path, monkeypatch):
    """Oracle: a release whose val list is known to be the invented one."""
    known = dataclasses.replace(
        voc.RELEASE_2012, digests={"val": list_digest(LISTS["val"])}
    )
    monkeypatch.setattr(voc, "RELEASE_2012", known)
    trees.write_voc(tmp_path / "VOC2011", LISTS)
    with pytest.raises(DataError, match="val.txt is a list of VOC2012, not of VOC2011"):
        voc.VOC2011.read_tree(tmp_path, tmp_path)


PHOTOS = {
    "2007_000129": ((500, 334), {0, 2, 15, 255}),
    "2007_000063": ((375, 500), {0, 9, 12, 255}),
}


@trees.needs_test_data
def test_real_photographs_come_back_pixel_for_pixel(tmp_path):
    """Oracle: Pillow's pixels, sizes and ids of two published pairs."""
    tree = trees.write_voc(tmp_path / "VOC2012", LISTS)
    trees.write_lists(
        tree / "ImageSets/Segmentation",
        {"train": ["2007_000129"], "val": ["2007_000063"], "trainval": list(PHOTOS)},
    )
    sample = trees.TEST_DATA / "voc_sample"
    for name in PHOTOS:
        shutil.copy(sample / f"{name}.jpg", tree / "JPEGImages")
        shutil.copy(
            sample / f"{name}_label.png", tree / "SegmentationClass" / f"{name}.png"
        )
    prepare(
        voc.VOC2012, source=str(tmp_path), lists="", data_dir=str(tmp_path / "data")
    )
    source = open_source("voc2012", "trainval", data_dir=str(tmp_path / "data"))
    for index, (name, (size, ids)) in enumerate(PHOTOS.items()):
        example = source[index]
        labels = example.labels["semantic"]
        assert (example.name, labels.shape) == (name, size)
        assert set(np.unique(labels).tolist()) == ids
        np.testing.assert_array_equal(
            labels, trees.pixels(sample / f"{name}_label.png"), strict=True
        )
        np.testing.assert_array_equal(
            example.inputs["color"], trees.pixels(Path(sample / f"{name}.jpg"))
        )
