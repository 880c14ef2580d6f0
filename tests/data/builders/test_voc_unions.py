"""voc_aug and voc_reference: which images they take, from where, and which lists."""

import dataclasses

import numpy as np
import pytest

from fcn_jax.data.builders import voc, voc_unions
from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.builders.voc_lists import list_digest
from fcn_jax.data.examples import DataError
from fcn_jax.data.sources.catalog import open_source
from tests.data import voc_trees as trees

# A..J stand for images; VOC and SBD overlap as the published ones do.
A, B, C, D, E, F, G, H, J = (f"2007_00000{k}" for k in range(1, 10))
VOC_LISTS = {"train": [C, A, B], "val": [E, D]}
SBD_LISTS = {"train": [G, A, D, F], "val": [E, H]}
AUG_TRAIN = {A: "voc", B: "voc", C: "voc", F: "sbd", G: "sbd", H: "sbd"}
VAL_2011 = [J, D, B, G, E]
SEG11VALID = [B, E, J]  # VAL_2011 less SBD train, sorted


def check_example(example, name, kind, source):
    """The photograph and label of a tree, told apart by their pixels."""
    folder, label = source / "VOC2012/JPEGImages", trees.voc_label(name)
    if kind == "sbd":
        folder, label = source / "dataset/img", trees.sbd_label(name)
    assert example.name == name
    np.testing.assert_array_equal(
        example.inputs["color"], trees.pixels(folder / f"{name}.jpg")
    )
    np.testing.assert_array_equal(example.labels["semantic"], label, strict=True)


def write_both(source, voc_lists, year=2012):
    trees.write_voc(source / f"VOC{year}", voc_lists)
    trees.write_sbd(source / "dataset", SBD_LISTS)
    return source


def names(items):
    return [item.name for item in items]


def test_voc_aug_is_voc_train_and_the_rest_of_sbd(tmp_path):
    """Oracle: the sets written by hand; VOC's label where an image is in both."""
    source = write_both(tmp_path / "source", VOC_LISTS)
    data = str(tmp_path / "data")
    said = prepare(voc_unions.VOC_AUG, source=str(source), lists="", data_dir=data)
    assert "train 6, val 2 (not the published train 10582, val 1449: " in said
    train = open_source("voc_aug", "train", data_dir=data)
    assert [train.name(i) for i in range(len(train))] == list(AUG_TRAIN)
    for index, (name, kind) in enumerate(AUG_TRAIN.items()):
        check_example(train[index], name, kind, source)
    val = open_source("voc_aug", "val", data_dir=data)
    assert [val.name(i) for i in range(len(val))] == [E, D]
    for index, name in enumerate([E, D]):
        check_example(val[index], name, "voc", source)


def test_voc_aug_names_the_tree_that_is_missing(tmp_path):
    """Oracle: a source with one of the two trees."""
    trees.write_voc(tmp_path / "VOC2012", VOC_LISTS)
    with pytest.raises(DataError, match="holds no SBD tree"):
        voc_unions.VOC_AUG.read_tree(tmp_path, tmp_path)
    (tmp_path / "VOC2012").rename(tmp_path / "VOC2009")
    trees.write_sbd(tmp_path / "dataset", SBD_LISTS)
    with pytest.raises(DataError, match="holds no VOC2012 tree"):
        voc_unions.VOC_AUG.read_tree(tmp_path, tmp_path)


def test_voc_aug_refuses_a_train_image_in_val(tmp_path):
    """Oracle: one id in both of VOC's lists."""
    write_both(tmp_path, {"train": [A, E], "val": [E, D]})
    with pytest.raises(DataError, match=rf"1 images \({E}\) are in both train and val"):
        voc_unions.VOC_AUG.read_tree(tmp_path, tmp_path)


