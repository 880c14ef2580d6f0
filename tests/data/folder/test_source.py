"""The folder data set: what it accepts and every way in which it refuses."""

import logging
import os
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.source import open_folder
from fcn_jax.data.labels import voc_palette

COLORS = ((0, 0, 0), (10, 20, 30), (255, 0, 0))
CLASSES = "ground\ncat\ndog\n"
COLORED = "ground 0 0 0\ncat 10 20 30\ndog 255 0 0\n"


def picture(seed, size=(8, 12)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def ids(seed, size=(8, 12)):
    values = np.array([0, 1, 2, 255], np.uint8)
    return np.random.default_rng((seed, 1)).choice(values, size)


def write_label(path, labels, kind="grey"):
    if kind == "rgb":
        colors = np.zeros((256, 3), np.uint8)
        colors[:3] = COLORS
        colors[255] = (224, 224, 192)
        image = Image.fromarray(colors[labels])
    else:
        image = Image.fromarray(labels)
        if kind == "palette":
            image.putpalette([level for c in voc_palette(256) for level in c])
    image.save(path)


def make_folder(root, count=10, kind="grey", classes=CLASSES):
    for name in ("images", "labels", "splits"):
        (root / name).mkdir()
    for index in range(count):
        Image.fromarray(picture(index)).save(root / "images" / f"i{index}.png")
        write_label(root / "labels" / f"i{index}.png", ids(index), kind)
    (root / "classes.txt").write_text(classes)
    return root


def write_splits(root, **splits):
    for name, stems in splits.items():
        (root / "splits" / f"{name}.txt").write_text("\n".join(stems) + "\n")


@pytest.mark.parametrize(
    ("kind", "classes"), [("grey", CLASSES), ("palette", CLASSES), ("rgb", COLORED)]
)
def test_examples_are_what_was_written(tmp_path, kind, classes):
    """Oracle: the arrays that were saved, in the order of the list."""
    make_folder(tmp_path, kind=kind, classes=classes)
    write_splits(tmp_path, train=["i3", "i0", "i9"], val=["i1"])
    source = open_folder(tmp_path, "train")
    assert len(source) == 3
    assert source.outputs["semantic"].names == ("ground", "cat", "dog")
    for index, number in enumerate((3, 0, 9)):
        example = source[index]
        assert example.name == source.name(index) == f"i{number}"
        np.testing.assert_array_equal(example.inputs["color"], picture(number))
        np.testing.assert_array_equal(example.labels["semantic"], ids(number))
    np.testing.assert_array_equal(source.sizes(), [[8, 12]] * 3)
    assert source.sizes().dtype == np.int32


def test_without_lists_every_fifth_stem_is_val(tmp_path, caplog):
    """Oracle: stems 4 and 9 of ten in sorted order; the log says so."""
    make_folder(tmp_path)
    with caplog.at_level(logging.INFO, logger="absl"):
        val = open_folder(tmp_path, "val")
    train = open_folder(tmp_path, "train")
    assert [val.name(i) for i in range(len(val))] == ["i4", "i9"]
    assert [train.name(i) for i in range(len(train))] == [
        f"i{i}" for i in range(10) if i not in (4, 9)
    ]
    assert "every fifth of its 10 images is val (2)" in caplog.text


def test_classes_have_the_colours_given_or_the_palette_of_voc(tmp_path):
    """Oracle: classes.txt, and the VOC palette."""
    make_folder(tmp_path)
    assert open_folder(tmp_path, "val").outputs["semantic"].palette == voc_palette(3)
    (tmp_path / "classes.txt").write_text("\ufeff" + COLORED.replace("\n", "\r\n"))
    classes = open_folder(tmp_path, "val").outputs["semantic"]
    assert classes.palette == COLORS
    assert classes.names == ("ground", "cat", "dog")


def test_hidden_and_foreign_files_are_left_alone(tmp_path):
    """Oracle: the ten pairs."""
    make_folder(tmp_path)
    (tmp_path / "images" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "images" / "._i0.png").write_bytes(b"x")
    (tmp_path / "images" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "labels" / "desktop.ini").write_bytes(b"x")
    (tmp_path / "images" / "@eaDir").mkdir()
    (tmp_path / "images" / "@eaDir" / "i0.png").write_bytes(b"x")
    (tmp_path / "images" / "empty").mkdir()
    (tmp_path / "labels" / "notes.txt").write_text("x")
    assert len(open_folder(tmp_path, "train")) + len(open_folder(tmp_path, "val")) == 10


def test_source_is_picklable(tmp_path):
    """Oracle: the original."""
    make_folder(tmp_path)
    source = open_folder(tmp_path, "train")
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(
        copy[2].labels["semantic"], source[2].labels["semantic"]
    )
    assert copy.fingerprint == source.fingerprint


def exchange(one, other):
    one.rename(other.with_suffix(".part"))
    other.rename(one)
    other.with_suffix(".part").rename(other)


def exchange_labels(root):
    """Two labels of equal byte counts and times."""
    paths = [root / "labels" / f"i{index}.png" for index in (1, 2)]
    assert len({path.stat().st_size for path in paths}) == 1
    exchange(*paths)


def same_pixels_otherwise(root):
    path = root / "labels" / "i1.png"
    label = np.asarray(Image.open(path))
    Image.fromarray(label).save(path, compress_level=0)


CHANGES = {
    "exchanged labels": exchange_labels,
    "another file": same_pixels_otherwise,
    "an image": lambda root: Image.fromarray(picture(77)).save(
        root / "images" / "i1.png"
    ),
    "order": lambda root: write_splits(root, train=["i2", "i1"], val=["i4"]),
    "fewer": lambda root: write_splits(root, train=["i1"], val=["i4"]),
    "a name": lambda root: (root / "classes.txt").write_text("ground\ncat\nhound\n"),
    "colours": lambda root: (root / "classes.txt").write_text(COLORED),
    "values": lambda root: (root / "classes.txt").write_text("0:ground\n1:cat\n2:dog"),
    "ignored value": lambda root: (root / "classes.txt").write_text(
        "0:ground\n1:cat\n2:dog\n3:ignore"
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_fingerprint_follows_contents_order_and_classes(tmp_path, monkeypatch, kind):
    """Oracle: another data set has another digest, also where sizes and times agree."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = make_folder(made(tmp_path / "data"))
    write_splits(root, train=["i1", "i2"], val=["i4"])
    for index in range(10):
        path = root / "labels" / f"i{index}.png"
        write_label(path, ids(index))
        path.write_bytes(path.read_bytes().ljust(200, b"\0"))
        os.utime(path, (1e9, 1e9))
    before = open_folder(root, "train").fingerprint
    assert open_folder(root, "train").fingerprint == before
    CHANGES[kind](root)
    assert open_folder(root, "train").fingerprint != before


def test_fingerprint_is_that_of_the_data_wherever_it_lies(tmp_path, monkeypatch):
    """Oracle: the same files: moved, copied, named relatively, by another list."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = make_folder(made(tmp_path / "data"))
    write_splits(root, train=["i1", "i2"], val=["i4"])
    before = open_folder(root, "train").fingerprint
    monkeypatch.chdir(root)
    shutil.copytree(root, tmp_path / "copy")
    (tmp_path / "copy" / "splits" / "train.txt").write_text("x/i1.png\nx/i2.png\n")
    (tmp_path / "link").symlink_to(root)
    places = [".", "../data/", "../data", f"{root}/", f"{root}/../data", "../copy"]
    for place in [*places, tmp_path / "link"]:
        assert open_folder(place, "train").fingerprint == before
    root.rename(tmp_path / "moved")
    assert open_folder(tmp_path / "moved", "train").fingerprint == before
    assert open_folder(tmp_path / "moved", "val").fingerprint != before


def test_index_outside_the_split_is_refused(tmp_path):
    """Oracle: two examples."""
    make_folder(tmp_path)
    with pytest.raises(IndexError, match="no example 2; it has 2"):
        open_folder(tmp_path, "val")[2]


def remove(name):
    return lambda root: (root / name).unlink()


def write(name, text):
    return lambda root: (root / name).write_text(text)


def lists(**splits):
    return lambda root: write_splits(root, **splits)


def made(path):
    path.mkdir()
    return path


def replaced(path):
    path.unlink()
    return path


def copy_image(name):
    return lambda root: Image.fromarray(picture(0)).save(root / "images" / name)


def remove_directory(name):
    def change(root):
        for path in (root / name).iterdir():
            path.unlink()
        (root / name).rmdir()

    return change


def empty(root):
    for path in [*(root / "images").iterdir(), *(root / "labels").iterdir()]:
        path.unlink()


REFUSED_ON_OPENING = {
    "no classes": (remove("classes.txt"), "no .*classes.txt; write one class name"),
    "empty line": (write("classes.txt", "a\n\nb\n"), "line 2 is '', which names no"),
    "empty classes": (write("classes.txt", ""), "classes.txt: 0 classes given"),
    "class twice": (write("classes.txt", "a\na\n"), r"\['a'\] are given more than"),
    "no images": (remove_directory("images"), "no directory .*images; a folder data"),
    "no labels": (remove_directory("labels"), "no directory .*labels; a folder data"),
    "no pairs": (empty, "split train: it is empty: images/ holds 0"),
    "image alone": (
        remove("labels/i4.png"),
        "image i4.png has no label labels/i4.png; add it",
    ),
    "label alone": (remove("images/i4.png"), "label i4.png has no image"),
    "same stem": (copy_image("i4.jpg"), "i4.jpg and i4.png have the same stem"),
    "empty list": (lists(train=[]), "splits/train.txt lists no ids"),
    "listed twice": (
        lists(train=["i1", "i2", "i1"]),
        "splits/train.txt lists 'i1' 2 times",
    ),
    "no files": (
        lists(train=["i1", "j7"]),
        "lists 'j7', which has no file in images/ and labels/; add the file",
    ),
    "overlap": (
        lists(train=["i1", "i2"], val=["i2", "i3"]),
        r"the splits train and val share 1 ids \(i2\)",
    ),
    "overlap with another name": (
        lists(train=["i1", "i2"], val=["i3"], valid=["i2"]),
        r"the splits train and valid share 1 ids \(i2\)",
    ),
    "other splits": (
        lists(val=["i1"], test=["i2"]),
        "no list of the split train, but of val, test; write its stems into splits/train",
    ),
    "near split": (
        lists(training=["i1"], val=["i2"]),
        "but of val, training; rename the list of training, .*train_split=training",
    ),
    "unread picture": (
        lambda root: (root / "images" / "i11.TIF").write_bytes(b""),
        "images/i11.TIF is not read, since its ending is not .jpg or",
    ),
    "picture in a directory": (
        lambda root: write_label(made(root / "labels" / "city") / "x.png", ids(0)),
        "labels/city/ holds pictures, as labels/city/x.png, and only those directly in",
    ),
    "link to nowhere": (
        lambda root: replaced(root / "images" / "i3.png").symlink_to("/nowhere/i3.png"),
        "images/i3.png is no file, or a link to one that is not there",
    ),
    "bits": (
        lambda root: write_label(root / "labels" / "i4.png", ids(0) > 0, "bits"),
        "i0.png is a 8-bit grey PNG and labels/i4.png a 1-bit grey PNG, so equal",
    ),
    "several": (
        lists(train=["i1", "i1", "j1"]),
        r"2 times; .*\(and 1 more problems, which `python -m fcn_jax.data check",
    ),
}


@pytest.mark.parametrize("kind", REFUSED_ON_OPENING)
def test_opening_refuses(tmp_path, kind):
    """Oracle: the table of contradictions between files, each with its sentence."""
    change, message = REFUSED_ON_OPENING[kind]
    change(make_folder(tmp_path))
    with pytest.raises(DataError, match=message) as error:
        open_folder(tmp_path, "train")
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("folder", "split", "message"),
    [
        ("", "train", "needs its directory; none is given"),
        ("/nowhere", "train", "/nowhere is not a directory"),
        (
            None,
            "test",
            "no split 'test': without split lists it has train and val",
        ),
    ],
)
def test_opening_refuses_what_is_not_there(tmp_path, folder, split, message):
    """Oracle: no directory, and a split that no list gives."""
    make_folder(tmp_path)
    with pytest.raises(DataError, match=message):
        open_folder(tmp_path if folder is None else folder, split)


def test_too_few_images_for_a_val_split_are_refused(tmp_path):
    """Oracle: the fifth of four images."""
    make_folder(tmp_path, count=4)
    with pytest.raises(DataError, match="split val: it is empty: images/ holds 4"):
        open_folder(tmp_path, "val")


def label_of(labels, kind="grey"):
    return lambda root: write_label(root / "labels" / "i0.png", labels, kind)


def image_bytes(change):
    def apply(root):
        path = root / "images" / "i0.png"
        path.write_bytes(change(path.read_bytes()))

    return apply


REFUSED_ON_READING = {
    "id outside": (
        label_of(np.array([[0, 3], [7, 3]], np.uint8).repeat(4, 0).repeat(6, 1)),
        r"label ids 3 \(48 pixels\), 7 \(24 pixels\) are outside the classes; allowed "
        r"are 0..2 and 255",
    ),
    "other size": (
        label_of(ids(0, (8, 11))),
        r"image is 8x12 pixels \(height x width\) and its label 8x11",
    ),
    "rgb without colours": (label_of(ids(0), "rgb"), "classes have no colours"),
    "cut image": (image_bytes(lambda data: data[:150]), "images/i0.png: cannot be"),
    "no image": (image_bytes(lambda data: b"GIF89a..."), "i0.png: not a readable"),
}


@pytest.mark.parametrize("kind", REFUSED_ON_READING)
def test_reading_refuses(tmp_path, kind):
    """Oracle: the table of damaged pairs; data set, split and example are named."""
    change, message = REFUSED_ON_READING[kind]
    change(make_folder(tmp_path))
    source = open_folder(tmp_path, "train")
    with pytest.raises(DataError, match=message) as error:
        source[0]
    start = f"folder data set {tmp_path}, split train, example i0"
    assert str(error.value).startswith(start)
    source[1]
