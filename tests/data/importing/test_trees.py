"""What is in a tree, lists of classes and splits. Oracle: written by hand."""

import os
from pathlib import PurePosixPath

import numpy as np
import pytest

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.class_lists import read_list
from fcn_jax.data.importing.options import parse_map, parse_names, value_code
from fcn_jax.data.importing.tree import Tree
from tests.data.importing.exports import (
    imported,
    label_maps,
    labels,
    names,
    same,
    save,
    save_pictures,
    split,
)


def test_hidden_files_are_not_there(tmp_path):
    for name in ("a.png", ".hidden.png", "._a.png", "Thumbs.db", "__MACOSX/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert Tree(tmp_path).files == (PurePosixPath("a.png"),)


@pytest.mark.parametrize("name", [b"a\xff.png", b"a\nb.png"])
def test_names_that_cannot_be_shown(tmp_path, name):
    (tmp_path / os.fsdecode(name)).touch()
    with pytest.raises(DataError, match="rename it") as error:
        Tree(tmp_path)
    str(error.value).encode()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_links_that_lead_out(tmp_path, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").touch()
    source = tmp_path / "source"
    source.mkdir()
    (source / "b.png").symlink_to(outside / "a.png" if kind == "file" else outside)
    with pytest.raises(DataError, match="a link that leads out"):
        Tree(source)


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "c.png").symlink_to(tmp_path / "a" / "b.png")
    assert Tree(tmp_path).files == (PurePosixPath("a/b.png"), PurePosixPath("c.png"))


@pytest.mark.parametrize(
    ("name", "near", "found"),
    [
        ("a.png", "x", "x/a.png"),
        ("../y/b.png", "x", "y/b.png"),
        ("..\\y\\b.png", "x", "y/b.png"),
        ("y/b.png", "x", "y/b.png"),
        ("b.png", "", "y/b.png"),  # the only one of its name
        ("./a.png", "y", "y/a.png"),
    ],
)
def test_files_that_annotations_name(tmp_path, name, near, found):
    for file in ("x/a.png", "y/a.png", "y/b.png"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    got = Tree(tmp_path).find(name, near=PurePosixPath(near), where="it")
    assert got == PurePosixPath(found)
    with pytest.raises(DataError, match="both x/a.png and y/a.png fit"):
        Tree(tmp_path).find("a.png", near=PurePosixPath("z"), where="it")


@pytest.mark.parametrize(
    ("text", "names", "colors", "values"),
    [
        ("background\nliving cell\n", ["background", "living cell"], None, None),
        ("a 1 2 3\r\nb c 4 5 6\r\n", ["a", "b c"], [(1, 2, 3), (4, 5, 6)], None),
        ("64 128 64\tAnimal\n1 2 3\t\tArch\n", ["Animal", "Arch"],
         [(64, 128, 64), (1, 2, 3)], None),
        ("# label:color_rgb:parts:actions\nbg:0,0,0::\ncell:1,2,3:x,y:z\n",
         ["bg", "cell"], [(0, 0, 0), (1, 2, 3)], None),
        ("name,r,g,b\nsky,1,2,3\nred car,4,5,6\n", ["sky", "red car"],
         [(1, 2, 3), (4, 5, 6)], None),
        ("7: road\n0: sky\n", ["road", "sky"], None, {7: 0, 0: 1, 255: 255}),
        ("__ignore__\n_background_\ncell\n", ["_background_", "cell"], None, None),
    ],
)  # fmt: skip
def test_lists_of_classes(tmp_path, text, names, colors, values):
    (tmp_path / "list.txt").write_text(text, newline="")
    got = read_list(tmp_path / "list.txt", "list.txt")
    assert list(got.names) == names
    assert got.colors == (None if colors is None else tuple(colors))
    assert got.values == values


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("['background', 'cell']\n", "a list"),
        ("a\nb\na\n", "more than once"),
        ("a 1 2 3\nb 4 5 6\nc\n", "colours to 2 of its 3"),
        ("1 2 3 a\n1 2 3 b\n", "a colour to two classes"),
    ],
)
def test_lists_that_are_none(tmp_path, text, sentence):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_list(tmp_path / "list.txt", "list.txt")


