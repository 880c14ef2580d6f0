"""Cityscapes and Hugging Face image folders. Oracle: what the test wrote."""

import json

import numpy as np
import pytest

from fcn_jax.data.examples import DataError
from tests.data.importing.exports import (
    imported,
    label_map,
    label_maps,
    labels,
    names,
    picture,
    same,
    save,
    split,
)

# trainId of cityscapesScripts, helpers/labels.py, for the ids 0..33; 255 is ignored.
TRAIN_IDS = [255] * 7 + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10]
TRAIN_IDS += [11, 12, 13, 14, 15, 255, 255, 16, 17, 18]


def write_cityscapes(source):
    maps = {}
    for i, (part, city) in enumerate(
        (("train", "aachen"), ("val", "ulm"), ("test", "x"))
    ):
        stem = f"{city}_000000_00001{i}"
        ids = label_map(i, 34, (8, 16))
        maps[f"{stem}_leftImg8bit"] = np.array(TRAIN_IDS, np.uint8)[ids]
        picture_file = f"{stem}_leftImg8bit.png"
        save(source / "leftImg8bit" / part / city / picture_file, picture(i, (8, 16)))
        fine = source / "gtFine" / part / city
        save(fine / f"{stem}_gtFine_labelIds.png", ids)
        save(fine / f"{stem}_gtFine_instanceIds.png", ids.astype(np.uint16) * 1000)
        save(fine / f"{stem}_gtFine_color.png", picture(9, (8, 16)))
        (fine / f"{stem}_gtFine_polygons.json").write_text('{"objects": []}')
    return maps


def test_cityscapes(tmp_path):
    assert len(TRAIN_IDS) == 34
    maps = write_cityscapes(tmp_path / "source")
    target, table = imported(tmp_path / "source")
    stems = list(maps)
    same(labels(target), {stem: maps[stem] for stem in stems[:2]})
    assert split(target, "train") == stems[:1]
    assert split(target, "val") == stems[1:2]
    assert len(names(target)) == 19
    assert names(target)[:2] == ["road", "sidewalk"]
    assert table["class 13 car"].startswith("value 26; ")
    assert any("labels of test are not published" in how for how in table.values())


def test_cityscapes_takes_no_other_classes(tmp_path):
    write_cityscapes(tmp_path / "source")
    with pytest.raises(DataError, match="--names decides nothing in the format city"):
        imported(tmp_path / "source", names=("a", "b"))


def write_folder(source, maps, table, mask="mask_file_name"):
    """An image folder; `table` is metadata.csv or metadata.jsonl."""
    for i, (stem, ids) in enumerate(maps.items()):
        part = source / ("train" if i % 2 == 0 else "validation")
        save(part / "images" / f"{stem}.png", picture(i))
        save(part / "masks" / f"{stem}.png", ids)
        row = {
            "file_name": f"images/{stem}.png",
            mask: f"masks/{stem}.png",
            "text": "a,b",
        }
        path = part / table
        with path.open("a") as file:
            if table.endswith("jsonl"):
                file.write(json.dumps(row) + "\n")
                continue
            if not file.tell():
                file.write(f"file_name,{mask},text\n")
            file.write(f'images/{stem}.png,masks/{stem}.png,"a,b"\n')


@pytest.mark.parametrize("table", ["metadata.csv", "metadata.jsonl"])
@pytest.mark.parametrize("mask", ["mask_file_name", "label"])
def test_image_folders(tmp_path, table, mask):
    maps = label_maps(classes=3)
    source = tmp_path / "source"
    write_folder(source, maps, table, mask)
    target, rows = imported(source, names=("a", "b", "c"))
    same(labels(target), maps)
    assert split(target, "train") == ["pic0", "pic2", "pic4"]
    assert split(target, "val") == ["pic1", "pic3", "pic5"]
    assert rows["columns"] == f"file_name and {mask}"


def test_two_columns_of_masks(tmp_path):
    source = tmp_path / "source"
    save(source / "a.png", picture(0))
    save(source / "b.png", label_map(0, 2))
    save(source / "c.png", label_map(1, 2))
    (source / "metadata.csv").write_text("file_name,mask,depth\na.png,b.png,c.png\n")
    with pytest.raises(DataError, match=r"\(mask, depth\); .*--mask_column"):
        imported(source, names=("a", "b"))
    target, _ = imported(source, names=("a", "b"), mask_column="mask")
    same(labels(target), {"a": label_map(0, 2)})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,mask\na.png,b.png\n", "no column file_name"),
        ("file_name,mask\n", "has no rows"),
        ("file_name,mask\na.png,../../b.png\n", "outside of"),
        ("file_name,mask\na.png,absent.png\n", "which is not in"),
        ("file_name,mask\na.png,b.png\na.png,b.png\n", "in two rows"),
        ("file_name,mask\na.png\n", "has 0 columns of paths"),
    ],
)
def test_wrong_tables(tmp_path, text, sentence):
    source = tmp_path / "source"
    save(source / "a.png", picture(0))
    save(source / "b.png", label_map(0, 2))
    (source / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        imported(source, names=("a", "b"))


def test_parquet_is_said(tmp_path):
    source = tmp_path / "source"
    (source / "data").mkdir(parents=True)
    (source / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="Parquet and Arrow files are not read"):
        imported(source)
