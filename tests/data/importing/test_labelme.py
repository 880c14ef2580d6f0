"""labelme's JSON. Oracle: pixel sets of rectangles, borders included, by hand."""

import numpy as np
import pytest

from fcn_jax.data.examples import DataError
from tests.data.importing.exports import (
    base64_png,
    imported,
    labels,
    names,
    picture,
    same,
    save,
    split,
    write_json,
)

SIZE = (20, 30)


def shape(label, points, kind="polygon", **more):
    """A shape with the fields of labelme 5."""
    fields = {"group_id": None, "description": "", "flags": {}}
    return {"label": label, "points": points, "shape_type": kind, **fields, **more}


def record(shapes, path="pic.png", **more):
    return {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": path,
        "imageData": None,
        "imageHeight": SIZE[0],
        "imageWidth": SIZE[1],
        **more,
    }


def corners(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def write(source, shapes, name="pic", **more):
    save(source / f"{name}.png", picture(0, SIZE))
    write_json(source / f"{name}.json", record(shapes, f"{name}.png", **more))


SHAPES = [
    shape("dog", corners(1.7, 2, 6.2, 8.9)),  # columns 1..6, rows 2..8
    shape("cat", [[4, 5], [12, 10]], "rectangle"),
    shape("cat", corners(20, 1, 25, 3), group_id=1),  # two parts of one object
    shape("cat", corners(20, 12, 25, 14), group_id=1),
    shape("__ignore__", [[0, 18], [29, 19]], "rectangle"),
]


def wanted(dog, cat):
    ids = np.zeros(SIZE, np.uint8)
    ids[2:9, 1:7] = dog
    ids[5:11, 4:13] = cat
    ids[1:4, 20:26] = ids[12:15, 20:26] = cat
    ids[18:20, :] = 255
    return ids


def test_classes_of_labels_txt(tmp_path):
    source = tmp_path / "source"
    write(source, SHAPES)
    (source / "labels.txt").write_text("__ignore__\n_background_\ndog\ncat\n")
    target, table = imported(source)
    same(labels(target), {"pic": wanted(dog=1, cat=2)})
    assert names(target) == ["_background_", "dog", "cat"]
    assert table["ignored (255)"].startswith("label '__ignore__'; ")
    assert (target / "images" / "pic.png").read_bytes() == (
        source / "pic.png"
    ).read_bytes()


def test_classes_without_a_list_are_sorted(tmp_path):
    source = tmp_path / "source"
    write(source, SHAPES)
    target, table = imported(source)
    same(labels(target), {"pic": wanted(dog=2, cat=1)})
    assert names(target) == ["background", "cat", "dog"]
    assert "sorted by name" in table["classes"]


def test_names_and_map(tmp_path):
    source = tmp_path / "source"
    write(source, SHAPES)
    target, _ = imported(source, names=("dog", "cat"))
    same(labels(target), {"pic": wanted(dog=1, cat=2)})
    (tmp_path / "merged").mkdir()
    write(tmp_path / "merged", SHAPES)
    target, _ = imported(
        tmp_path / "merged",
        map=(("dog", "animal"), ("cat", "animal")),
    )
    same(labels(target), {"pic": wanted(dog=1, cat=1)})
    assert names(target) == ["background", "animal"]


def test_an_ignored_background(tmp_path):
    source = tmp_path / "source"
    write(source, SHAPES[:2])
    target, table = imported(source, ignore=("background",))
    ids = np.full(SIZE, 255, np.uint8)
    ids[2:9, 1:7] = 1
    ids[5:11, 4:13] = 0
    same(labels(target), {"pic": ids})
    assert names(target) == ["cat", "dog"]
    assert table["ignored (255)"].startswith("what no shape covers; ")


def test_labels_outside_of_the_list(tmp_path):
    source = tmp_path / "source"
    write(source, SHAPES)
    (source / "labels.txt").write_text("__ignore__\n_background_\ndog\n")
    with pytest.raises(DataError, match=r"labels 'cat', .*--ignore=cat"):
        imported(source)


def test_a_picture_within_the_json(tmp_path):
    """Its bytes are written; the path, of another machine, is not looked up."""
    source = tmp_path / "source"
    data = base64_png(picture(3, SIZE))
    path = "..\\..\\somewhere\\else.jpg"
    write_json(source / "a b.json", record(SHAPES[:1], path, imageData=data))
    target, _ = imported(source)
    ids = np.zeros(SIZE, np.uint8)
    ids[2:9, 1:7] = 1
    same(labels(target), {"a b": ids})
    assert base64_png(picture(3, SIZE)) == data
    assert (target / "images" / "a b.png").is_file()


def test_pictures_in_another_folder_and_splits(tmp_path):
    """Paths of Windows; a folder a split."""
    source = tmp_path / "source"
    for part, name in (("train", "a"), ("val", "b")):
        save(source / "imgs" / f"{name}.png", picture(0, SIZE))
        path = f"..\\imgs\\{name}.png"
        write_json(source / part / f"{name}.json", record(SHAPES[:1], path))
    target, _ = imported(source)
    assert split(target, "train") == ["a"]
    assert split(target, "val") == ["b"]


def test_pictures_without_json_are_left_out(tmp_path):
    source = tmp_path / "source"
    write(source, [], "empty")
    write(source, SHAPES[:1], "full")
    save(source / "other.png", picture(5, SIZE))
    target, table = imported(source)
    assert (labels(target)["empty"] == 0).all()
    assert table["without shapes: 1 (empty.json)"] == "background everywhere"
    assert table["left out: pictures: 1 (other.png)"] == "they have no JSON file"


@pytest.mark.parametrize("at", [(3, 4), (-2, -1), (26, 17)])
def test_masks_within_the_json(tmp_path, at):
    """A mask lies between its first and its last pixel; a part may be outside."""
    pixels = np.random.default_rng(0).integers(0, 2, (5, 7), dtype=np.uint8)
    x, y = at
    source = tmp_path / "source"
    box = [[x, y], [x + 6, y + 4]]
    data = base64_png(pixels * np.uint8(255))
    write(source, [shape("cell", box, "mask", mask=data)])
    target, _ = imported(source)
    ids = np.zeros((60, 70), np.uint8)
    ids[20 + y : 25 + y, 20 + x : 27 + x] = pixels
    same(labels(target), {"pic": ids[20:40, 20:50]})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"shapes": [shape("a", [[1, 1], [2, 2]])]}, "shape 1: a polygon of 2 points"),
        ({"shapes": [shape("a", [[1, 1]], "rectangle")]}, "a rectangle of 1 points"),
        ({"shapes": [shape("a", [], "cuboid")]}, "a shape of type 'cuboid'"),
        ({"shapes": [shape(3, corners(1, 1, 2, 2))]}, "'label' must be a text"),
        ({"shapes": {}}, "'shapes' must be a list"),
        ({"shapes": [7]}, "shape 1: 'label' must be a text"),
        ({"shapes": [shape("a", [[1e99, 0]] * 3)]}, "is no pair of numbers"),
        ({"imageData": "!"}, "is not base64"),
        ({"imageData": "AAAA"}, "not a readable JPEG"),
        ({"imagePath": "../../etc/passwd"}, "outside of"),
        ({"imagePath": "/etc/passwd"}, "an absolute path"),
        ({"imagePath": "C:\\x.png"}, "an absolute path"),
        ({"imagePath": "absent.png"}, "which is not in"),
        ({"imagePath": ""}, "which is not in"),
        ({"imageHeight": 21}, "20x30 pixels .* its annotation 21x30"),
        ({"imageHeight": "20"}, "'imageHeight' must be a whole number"),
    ],
)
def test_wrong_files_are_refused_whole(tmp_path, change, sentence):
    source = tmp_path / "source"
    save(source / "pic.png", picture(0, SIZE))
    write_json(source / "pic.json", record(SHAPES[:1]) | change)
    with pytest.raises(DataError, match=sentence):
        imported(source)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{", "", '{"shapes": 1' + "0" * 5000 + "}", "\xff"]
)
def test_damaged_json(tmp_path, text):
    source = tmp_path / "source"
    write(source, SHAPES[:1])
    (source / "bad.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"^bad.json: "):
        imported(source)
