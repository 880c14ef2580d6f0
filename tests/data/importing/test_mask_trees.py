"""Trees of pictures and masks. Oracle: the label maps that the test wrote."""

import unicodedata

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import voc_palette
from fcn_jax.data.tools.check import check_folder
from tests.data.importing.exports import (
    imported,
    label_maps,
    labels,
    names,
    same,
    save,
    save_pictures,
)

BINARY = (("0", "background"), ("255", "object"))


@pytest.mark.parametrize(
    ("images", "masks", "suffix"),
    [
        ("images", "masks", ""),
        ("imgs", "masks", "_mask"),
        ("train", "train_masks", "_mask"),  # Kaggle's Carvana
        ("JPEGImages", "annotations", "_gtFine_labelIds"),
        ("img", "gt", "-label"),
        ("deep/data/images", "deep/data/masks", "_seg"),
        ("", "", "_mask"),  # beside each other
    ],
)
def test_masks_of_0_and_255(tmp_path, images, masks, suffix):
    maps = label_maps()
    source = tmp_path / "source"
    save_pictures(source / images, maps)
    for stem, ids in maps.items():
        save(source / masks / f"{stem}{suffix}.png", ids * np.uint8(255))
    target, table = imported(source, map=BINARY)
    same(labels(target), maps)
    assert names(target) == ["background", "object"]
    assert table["class 1 object"].startswith("value 255; ")
    for stem in maps:
        name = f"{stem}.png"
        original = (source / images / name).read_bytes()
        assert (target / "images" / name).read_bytes() == original
    assert not check_folder(target).problems


@pytest.mark.parametrize("ending", [".gif", ".bmp", ".tif", ".png"])
@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_masks_in_other_formats_and_modes(tmp_path, ending, mode):
    """Black and white are black and white, however they are stored."""
    maps = label_maps(3)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        (source / "masks").mkdir(exist_ok=True)
        image = Image.fromarray(ids * np.uint8(255)).convert(mode)
        image.save(source / "masks" / f"{stem}{ending}")
    target, _ = imported(source, map=BINARY)
    same(labels(target), maps)
    source.with_name("source-imported").rename(tmp_path / "values")
    colors = (("#000000", "background"), ("255/255/255", "object"))
    target, _ = imported(source, map=colors)
    same(labels(target), maps)


def test_the_reverse_map_is_obeyed(tmp_path):
    maps = label_maps()
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", ids * np.uint8(255))
    target, _ = imported(
        source,
        map=(("0", "object"), ("255", "background")),
        names=("background", "object"),
    )
    same(labels(target), {stem: 1 - ids for stem, ids in maps.items()})


@pytest.mark.parametrize("value", [1, 255, 128])
def test_two_values_are_refused_with_the_option(tmp_path, value):
    maps = label_maps()
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", ids * np.uint8(value))
    with pytest.raises(DataError, match=f"--map=0:background,{value}:object"):
        imported(source)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_names_do_not_make_objects_ignored(tmp_path):
    """255 beside 0 alone is the object of somebody, though 255 means ignored here."""
    maps = label_maps()
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", ids * np.uint8(255))
    options = {"names": ("background", "object")}
    with pytest.raises(DataError, match="give --map=0:background,255:object, else"):
        imported(source, **options)
    with pytest.raises(DataError, match="no class has: 255"):
        imported(source, map=BINARY[:1])
    target, _ = imported(source, **options, ignore=("255",))
    same(labels(target), {stem: ids * np.uint8(255) for stem, ids in maps.items()})


def test_no_advice_drops_a_value_that_has_a_class(tmp_path):
    """Trimaps: 255 is the object, and the values between are to be decided."""
    maps = label_maps(classes=3)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", np.array([0, 255, 128], np.uint8)[ids])
    with pytest.raises(
        DataError, match=r"no class has: 128 .*; add them .*ignore=128$"
    ):
        imported(source, map=BINARY)
    with pytest.raises(DataError, match="; 255 is then ignored, unless it is given"):
        imported(source)
    target, _ = imported(source, map=BINARY, ignore=("128",))
    wanted = np.array([0, 1, 255], np.uint8)
    same(labels(target), {stem: wanted[ids] for stem, ids in maps.items()})


