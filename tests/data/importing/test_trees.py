"""What is in a tree, lists of classes and splits. Oracle: written by hand."""

from pathlib import PurePosixPath

import pytest

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.class_lists import Listed, read_list
from fcn_jax.data.importing.options import parse_map, parse_names, value_code
from fcn_jax.data.importing.splits import read_lists
from fcn_jax.data.importing.tree import Tree
from tests.data.importing.exports import (
    imported,
    label_maps,
    save,
    save_pictures,
    split,
)


def test_hidden_files_are_not_there(tmp_path):
    for name in ("a.png", ".hidden.png", "._a.png", "Thumbs.db", "__MACOSX/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert Tree(tmp_path).files == (PurePosixPath("a.png"),)


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
    ("text", "listed"),
    [
        ("background\nliving cell\n", [Listed("background"), Listed("living cell")]),
        ("\ufeffa 1 2 3\r\nb c 4 5 6\r\n", [Listed("a", (1, 2, 3)), Listed("b c", (4, 5, 6))]),
        ("64 128 64\tAnimal\n192 0 128\t\tArch\n", [
            Listed("Animal", (64, 128, 64)), Listed("Arch", (192, 0, 128)),
        ]),
        ("# label:color_rgb:parts:actions\nbg:0,0,0::\na, b:1,2,3:x,y:z\n", [
            Listed("bg", (0, 0, 0)), Listed("a, b", (1, 2, 3)),
        ]),
        ("name,r,g,b\nsky,1,2,3\n\"a, b\",4,5,6\n", [
            Listed("sky", (1, 2, 3)), Listed("a, b", (4, 5, 6)),
        ]),
        ("0: sky\n7: road\n", [Listed("sky", value=0), Listed("road", value=7)]),
        ("__ignore__\n_background_\ncell\n", [Listed("_background_"), Listed("cell")]),
    ],
)  # fmt: skip
def test_lists_of_classes(tmp_path, text, listed):
    (tmp_path / "list.txt").write_text(text, newline="")
    got = read_list(Tree(tmp_path), PurePosixPath("list.txt"), "list.txt")
    assert list(got.listed) == listed
    assert got.ignored == (("__ignore__",) if "__ignore__" in text else ())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "lists no classes"),
        ("['background', 'cell']\n", "looks like a list"),
        ("a\nb\na\n", "'a' twice"),
        ("a 1 2 3\nb 4 5 6\nc\n", "'c', of another form"),
    ],
)
def test_lists_that_are_none(tmp_path, text, sentence):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_list(Tree(tmp_path), PurePosixPath("list.txt"), "list.txt")


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "{}.png",
        "images/{}.png",
        "data\\images\\{}.png",
        "{} 1",
        "/x/images/{}.png a",
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
        ({"train": "pic0 -1\n"}, "not a split"),
    ],
)
def test_wrong_split_lists(tmp_path, lists, sentence):
    (tmp_path / "pic0.png").touch()
    for name, text in lists.items():
        (tmp_path / f"{name}.txt").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_lists(Tree(tmp_path), [PurePosixPath("pic0.png")])


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
