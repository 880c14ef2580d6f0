"""Image folders: classes and files as they lie there, and sentences for other layouts."""

import io
import logging as standard_logging
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.categories import Categories
from fcn_jax.data.examples import DataError
from fcn_jax.data.sources.catalog import open_source
from fcn_jax.data.sources.image_folder import is_image_folder, open_image_folder
from fcn_jax.data.sources.splits import check_disjoint
from fcn_jax.data.sources.subset import subset
from tests.data.image_folders import picture, write_image_folder

PETS = {
    "train": {"dog": ["b.png", "A.JPG", "c.jpeg"], "cat": ["1.png", "2.JPEG"]},
    "val": {"dog": ["1.png"], "cat": ["1.png"]},
}


@pytest.fixture
def pets(tmp_path):
    return write_image_folder(tmp_path / "pets", PETS)


def test_examples_are_the_files_of_sorted_directories(pets):
    """Oracle: the order of characters, and the pixels that were written as PNG."""
    train = open_image_folder(pets, "train")
    assert train.outputs == {"imagenet": Categories(("cat", "dog"))}
    names = ["cat/1", "cat/2", "dog/A", "dog/b", "dog/c"]
    assert [train.name(i) for i in range(5)] == [f"train/{name}" for name in names]
    examples = [train[i] for i in range(len(train))]
    assert [example.name for example in examples] == [train.name(i) for i in range(5)]
    assert [int(e.labels["imagenet"][0, 0]) for e in examples] == [0, 0, 1, 1, 1]
    for example in examples:
        assert example.labels["imagenet"].shape == (1, 1)
        assert example.labels["imagenet"].dtype == np.uint16
    # Files were written in the order b, A, c, 1, 2.
    np.testing.assert_array_equal(
        examples[3].inputs["color"], picture(0, size=(24, 32))
    )
    np.testing.assert_array_equal(
        examples[0].inputs["color"], picture(3, size=(24, 32))
    )
    heights = [24 + number % 3 for number in (3, 4, 1, 0, 2)]
    np.testing.assert_array_equal(train.sizes(), [[h, 32] for h in heights])
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f"no example {index}; it has 5"):
            train[index]


def test_splits_of_the_same_file_names_are_disjoint(pets):
    """Oracle: train/cat/1.png and val/cat/1.png are two files; a split is one."""
    train, val = (open_image_folder(pets, split) for split in ("train", "val"))
    assert len(val) == 2
    check_disjoint(train, val)
    with pytest.raises(ValueError, match="5 of the 5 images"):
        check_disjoint(train, train)


def test_files_that_share_a_stem_have_names_of_their_own(tmp_path):
    """Oracle: the three files."""
    own = {"train": {"a": ["1.jpg", "1.png", "2.png"], "b": ["1.jpg"]}}
    source = open_image_folder(write_image_folder(tmp_path, own), "train")
    names = [source.name(i) for i in range(4)]
    assert names == ["train/a/1.jpg", "train/a/1.png", "train/a/2", "train/b/1"]


def test_synsets_have_the_names_of_imagenet(tmp_path):
    """Oracle: ILSVRC's names; n00000001 is not among its ids."""
    ids = ("n01443537", "n01440764", "n00000001")
    splits = {"train": {own: ["x.jpg"] for own in ids}}
    source = open_image_folder(write_image_folder(tmp_path, splits), "train")
    assert source.directories == tuple(sorted(ids))
    assert source.categories.names == (
        "n00000001",
        "tench, Tinca tinca",
        "goldfish, Carassius auratus",
    )
    write_image_folder(tmp_path, {"train": {"other": ["x.jpg"]}})
    source = open_image_folder(tmp_path, "train")
    assert source.categories.names == (*sorted(ids), "other")


def test_the_fingerprint_follows_the_files(pets, tmp_path):
    """Oracle: equal for a copy elsewhere; another for each change."""
    first = open_image_folder(pets, "train").fingerprint
    copy = shutil.copytree(pets, tmp_path / "copy")
    assert open_image_folder(copy, "train").fingerprint == first
    assert pickle.loads(pickle.dumps(open_image_folder(copy, "train"))).fingerprint == (
        first
    )
    seen = {first, open_image_folder(pets, "val").fingerprint}
    (copy / "train" / "dog" / "b.png").rename(copy / "train" / "dog" / "d.png")
    seen.add(open_image_folder(copy, "train").fingerprint)
    with (copy / "train" / "dog" / "A.JPG").open("ab") as file:
        file.write(b"\0")
    seen.add(open_image_folder(copy, "train").fingerprint)
    (copy / "train" / "cat" / "2.JPEG").rename(copy / "train" / "dog" / "2.JPEG")
    seen.add(open_image_folder(copy, "train").fingerprint)
    (copy / "train" / "dog").rename(copy / "train" / "wolf")
    seen.add(open_image_folder(copy, "train").fingerprint)
    assert len(seen) == 6


def test_other_files_are_counted_and_not_read(pets, caplog):
    """Oracle: two files that are no images and one that is hidden."""
    for name in ("notes.txt", ".hidden.jpg", "Thumbs.db"):
        (pets / "train" / "cat" / name).write_bytes(b"x")
    (pets / "train" / ".cache").mkdir()
    (pets / "train" / "list.txt").write_text("x")
    with caplog.at_level(standard_logging.INFO, "absl"):
        assert len(open_image_folder(pets, "train")) == 5
    told = [line for line in caplog.messages if "are not read" in line]
    assert len(told) == 1
    assert "3 files are no images" in told[0]