def test_voc_reference_from_a_voc2012_tree_and_a_list(tmp_path):
    """Oracle: VOC 2011 val less SBD train, by hand; SBD's labels to train, VOC's to val."""
    source = write_both(tmp_path / "source", {**VOC_LISTS, "extra": [J]})
    trees.write_lists(tmp_path / "lists", {"voc2011_val": VAL_2011})
    data = str(tmp_path / "data")
    said = prepare(
        voc_unions.VOC_REFERENCE,
        source=str(source),
        lists=str(tmp_path / "lists"),
        data_dir=data,
    )
    assert "train 4, val 3 (not the published train 8498, val 736: " in said
    for split, expected in (("train", SBD_LISTS["train"]), ("val", SEG11VALID)):
        found = open_source("voc_reference", split, data_dir=data)
        assert [found.name(i) for i in range(len(found))] == expected
        for index, name in enumerate(expected):
            kind = "sbd" if split == "train" else "voc"
            check_example(found[index], name, kind, source)


@pytest.mark.parametrize(
    "place",
    [
        *("", "VOC2011/ImageSets/Segmentation"),
        "VOCdevkit/VOC2011/ImageSets/Segmentation",
        "TrainVal/VOCdevkit/VOC2011/ImageSets/Segmentation",
    ],
)
@pytest.mark.parametrize("beside", ["source", "lists"])
def test_places_of_the_list_of_voc2011_val(tmp_path, place, beside):
    """Oracle: the ids derived by hand, from a list in the source or in lists."""
    source = write_both(tmp_path / "source", {**VOC_LISTS, "extra": [J]})
    (tmp_path / "lists").mkdir()
    name = "val" if place else "voc2011_val"
    trees.write_lists(tmp_path / beside / place, {name: VAL_2011})
    found = voc_unions.VOC_REFERENCE.read_tree(source, tmp_path / "lists")
    assert names(found["val"]) == SEG11VALID
    assert found["val"][0].files.startswith("VOC2012/JPEGImages/")


@pytest.mark.parametrize("parent", ["", "TrainVal/VOCdevkit"])
def test_voc_reference_from_a_voc2011_tree(tmp_path, parent):
    """Oracle: the ids derived by hand; VOC 2011's files where both years are there."""
    trees.write_voc(tmp_path / parent / "VOC2011", {"train": [A], "val": VAL_2011})
    write_both(tmp_path, VOC_LISTS)
    found = voc_unions.VOC_REFERENCE.read_tree(tmp_path, tmp_path)
    assert names(found["val"]) == SEG11VALID
    assert found["val"][0].files.startswith("VOC2011/JPEGImages/")


def test_voc_reference_says_which_list_is_missing(tmp_path):
    """Oracle: the two files that would do, and where each is published."""
    write_both(tmp_path, VOC_LISTS)
    with pytest.raises(DataError) as caught:
        voc_unions.VOC_REFERENCE.read_tree(tmp_path, tmp_path)
    for part in (
        f"put it into {tmp_path} as voc2011_val.txt",
        "VOC/voc2011/VOCtrainval_25-May-2011.tar",
        "seg11valid.txt",
        "github.com/shelhamer/fcn.berkeleyvision.org",
    ):
        assert part in str(caught.value)


def test_an_empty_validation_set_is_refused(tmp_path):
    """Oracle: a list of VOC 2011 val that SBD train holds whole."""
    write_both(tmp_path, VOC_LISTS)
    trees.write_lists(tmp_path, {"voc2011_val": [A, D]})
    with pytest.raises(DataError, match="every image of .*voc2011_val.txt is in SBD"):
        voc_unions.VOC_REFERENCE.read_tree(tmp_path, tmp_path)


def invented(count):
    return [f"2019_{k:06}" for k in range(count)]


@pytest.mark.parametrize("count", [3, 735, 736, 737])
def test_another_list_called_seg11valid_is_refused(tmp_path, count):
    """Oracle: no invented list has the published digest."""
    trees.write_lists(tmp_path, {"seg11valid": invented(count)})
    with pytest.raises(DataError, match=f"not the published list: it has {count} ids"):
        voc_unions.validation_ids(tmp_path, tmp_path, [A])


