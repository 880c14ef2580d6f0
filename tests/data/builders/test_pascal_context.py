"""PASCAL-Context: a miniature VOC2010 tree and label maps, prepared and read back."""

import io
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from fcn_jax.data.builders import pascal_context
from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import PASCAL_CONTEXT
from fcn_jax.data.sources.catalog import open_source

LISTS = {
    "train": ["2008_000015", "2008_000002", "2010_000009"],
    "val": ["2008_000003", "2009_000007"],
}
SIZE = (26, 31)

# Class and id in the label maps, as the names of both lists of the authors give it.
TABLE = """
1:2 2:23 3:25 4:31 5:34 6:45 7:59 8:65 9:72 10:98 11:397 12:113 13:207 14:258 15:284
16:308 17:347 18:368 19:416 20:427 21:9 22:18 23:22 24:33 25:44 26:46 27:68 28:80 29:85
30:104 31:115 32:144 33:158 34:159 35:162 36:187 37:189 38:220 39:232 40:259 41:260
42:105 43:296 44:355 45:295 46:324 47:326 48:349 49:354 50:360 51:366 52:19 53:415
54:420 55:424 56:440 57:445 58:454 59:458
"""
PAIRS = [tuple(map(int, pair.split(":"))) for pair in TABLE.split()]


def label_map(name):
    """Ids of a file: 0, all of 1..459, and some more."""
    rng = np.random.default_rng(int(name[-6:]))
    rest = rng.integers(1, 460, SIZE[0] * SIZE[1] - 460)
    return np.concatenate([np.arange(460), rest]).reshape(SIZE).astype(np.uint16)


def reduced(ids):
    """Class by class, as the reference does it."""
    label = np.zeros(ids.shape, np.uint8)
    for target, source in PAIRS:
        label[ids == source] = target
    return label


def make_tree(root, voc="VOCdevkit/VOC2010"):
    tree = root / voc
    (tree / "ImageSets/Main").mkdir(parents=True)
    (tree / "JPEGImages").mkdir()
    (root / "trainval").mkdir()
    for split, names in LISTS.items():
        (tree / f"ImageSets/Main/{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            rng = np.random.default_rng(int(name[-6:]) + 7)
            photo = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            Image.fromarray(photo).save(tree / "JPEGImages" / f"{name}.jpg")
            path = root / "trainval" / f"{name}.mat"
            own = {"LabelMap": label_map(name)}
            scipy.io.savemat(path, own, do_compression=True)
    return root


def items(root):
    return pascal_context.DATASET.read_tree(root, root)


def decoded(data):
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode) == ("PNG", "L")
    return np.array(image)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("context")
    tree, data = make_tree(home / "tree"), str(home / "data")
    said = prepare(pascal_context.DATASET, source=str(tree), lists="", data_dir=data)
    return tree, data, said


@pytest.mark.parametrize("split", LISTS)
def test_prepared_examples_are_the_files_pixel_for_pixel(prepared, split):
    """Oracle: Pillow's pixels of the JPEG; the label map reduced class by class."""
    tree, data, _ = prepared
    source = open_source("pascal_context", split, data_dir=data)
    assert [source.name(i) for i in range(len(source))] == LISTS[split]
    for index, name in enumerate(LISTS[split]):
        example = source[index]
        path = tree / "VOCdevkit/VOC2010/JPEGImages" / f"{name}.jpg"
        image = np.array(Image.open(path))
        np.testing.assert_array_equal(example.inputs["color"], image)
        label = example.labels["semantic"]
        np.testing.assert_array_equal(label, reduced(label_map(name)), strict=True)
        assert np.unique(label).tolist() == list(range(60))


def test_prepare_says_which_counts_are_not_the_published_ones(prepared):
    """Oracle: 4,998 and 5,105 images."""
    said = "train 3, val 2 (not the published train 4998, val 5105: "
    assert said in prepared[2]


def test_the_table_has_59_classes_and_the_rest_is_background():
    """Oracle: the list of pairs."""
    assert [target for target, _ in PAIRS] == list(range(1, 60))
    assert list(enumerate(pascal_context.SOURCE_IDS, 1)) == PAIRS
    wanted = dict.fromkeys(range(460), 0) | {source: to for to, source in PAIRS}
    assert wanted == pascal_context.TABLE


def test_photographs_pass_through_byte_for_byte(tmp_path):
    """Oracle: the bytes of the file."""
    tree = make_tree(tmp_path)
    file = tree / "VOCdevkit/VOC2010/JPEGImages/2008_000002.jpg"
    assert items(tree)["train"][1].inputs["color"]() == file.read_bytes()


@pytest.mark.parametrize("voc", ["VOC2010", "."])
def test_the_photographs_may_be_in_other_places(tmp_path, voc):
    """Oracle: the names of the lists."""
    own = items(make_tree(tmp_path, voc))
    assert {k: [item.name for item in v] for k, v in own.items()} == LISTS


def test_an_archive_beside_a_tree_goes_through(tmp_path):
    """Oracle: a label map that was packed; the photographs lie extracted beside it."""
    tree, source = make_tree(tmp_path / "tree"), tmp_path / "source"
    source.mkdir()
    with tarfile.open(source / "trainval.tar.gz", "w:gz") as tar:
        tar.add(tree / "trainval", "trainval")
    shutil.move(tree / "VOCdevkit", source / "VOCdevkit")
    data = str(tmp_path / "data")
    prepare(pascal_context.DATASET, source=str(source), lists="", data_dir=data)
    example = open_source("pascal_context", "val", data_dir=data)[1]
    assert example.name == "2009_000007"
    wanted = reduced(label_map("2009_000007"))
    np.testing.assert_array_equal(example.labels["semantic"], wanted)