def test_the_photographs_that_imagenet_has(pets):
    """Oracle: Pillow's own conversion of CMYK and grey; a PNG that is named JPEG."""
    pixels = Image.fromarray(picture(9, (20, 30)))
    directory = pets / "train" / "cat"
    for stem, mode in (("cmyk", "CMYK"), ("grey", "L")):
        pixels.convert(mode).save(directory / f"{stem}.JPEG")
    content = io.BytesIO()
    pixels.save(content, "PNG")
    (directory / "png.JPEG").write_bytes(content.getvalue())
    source = open_image_folder(pets, "train")
    found = {source.name(i): source[i].inputs["color"] for i in range(len(source))}
    for stem in ("cmyk", "grey"):
        expected = Image.open(directory / f"{stem}.JPEG").convert("RGB")
        np.testing.assert_array_equal(found[f"train/cat/{stem}"], np.array(expected))
    np.testing.assert_array_equal(found["train/cat/png"], np.array(pixels))


def test_a_rotated_photograph_is_turned_upright(pets):
    """Oracle: EXIF orientation 6 asks for a quarter turn to the right."""
    pixels = picture(9, (20, 30))
    exif = Image.Exif()
    exif[274] = 6
    path = pets / "train" / "cat" / "0.png"
    Image.fromarray(pixels).save(path, exif=exif)
    source = open_image_folder(pets, "train")
    np.testing.assert_array_equal(source[0].inputs["color"], np.rot90(pixels, -1))
    assert source.sizes()[0].tolist() == [30, 20]


def test_a_damaged_image_is_named(pets):
    """Oracle: the path of the file, from reading it and from its header."""
    path = pets / "train" / "cat" / "1.png"
    path.write_bytes(path.read_bytes()[:40])
    source = open_image_folder(pets, "train")
    with pytest.raises(DataError, match=r"train/cat/1\.png: cannot be decoded"):
        source[0]
    path.write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"train/cat/1\.png: not a readable JPEG or PN"):
        source.sizes()


def test_val_may_lack_classes_and_has_none_of_its_own(pets, caplog):
    """Oracle: the ids of train; the class that train lacks."""
    shutil.rmtree(pets / "val" / "cat")
    val = open_image_folder(pets, "val")
    assert val[0].labels["imagenet"].tolist() == [[1]]
    assert val.outputs == open_image_folder(pets, "train").outputs
    assert "has no images of cat" in caplog.text
    (pets / "val" / "fox").mkdir()
    with pytest.raises(DataError, match="split val: the classes fox are not in train"):
        open_image_folder(pets, "val")
    shutil.rmtree(pets / "val")
    (pets / "val" / "dog").mkdir(parents=True)
    with pytest.raises(DataError, match="split val: it has no images; the layout is"):
        open_image_folder(pets, "val")


def test_another_layout_is_described(pets, tmp_path):
    """Oracle: what is there, and the layout that is needed."""
    layout = "the layout is DIR/train/<class>/"
    with pytest.raises(DataError, match=r"needs its directory; give data.folder"):
        open_image_folder("", "train")
    with pytest.raises(DataError, match="/nowhere is not a directory"):
        open_source("image_folder", "train", folder="/nowhere")
    with pytest.raises(DataError, match=rf"no directory test .* train, val; {layout}"):
        open_image_folder(pets, "test")
    with pytest.raises(
        DataError, match=rf"holds pets \(if pets is .*/pets\); {layout}"
    ):
        open_image_folder(tmp_path, "train")
    with pytest.raises(DataError, match=rf"it holds cat, dog; {layout}"):
        open_image_folder(pets / "train", "train")
    flat = tmp_path / "flat"
    shutil.copytree(pets / "train" / "cat", flat / "train")
    with pytest.raises(
        DataError, match=r"train holds 1.png, 2.JPEG and no directories"
    ):
        open_image_folder(flat, "train")


def test_classes_without_images_and_a_class_alone_are_refused(pets):
    """Oracle: the directory, and where its images lie."""
    dog = pets / "train" / "dog"
    dog.rename(pets / "dog")
    with pytest.raises(DataError, match="train has the one class cat"):
        open_image_folder(pets, "train")
    (dog / "images").mkdir(parents=True)
    with pytest.raises(DataError, match="directory dog has no image; it holds images"):
        open_image_folder(pets, "train")


def test_the_layout_is_recognised(pets, tmp_path):
    """Oracle: a folder of classes, two of label maps, one class, an empty one."""
    assert is_image_folder(pets)
    for directory in ("images", "masks"):
        shutil.copytree(pets / "train" / "cat", tmp_path / "pixels/train" / directory)
    assert not is_image_folder(tmp_path / "pixels")
    (tmp_path / "one" / "train" / "empty").mkdir(parents=True)
    shutil.copytree(pets / "train" / "cat", tmp_path / "one" / "train" / "cat")
    assert not is_image_folder(tmp_path / "one")
    (pets / "images").mkdir()
    assert not is_image_folder(pets)
    assert not is_image_folder(tmp_path)


def test_classes_of_pixels_are_not_chosen_among(pets):
    """Oracle: there are no label maps to repaint."""
    with pytest.raises(ValueError, match="data.classes needs labels of pixels"):
        subset(open_image_folder(pets, "train"), ["cat"], "ignore")
