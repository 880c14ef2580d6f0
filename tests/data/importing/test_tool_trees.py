"""Trees of masks in the layouts that tools write: Roboflow, VOC, CVAT, labelme."""

import shutil

import numpy as np
import pytest

from fcn_jax.data.examples import DataError
from tests.data.importing.exports import (
    FLAT_PALETTE,
    imported,
    label_maps,
    labels,
    names,
    picture,
    same,
    save,
    save_pictures,
    split,
)

CSV = "Pixel Value, Class\n0, ground\n2, cat\n7, dog\n"


def test_roboflow(tmp_path):
    """Masks beside pictures in folders of splits, each with the same table."""
    maps = label_maps(classes=3)
    source = tmp_path / "source"
    for number, (stem, ids) in enumerate(maps.items()):
        folder = source / ("train" if number < 4 else "valid")
        save(folder / f"{stem}_jpg.rf.0a1b.png", picture(number))
        save(
            folder / f"{stem}_jpg.rf.0a1b_mask.png", np.array([0, 2, 7], np.uint8)[ids]
        )
        (folder / "_classes.csv").write_text(CSV)
    target, _ = imported(source)
    same(labels(target), {f"{stem}_jpg.rf.0a1b": ids for stem, ids in maps.items()})
    assert names(target) == ["ground", "cat", "dog"]
    assert len(split(target, "train")) == 4
    shutil.rmtree(target)
    (source / "train" / "_classes.csv").write_text(CSV.replace("cat", "dog"))
    with pytest.raises(DataError, match=r"train/_classes.csv: .*more than once"):
        imported(source)
    (source / "train" / "_classes.csv").write_text(CSV.replace("7", "2"))
    with pytest.raises(DataError, match="each value once"):
        imported(source)


def test_trees_by_split(tmp_path):
    """SegNet's, a folder a split, and mmsegmentation's; test and val likewise."""
    maps = label_maps(classes=3)
    for form in (
        "{split}|{split}annot",
        "{split}/images|{split}/masks",
        "img_dir/{split}|ann_dir/{split}",
        "images/{long}|annotations/{long}",
        "{split}_images|{split}_masks",
    ):
        source = tmp_path / form.replace("/", "-").replace("|", "+")
        for i, (stem, ids) in enumerate(maps.items()):
            name = ("train", "val", "test")[i % 3]
            long = ("training", "validation", "testing")[i % 3]
            images, masks = form.format(split=name, long=long).split("|")
            save(source / images / f"{stem}.png", picture(i))
            save(source / masks / f"{stem}.png", ids)
        target, _ = imported(source, names=("a", "b", "c"))
        same(labels(target), maps)
        assert split(target, "train") == ["pic0", "pic3"]
        assert split(target, "val") == ["pic1", "pic4"]
        assert split(target, "test") == ["pic2", "pic5"]


def test_reduce_zero_label(tmp_path):
    """ADE's: 0 is nothing, and 1 the first class."""
    maps = label_maps(classes=4)
    source = tmp_path / "source"
    save_pictures(source / "images" / "training", maps, ".jpg")
    for stem, ids in maps.items():
        save(source / "annotations" / "training" / f"{stem}.png", ids)
    target, table = imported(
        source, names=("wall", "sky", "tree"), reduce_zero_label=True
    )
    becomes = np.array([255, 0, 1, 2], np.uint8)
    same(labels(target), {stem: becomes[ids] for stem, ids in maps.items()})
    assert table["ignored (255)"].startswith("value 0; ")


@pytest.mark.parametrize("above", ["", "VOCdevkit/VOC2007", "VOC2012"])
@pytest.mark.parametrize("grey", [False, True])
def test_voc_trees(tmp_path, above, grey):
    """With lists, unlabelled pictures, object masks, palette or grey labels."""
    maps = label_maps(classes=3)
    for ids in maps.values():
        ids[-1, -1] = 255
    source = tmp_path / "source"
    root = source / above
    save_pictures(root / "JPEGImages", {**maps, "unlabelled": maps["pic0"]}, ".jpg")
    for stem, ids in maps.items():
        flat = [] if grey else FLAT_PALETTE
        save(root / "SegmentationClass" / f"{stem}.png", ids, flat)
        save(root / "SegmentationObject" / f"{stem}.png", ids, flat)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    stems = list(maps)
    (lists / "train.txt").write_text("\n".join(stems[:3]) + "\n")
    (lists / "val.txt").write_text("\r\n".join(stems[3:5]) + "\r\n")
    (lists / "trainval.txt").write_text("\n".join(stems[:5]) + "\n")
    (lists / "test.txt").write_text("elsewhere\n")
    target, table = imported(source, names=("background", "cat", "dog"))
    same(labels(target), {stem: maps[stem] for stem in stems[:5]})
    assert split(target, "train") == stems[:3]
    assert split(target, "val") == stems[3:5]
    assert table["left out: 1 pictures with labels"] == "no list of a split has them"
    assert any("unlabelled" in what for what in table)
    assert any("SegmentationObject" in what for what in table)
    assert names(target) == ["background", "cat", "dog"]


@pytest.mark.parametrize("form", ["rgb", "palette"])
def test_cvat_masks(tmp_path, form):
    """Its "Segmentation mask 1.1": labelmap.txt and colours; one list, default."""
    maps = label_maps(classes=3)
    colors = [(0, 0, 0), (250, 50, 83), (51, 221, 255)]
    source = tmp_path / "source"
    save_pictures(source / "JPEGImages", maps, ".jpg")
    for stem, ids in maps.items():
        path = source / "SegmentationClass" / f"{stem}.png"
        if form == "rgb":
            save(path, np.array(colors, np.uint8)[ids])
        else:  # with indices in another order than the classes
            flat = [level for color in colors[::-1] for level in color]
            save(path, 2 - ids, flat)
    (source / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\n"
        "living cell:250,50,83::\ndebris:51,221,255::\n"
    )
    lists = source / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("\n".join(maps) + "\n")
    target, table = imported(source)
    same(labels(target), maps)
    assert not (target / "splits").exists()
    assert table["class 1 living cell"].startswith("colour #fa3253; ")
    assert (target / "classes.txt").read_text().splitlines()[1] == (
        "living cell 250 50 83"
    )


def test_labelme2voc(tmp_path):
    """Its class_names.txt, and masks with 255 for __ignore__."""
    maps = label_maps(classes=3)
    for ids in maps.values():
        ids[0, -1] = 255
    source = tmp_path / "source"
    save_pictures(source / "JPEGImages", maps, ".jpg")
    for stem, ids in maps.items():
        save(source / "SegmentationClassPNG" / f"{stem}.png", ids, FLAT_PALETTE)
        (source / "SegmentationClass").mkdir(exist_ok=True)
        np.save(source / "SegmentationClass" / f"{stem}.npy", ids)
        save(source / "SegmentationClassVisualization" / f"{stem}.jpg", picture(9))
    (source / "class_names.txt").write_text("_background_\nperson\ncat\n")
    target, table = imported(source)
    same(labels(target), maps)
    assert names(target) == ["_background_", "person", "cat"]
    assert table["ignored (255)"].startswith("value 255; ")


def test_labels_txt_of_labelme_shifts_no_name(tmp_path):
    maps = label_maps(classes=2)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", ids, FLAT_PALETTE)
    (source / "labels.txt").write_text("__ignore__\n_background_\ncell\n")
    target, _ = imported(source)
    same(labels(target), maps)
    assert names(target) == ["_background_", "cell"]