@pytest.mark.parametrize("form", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("suffix", ["", "_mask"])
def test_names_in_both_forms_of_unicode_are_one(tmp_path, form, suffix):
    """A mask that was drawn on a Mac for a picture of another system, or the reverse."""
    maps = {f"café-{stem}": ids for stem, ids in label_maps().items()}
    source = tmp_path / "source"
    written = {unicodedata.normalize(form[0], stem): ids for stem, ids in maps.items()}
    save_pictures(source / "images", written)
    for stem, ids in maps.items():
        name = unicodedata.normalize(form[1], stem) + suffix
        save(source / "masks" / f"{name}.png", ids * np.uint8(255))
    target, _ = imported(source, map=BINARY)
    same(labels(target), written)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            ["masks/pic0.npy"],
            "folder of masks has no pictures but 1 .npy, as masks/pic0",
        ),
        (["labels/train/pic0.txt"], "no pictures but 1 .txt, as labels/train/pic0.txt"),
        (
            ["via_region_data.json"],
            "by its name; .*1 .json are of no format that is read",
        ),
        ([], "by its name; say which it is with --masks=DIR"),
    ],
)
def test_what_is_there_instead_of_masks_is_said(tmp_path, files, sentence):
    source = tmp_path / "source"
    save_pictures(source / "images", label_maps())
    for file in files:
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).write_text("{}")
    with pytest.raises(DataError, match=sentence):
        imported(source)


def test_masks_of_the_same_names_in_one_folder_are_asked_to_be_moved(tmp_path):
    maps = label_maps()
    source = tmp_path / "source"
    save_pictures(source / "data", maps, ending=".jpg")
    for stem, ids in maps.items():
        save(source / "data" / f"{stem}.png", ids)
    with pytest.raises(
        DataError, match=r"each .jpg lies beside a .png .*folder masks/"
    ):
        imported(source)


def test_ids_that_are_not_contiguous(tmp_path):
    maps = label_maps(classes=4)
    values = np.array([0, 7, 300, 65535], np.uint16)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "labels" / f"{stem}.png", values[ids])
    with pytest.raises(DataError, match="--map=0:sky,7:road,300:car,65535:tree"):
        imported(source, names=("sky", "road", "car", "tree"))
    pairs = (("7", "road"), ("0", "sky"), ("65535", "tree"), ("300", "car"))
    target, _ = imported(source, map=pairs)
    same(labels(target), maps)
    assert names(target) == ["sky", "road", "car", "tree"]


def test_values_may_share_a_class_or_be_ignored(tmp_path):
    maps = label_maps(classes=4)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "labels" / f"{stem}.png", ids)
    target, table = imported(
        source, map=(("0", "a"), ("1", "b"), ("2", "b")), ignore=("3",)
    )
    becomes = np.array([0, 1, 1, 255], np.uint8)
    same(labels(target), {stem: becomes[ids] for stem, ids in maps.items()})
    assert table["ignored (255)"].startswith("value 3; ")


def test_colours_and_their_list(tmp_path):
    maps = label_maps(classes=3)
    colors = np.array([(0, 0, 0), (255, 0, 0), (0, 128, 255)], np.uint8)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", colors[ids])
    with pytest.raises(DataError, match="--map=#000000:NAME0,#0080ff:NAME1,#ff0000"):
        imported(source)
    (source / "class_dict.csv").write_text(
        "name,r,g,b\nbackground,0,0,0\nred car,255,0,0\nsky,0,128,255\n"
    )
    target, table = imported(source)
    same(labels(target), maps)
    assert table["class 2 sky"].startswith("colour #0080ff; ")