def test_736_other_derived_images_are_refused(tmp_path):
    """Oracle: 736 invented ids are not the published ones, 735 are only fewer."""
    trees.write_lists(tmp_path, {"voc2011_val": invented(737)})
    less = invented(2)
    assert len(voc_unions.validation_ids(tmp_path, tmp_path, less)) == 735
    with pytest.raises(
        DataError, match="gives 736 images, but not those of seg11valid"
    ):
        voc_unions.validation_ids(tmp_path, tmp_path, less[:1])


def test_the_list_of_voc2012_val_is_no_list_of_voc2011(tmp_path, monkeypatch):
    """Oracle: a release whose val list is known to be the invented one."""
    known = dataclasses.replace(
        voc.RELEASE_2012, digests={"val": list_digest(VAL_2011)}
    )
    monkeypatch.setattr(voc, "RELEASE_2012", known)
    trees.write_lists(tmp_path, {"voc2011_val": VAL_2011})
    with pytest.raises(DataError, match="voc2011_val.txt is a list of VOC2012, not"):
        voc_unions.validation_ids(tmp_path, tmp_path, [A])


def published_ids():
    return (trees.TEST_DATA / "lists" / "seg11valid.txt").read_text().split()


def touch_trees(root, val, train):
    """Trees of empty files; reading a tree decodes none."""
    pieces = [
        ("VOC2012", "JPEGImages", ".jpg"),
        ("VOC2012", "SegmentationClass", ".png"),
    ]
    for tree, folder, ending in pieces:
        (root / tree / folder).mkdir(parents=True)
        for name in val:
            (root / tree / folder / f"{name}{ending}").touch()
    trees.write_lists(root / "VOC2012" / "ImageSets" / "Segmentation", {})
    for folder, ending in (("img", ".jpg"), ("cls", ".mat")):
        (root / "dataset" / folder).mkdir(parents=True)
        for name in train:
            (root / "dataset" / folder / f"{name}{ending}").touch()
    trees.write_lists(root / "dataset", {"train": train})


@trees.needs_test_data
def test_published_list_is_accepted_and_altered_ones_are_not(tmp_path):
    """Oracle: 736 ids, in VOC 2012 trees; one id less, one other, one of SBD train."""
    ids, path = published_ids(), tmp_path / "seg11valid.txt"
    assert len(ids) == 736
    touch_trees(tmp_path, ids, invented(3))
    path.write_text("\r\n".join(reversed(ids)))
    found = voc_unions.VOC_REFERENCE.read_tree(tmp_path, tmp_path)
    assert names(found["val"]) == ids
    for altered in (ids[1:], [*ids[1:], "2007_000001"]):
        path.write_text("\n".join(altered))
        with pytest.raises(DataError, match="is not the published list"):
            voc_unions.validation_ids(tmp_path, tmp_path, invented(3))
    path.write_text("\n".join(ids))
    with pytest.raises(
        DataError, match=rf"2 images \({ids[3]}, {ids[9]}\) are in both"
    ):
        voc_unions.validation_ids(tmp_path, tmp_path, [ids[9], A, ids[3]])


@trees.needs_test_data
def test_published_list_is_derived(tmp_path):
    """Oracle: the published list, from it and images of SBD train; one id exchanged."""
    ids, train = published_ids(), invented(375)
    trees.write_lists(tmp_path, {"voc2011_val": sorted(ids + train)})
    assert voc_unions.validation_ids(tmp_path, tmp_path, train) == ids
    trees.write_lists(tmp_path, {"voc2011_val": [*ids[1:], A, *train]})
    with pytest.raises(DataError, match="gives 736 images, but not those"):
        voc_unions.validation_ids(tmp_path, tmp_path, train)
