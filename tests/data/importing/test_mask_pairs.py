"""Which mask belongs to which picture, and what is refused."""

import pytest

from fcn_jax.data.examples import DataError
from tests.data.importing.exports import (
    imported,
    label_maps,
    labels,
    picture,
    same,
    save,
    save_pictures,
)


def test_names_that_repeat_in_folders(tmp_path):
    maps = label_maps(2)
    source = tmp_path / "source"
    for i, city in enumerate(("aachen", "bonn")):
        save(source / "images" / city / "0001.png", picture(i))
        save(source / "masks" / city / "0001.png", maps[f"pic{i}"])
    target, table = imported(source, names=("a", "b"))
    wanted = {
        "images_aachen_0001": maps["pic0"],
        "images_bonn_0001": maps["pic1"],
    }
    same(labels(target), wanted)
    assert "names" in table


@pytest.mark.parametrize(
    ("image", "mask"),
    [("img_001", "mask_001"), ("001_sat", "001_mask"), ("image001", "label001")],
)
def test_words_on_both_sides(tmp_path, image, mask):
    maps = label_maps(1)
    source = tmp_path / "source"
    save(source / "images" / f"{image}.png", picture(0))
    save(source / "masks" / f"{mask}.png", maps["pic0"])
    target, _ = imported(source, names=("a", "b"))
    same(labels(target), {image: maps["pic0"]})


def test_two_masks_for_a_picture(tmp_path):
    maps = label_maps(2)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / "fine" / f"{stem}.png", ids)
        save(source / "masks" / "coarse" / f"{stem}.png", 0 * ids)
    with pytest.raises(DataError, match="--masks=DIR"):
        imported(source, names=("a", "b"))
    target, _ = imported(source, names=("a", "b"), images="images", masks="masks/fine")
    same(labels(target), maps)


def test_pairs_of_other_cities_are_none(tmp_path):
    """A picture of one folder is not labelled by the mask of another."""
    maps = label_maps(2)
    source = tmp_path / "source"
    for i, city in enumerate(("aachen", "bonn")):
        save(source / "data" / "images" / city / f"{i}.png", picture(i))
        save(source / "truth" / "masks" / city / f"{i}.png", maps[f"pic{i}"])
    save(source / "data" / "images" / "aachen" / "7.png", picture(7))
    save(source / "truth" / "masks" / "bonn" / "7.png", maps["pic0"])
    target, table = imported(source, names=("a", "b"))
    same(labels(target), {"0": maps["pic0"], "1": maps["pic1"]})
    assert table["left out: pictures: 1 (data/images/aachen/7.png)"]
    assert table["left out: masks: 1 (truth/masks/bonn/7.png)"]


@pytest.mark.parametrize("deep", ["images", "masks"])
def test_one_side_may_have_more_folders(tmp_path, deep):
    maps = label_maps(4)
    source = tmp_path / "source"
    for i, (stem, ids) in enumerate(maps.items()):
        more = {deep: f"part{i % 2}"}
        save(source / "images" / more.get("images", "") / f"{stem}.png", picture(i))
        save(source / "masks" / more.get("masks", "") / f"{stem}_mask.png", ids)
    target, _ = imported(source, names=("a", "b"))
    same(labels(target), maps)


def test_folders_of_other_names(tmp_path):
    maps = label_maps(2)
    source = tmp_path / "source"
    save_pictures(source / "raw", maps)
    for stem, ids in maps.items():
        save(source / "drawn" / f"{stem}.png", ids)
    with pytest.raises(DataError, match="--masks=DIR"):
        imported(source, names=("a", "b"))
    target, _ = imported(source, names=("a", "b"), images="raw", masks="drawn")
    same(labels(target), maps)