def names_of_459():
    """Invented names but for those of the 59 classes, spelt as in the authors' list."""
    names = {number: f"thing {number}" for number in range(1, 460)}
    spelt = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}
    for target, source in PAIRS:
        name = PASCAL_CONTEXT.names[target]
        names[source] = spelt.get(name, name)
    assert (names[397], names[19], names[80]) == ("table", "bedclothes", "cloth")
    return names


def write_names(path, names):
    path.write_text("".join(f"{k}: {name}\n" for k, name in names.items()))


def test_the_lists_of_names_are_compared_with_the_table(tmp_path):
    """Oracle: two ids whose names are swapped, a class too few, lines of another form."""
    tree = make_tree(tmp_path)
    own = names_of_459()
    write_names(tree / "labels.txt", own)
    task = dict(enumerate(PASCAL_CONTEXT.names))  # with 0: background
    write_names(tree / "59_labels.txt", task)
    assert len(items(tree)["train"]) == 3
    write_names(tree / "labels.txt", own | {2: own[23], 23: own[2]})
    message = r"labels.txt .* 459 .*: 2 is bicycle, not aeroplane; 23 is aeroplane, not"
    with pytest.raises(DataError, match=message):
        items(tree)
    write_names(tree / "labels.txt", {k: own[k] for k in range(1, 459)})
    with pytest.raises(DataError, match="it has 458 classes"):
        items(tree)
    write_names(tree / "labels.txt", own)
    by_id = sorted(pascal_context.SOURCE_IDS)  # the order of others
    order = [pascal_context.SOURCE_IDS.index(source) + 1 for source in by_id]
    write_names(tree / "59_labels.txt", {k: task[t] for k, t in enumerate(order, 1)})
    with pytest.raises(
        DataError, match=r"59_labels.txt .* 59 .*: 2 is bag, not bicycle"
    ):
        items(tree)
    (tree / "59_labels.txt").write_text("1: aeroplane\n1: bicycle\n")
    with pytest.raises(DataError, match="line 2 is '1: bicycle'"):
        items(tree)
    (tree / "59_labels.txt").write_bytes(b"1: \xff\n")
    with pytest.raises(DataError, match="59_labels.txt cannot be read"):
        items(tree)


def test_the_published_names_fit_the_table(tmp_path):
    """Oracle: the reference's lists of 459 and 59 classes, where they are at hand."""
    home = Path(os.environ.get("FCN_JAX_TEST_DATA", "/nowhere")) / "lists"
    if not (home / "classes-400.txt").is_file():
        pytest.skip("FCN_JAX_TEST_DATA has no lists/classes-400.txt")
    tree = make_tree(tmp_path)
    shutil.copy(home / "classes-400.txt", tree / "labels.txt")
    shutil.copy(home / "classes-59.txt", tree / "59_labels.txt")
    assert len(items(tree)["val"]) == 2


def test_images_without_a_label_map_are_counted(tmp_path):
    """Oracle: two of five maps taken away, of either split."""
    tree = make_tree(tmp_path)
    for name in ("2010_000009", "2008_000003"):
        (tree / "trainval" / f"{name}.mat").unlink()
    message = r"lacks 2 of the 5 .*train and val \(2010_000009.mat, 2008_000003.mat\)"
    with pytest.raises(DataError, match=message):
        items(tree)


def test_broken_trees_are_refused(tmp_path):
    """Oracle: the name of what was taken away, and its archive."""
    with pytest.raises(
        DataError, match="no VOC2010 tree .*VOCtrainval_03-May-2010.tar"
    ):
        items(tmp_path)
    tree = make_tree(tmp_path)
    photo = tree / "VOCdevkit/VOC2010/JPEGImages/2009_000007.jpg"
    photo.unlink()
    with pytest.raises(DataError, match="lacks 1 of the 5 .*/2009_000007.jpg.*Flickr"):
        items(tree)
    shutil.rmtree(photo.parent)
    with pytest.raises(DataError, match="VOC2010 lacks JPEGImages/"):
        items(tree)
    shutil.rmtree(tree)
    tree = make_tree(tmp_path)
    (tree / "trainval").rename(tree / "maps")
    with pytest.raises(DataError, match="lacks trainval/ .* trainval.tar.gz"):
        items(tree)
    (tree / "maps").rename(tree / "trainval")
    main = tree / "VOCdevkit/VOC2010/ImageSets/Main"
    (main / "val.txt").write_text("2008_000002\n")
    with pytest.raises(DataError, match="1 images .2008_000002. are in both train and"):
        items(tree)
    (main / "val.txt").write_text("2008_000003  1\n")  # of a list for one class
    with pytest.raises(DataError, match="line 1 is '2008_000003  1'"):
        items(tree)
    (main / "val.txt").unlink()
    with pytest.raises(DataError, match="val.txt is missing; .*VOCtrainval_03-May"):
        items(tree)


def test_ids_outside_the_459_and_missing_variables_are_refused(tmp_path):
    """Oracle: the ids with their pixels; the name of the variable."""
    tree = make_tree(tmp_path)
    path = tree / "trainval/2008_000015.mat"
    label = items(tree)["train"][0].labels["semantic"]
    ids = np.array([[459, 460, 65535, 460]], np.uint16)
    scipy.io.savemat(path, {"LabelMap": ids})
    message = r"the ids 460 \(2 pixels\), 65535 \(1 pixels\); .* 0..459"
    with pytest.raises(DataError, match=message):
        label()
    scipy.io.savemat(path, {"labelmap": ids})
    with pytest.raises(DataError, match="has no variable LabelMap; it has labelmap"):
        label()