def test_grey_masks_of_listed_greys_and_of_ids(tmp_path):
    """The same list of colours: levels that it has are colours, others are class ids."""
    maps = label_maps(classes=3)
    levels = np.array([0, 128, 255], np.uint8)
    for name, masks, sentence in (
        ("levels", {stem: levels[ids] for stem, ids in maps.items()}, "colour #808080"),
        ("ids", maps, "value 1"),
    ):
        source = tmp_path / name
        save_pictures(source / "images", maps)
        for stem, mask in masks.items():
            save(source / "masks" / f"{stem}.png", mask)
        (source / "class_dict.csv").write_text(
            "name,r,g,b\nbackground,0,0,0\nroad,128,128,128\nsky,255,255,255\n"
        )
        target, table = imported(source)
        same(labels(target), maps)
        assert table["class 1 road"].startswith(sentence)


def test_lossy_masks_in_colour_take_the_nearest(tmp_path):
    maps = {"pic0": np.kron(np.eye(2, 3, dtype=np.uint8), np.ones((16, 16), np.uint8))}
    colors = np.array([(200, 30, 30), (30, 30, 200)], np.uint8)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    save(source / "masks" / "pic0.jpg", colors[maps["pic0"]])
    pairs = (("#c81e1e", "red"), ("#1e1ec8", "blue"))
    with pytest.raises(DataError, match="--nearest"):
        imported(source, map=pairs)
    target, table = imported(source, map=pairs, nearest=True)
    same(labels(target), maps)
    assert "pixels had other" in table["nearest"]


def test_a_palette_that_was_reordered_is_read_by_colour(tmp_path):
    """The pictures of the masks are equal; their indices are not."""
    maps = label_maps(4, classes=3)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    order = np.array([2, 0, 1], np.uint8)  # index of each class in the other files
    colors = np.array(voc_palette(3))
    for number, (stem, ids) in enumerate(maps.items()):
        if number % 2:
            flat = colors[np.argsort(order)].ravel().tolist()
            save(source / "masks" / f"{stem}.png", order[ids], flat)
        else:
            save(source / "masks" / f"{stem}.png", ids, colors.ravel().tolist())
    with pytest.raises(DataError, match=r"pic0.png and masks/pic1.png have palettes"):
        imported(source, names=("a", "b", "c"))
    pairs = tuple(
        (f"#{r:02x}{g:02x}{b:02x}", name)
        for (r, g, b), name in zip(voc_palette(3), "abc", strict=True)
    )
    target, _ = imported(source, map=pairs)
    same(labels(target), maps)


def test_depths_that_differ_are_refused_or_read_as_seen(tmp_path):
    """A 1-bit and an 8-bit file of one picture have other values."""
    maps = label_maps(2)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    save(source / "masks" / "pic0.png", maps["pic0"] * np.uint8(255))
    Image.fromarray(maps["pic1"] * np.uint8(255)).convert("1").save(
        source / "masks" / "pic1.png"
    )
    with pytest.raises(DataError, match=r"pic0.png is 8-bit grey and .*pic1.png 1-bit"):
        imported(source, names=("background", "object"))
    target, table = imported(source, map=BINARY)
    same(labels(target), maps)
    assert "the greys that are seen" in table["classes"]


@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_lossy_masks_need_nearest(tmp_path, ending):
    maps = {"pic0": np.kron(np.eye(2, 3, dtype=np.uint8), np.ones((16, 16), np.uint8))}
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    save(source / "masks" / f"pic0{ending}", maps["pic0"] * np.uint8(255))
    with pytest.raises(DataError, match="--nearest"):
        imported(source, map=BINARY)
    target, table = imported(source, map=BINARY, nearest=True)
    same(labels(target), maps)
    assert "pixels had other values" in table["nearest"]


def test_sizes_that_differ_leave_nothing(tmp_path):
    maps = label_maps(3)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}.png", ids)
    save(source / "masks" / "pic1.png", maps["pic1"][:-1])
    with pytest.raises(DataError, match=r"pic1.*9x14 pixels .* 8x14"):
        imported(source, names=("a", "b"))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_damaged_mask_is_refused(tmp_path):
    """Oracle: the bit that was flipped in compressed pixels, which Pillow decodes."""
    maps = label_maps(1)
    source = tmp_path / "source"
    save_pictures(source / "images", maps)
    path = source / "masks" / "pic0.png"
    save(path, maps["pic0"])
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="masks/pic0.png: cannot be decoded"):
        imported(source, names=("a", "b"))