def test_lists_that_differ(tmp_path):
    """Values of a list are read by it; of two lists one must be chosen."""
    maps = label_maps(2)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", ids * np.uint8(200))
    (source / "classes.txt").write_text("200: cell\n0: back ground\n")
    (source / "labels.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match="--classes=FILE"):
        imported(source)
    target, _ = imported(source, classes=str(source / "classes.txt"))
    same(labels(target), {stem: 1 - ids for stem, ids in maps.items()})
    assert names(target) == ["cell", "back ground"]


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "{}.png",
        "images/{}.png",
        "data\\images\\{}.png",
        "{} 1",
        "/x/images/{0}.png /x/masks/{0}.png",
    ],
)
@pytest.mark.parametrize("at", ["", "splits", "ImageSets/Segmentation", "ImageSets"])
def test_split_lists(tmp_path, form, at):
    maps = label_maps()
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", ids)
    (source / at).mkdir(parents=True, exist_ok=True)
    for name, stems in (("train", ["pic4", "pic0"]), ("valid", ["pic2"])):
        lines = "".join(form.format(stem) + "\r\n" for stem in stems)
        (source / at / f"{name}.txt").write_text(lines, newline="")
    target, _ = imported(source, names=("a", "b"))
    assert split(target, "train") == ["pic0", "pic4"]
    assert split(target, "val") == ["pic2"]
    assert not (target / "images" / "pic1.png").exists()


@pytest.mark.parametrize(
    ("lists", "sentence"),
    [
        ({"train": "pic0\n", "val": "pic0\n"}, "in the lists of train and val"),
        ({"train": "elsewhere\n"}, "names no picture that has a label"),
        ({"train": "pic0 -1\npic1 1\n"}, "flags"),
        ({"val": "pic0\n", "valid": "pic1\n"}, "both lists of val"),
    ],
)
def test_wrong_split_lists(tmp_path, lists, sentence):
    maps = label_maps(2)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", ids)
    for name, text in lists.items():
        (source / f"{name}.txt").write_text(text)
    with pytest.raises(DataError, match=sentence):
        imported(source, names=("a", "b"))


def test_lists_elsewhere_are_not_left_out(tmp_path):
    """What their author holds back would be trained on."""
    maps = label_maps(4)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", ids)
    (source / "protocol").mkdir()
    (source / "protocol" / "train.txt").write_text("pic0\npic1\npic2\n")
    with pytest.raises(DataError, match="protocol/train.txt looks like a split list"):
        imported(source, names=("a", "b"))


@pytest.mark.parametrize("lists", [["trainval"], ["trainval", "test"]])
def test_trainval_is_train_where_nothing_else_is(tmp_path, lists):
    maps = label_maps(3)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", ids)
    for i, name in enumerate(lists):
        (source / f"{name}.txt").write_text(f"pic{i}\n")
    target, table = imported(source, names=("a", "b"))
    assert table["split train"] == "1 pictures, listed in trainval.txt"
    assert sorted(labels(target)) == ["pic0", "pic1"][: len(lists)]
    assert (target / "splits").exists() == (len(lists) > 1)


def test_flags_are_parsed():
    assert parse_map("255:object, 0:back ground") == (
        ("255", "object"),
        ("0", "back ground"),
    )
    assert parse_names("a,b c") == ("a", "b c")
    assert len(parse_names("voc")) == 21
    assert value_code("300") == 300
    assert value_code("#ff0001") == 2**24 + 0xFF0001
    assert value_code("255/0/1") == 2**24 + 0xFF0001
    for text in ("-1", "70000", "#ff", "256/0/0", "cat"):
        assert value_code(text) is None
    for text in ("255", "255:", ":a", "1:a,1:b"):
        with pytest.raises(DataError, match="--map"):
            parse_map(text)
