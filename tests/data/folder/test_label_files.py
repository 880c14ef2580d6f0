"""Labels of a folder: values and colours to ids, and encodings that do not agree."""

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.class_list import read_class_list
from fcn_jax.data.folder.label_files import read_ids
from fcn_jax.data.folder.source import open_folder
from fcn_jax.data.labels import voc_palette
from fcn_jax.data.tools.check import check_folder
from tests.data.defects import make_folder

VOC = [level for color in voc_palette(256) for level in color]
COLORS = "sky 128 128 128\nroad 128 64 128\ncar 0 0 0\n"
PAINT = np.array([(128, 128, 128), (128, 64, 128), (0, 0, 0)], np.uint8)
IDS = np.array([[0, 1, 2, 2], [2, 1, 0, 1]], np.uint8)


def classes_of(folder, text):
    path = folder / "classes.txt"
    path.write_text(text)
    return read_class_list(path)


def saved(folder, image):
    path = folder / "label.png"
    image.save(path)
    return path


def ids_of(folder, text, image):
    classes = classes_of(folder, text)
    return read_ids(saved(folder, image), where="w", classes=classes)


VALUES = {
    "0 and 255": (
        "0: background\n255: object\n",
        [[0, 255], [255, 0]],
        [[0, 1], [1, 0]],
    ),
    "0 is ignored": (
        "0: ignore\n255: object\n1: b\n",
        [[0, 255], [1, 1]],
        [[255, 0], [1, 1]],
    ),
    "one line down": (
        "ignore\nwall\nfloor\n",
        [[0, 1], [2, 255]],
        [[255, 0], [1, 255]],
    ),
    "cityscapes": (
        "0-6, 9, 10: ignore\n7: road\n8: sidewalk\n11, 12: wall\n",
        [[0, 6, 7], [8, 11, 12], [9, 10, 255]],
        [[255, 255, 0], [1, 2, 2], [255, 255, 255]],
    ),
}


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
@pytest.mark.parametrize("kind", VALUES)
def test_stored_values_become_the_ids_of_their_lines(tmp_path, kind, mode):
    """Oracle: by hand, the same for grey of 8 and 16 bits and for palette indices."""
    text, stored, expected = VALUES[kind]
    array = np.array(stored, np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(array)
    if mode == "P":
        image.putpalette(VOC)
    ids = ids_of(tmp_path, text, image)
    assert ids.dtype == np.uint8
    np.testing.assert_array_equal(ids, expected)


def test_a_value_of_no_line_is_refused_with_its_pixels(tmp_path):
    """Oracle: by hand; nothing is ignored that nobody said."""
    image = Image.fromarray(np.array([[7, 8, 3], [3, 9, 255]], np.uint8))
    message = (
        r"^w: no line of classes.txt has the label values 3 \(2 pixels\), 9 \(1 pixels\);"
        r" give them to a class \(`3: NAME`\) or ignore them \(`3: ignore`\)$"
    )
    with pytest.raises(DataError, match=message):
        ids_of(tmp_path, "7: a\n8: b\n", image)


def palette_label(order):
    """The picture of IDS with its palette in another order."""
    image = Image.fromarray(np.argsort(order).astype(np.uint8)[IDS])
    image.putpalette(PAINT[list(order)].ravel().tolist())
    return image


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_palette_in_another_order_changes_no_id(tmp_path, order):
    """Oracle: the picture: a lossless optimiser keeps colours and not indices."""
    image = palette_label(order)
    np.testing.assert_array_equal(image.convert("RGB"), PAINT[IDS])
    np.testing.assert_array_equal(ids_of(tmp_path, COLORS, image), IDS)
    rgb = ids_of(tmp_path, COLORS, image.convert("RGB"))
    np.testing.assert_array_equal(rgb, IDS)


def test_colours_that_are_ignored(tmp_path):
    """Oracle: by hand: CamVid's Void is black, and 255 is VOC's void as ever."""
    text = "sky 128 128 128\nignore 0 0 0\nroad 128 64 128\n"
    expected = np.array([0, 1, 255], np.uint8)[IDS]
    image = Image.fromarray(PAINT[IDS])
    np.testing.assert_array_equal(ids_of(tmp_path, text, image), expected)
    pixels = PAINT[IDS].copy()
    pixels[0, 0] = (224, 224, 192)
    expected[0, 0] = 255
    np.testing.assert_array_equal(
        ids_of(tmp_path, text, Image.fromarray(pixels)), expected
    )
    values = np.array([[0, 1, 2, 255]], np.uint8)
    np.testing.assert_array_equal(
        ids_of(tmp_path, text, Image.fromarray(values)), [[0, 255, 1, 255]]
    )


def test_colours_and_values_together(tmp_path):
    """Oracle: by hand: colours in colour, the values of grey in grey."""
    text = "0: ignore 0 0 0\n7: road 128 64 128\n11: sky 128 128 128\n"
    image = Image.fromarray(np.array([[0, 7], [11, 255]], np.uint8))
    np.testing.assert_array_equal(ids_of(tmp_path, text, image), [[255, 0], [1, 255]])
    image = Image.fromarray(PAINT[IDS])
    expected = np.array([1, 0, 255], np.uint8)[IDS]
    np.testing.assert_array_equal(ids_of(tmp_path, text, image), expected)


def repaint(root, stem, palette, depth=None, count=None):
    path = root / "labels" / f"{stem}.png"
    label = Image.fromarray(np.asarray(Image.open(path)) % 3)
    label.putpalette(palette[:count])
    label.save(path, **({"bits": depth} if depth else {}))


def folder_of_palettes(root):
    make_folder(root, count=10)
    for index in range(10):
        repaint(root, f"i{index}", VOC)
    return root


ODD = {
    "another palette": (
        lambda root: repaint(root, "i3", [*VOC[:3], 9, 9, 9, *VOC[6:]]),
        r"labels/i0.png is a 8-bit palette PNG and labels/i3.png a 8-bit palette PNG in "
        r"which 1 is \(9, 9, 9\) and not \(128, 0, 0\), so equal values need not mean",
    ),
    "one a file": (
        lambda root: [repaint(root, f"i{i}", [i + 9, *VOC[1:]]) for i in (3, 5)],
        r"labels/i3.png a 8-bit palette PNG in which 0 is .*\(nor in i5.png\)",
    ),
    "fewer bits": (
        lambda root: repaint(root, "i3", VOC, depth=4, count=48),
        "labels/i3.png a 4-bit palette PNG, so equal",
    ),
    "a shorter palette": (
        lambda root: repaint(root, "i3", VOC, count=60),
        "labels/i3.png a 8-bit palette PNG with 20 colours instead of 256",
    ),
    "grey": (
        lambda root: Image.fromarray(np.eye(8, 13, dtype=np.uint8)).save(
            root / "labels" / "i3.png"
        ),
        "labels/i3.png a 8-bit grey PNG, so equal",
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_encodings_that_differ_are_refused_with_two_files(tmp_path, kind):
    """Oracle: indices mean colours, and these are not the same."""
    change, message = ODD[kind]
    root = folder_of_palettes(tmp_path)
    open_folder(root, "train")
    change(root)
    with pytest.raises(DataError, match=message) as error:
        open_folder(root, "train")
    (problem,) = check_folder(root).problems
    assert problem in str(error.value)


def test_with_colours_palettes_may_differ(tmp_path):
    """Oracle: the ids of the files before one of them was numbered anew."""
    root = folder_of_palettes(tmp_path)
    names = "a 0 0 0\nb 128 0 0\nc 0 128 0\nignore 128 128 0\n"
    (root / "classes.txt").write_text(names)
    before = open_folder(root, "train")[3].labels["semantic"]
    path = root / "labels" / "i3.png"
    label = Image.open(path).copy()
    turned = [*range(255, -1, -1)]
    label.remap_palette(turned).save(path)
    assert (np.asarray(Image.open(path)) != np.asarray(label)).all()
    np.testing.assert_array_equal(
        open_folder(root, "train")[3].labels["semantic"], before
    )


def test_with_colours_grey_labels_still_have_to_agree(tmp_path):
    """Oracle: 255 and 0 in eight bits are 1 and 0 in one."""
    root = make_folder(tmp_path)
    (root / "classes.txt").write_text("ground 9 0 0\ncat 0 9 0\n")
    open_folder(root, "train")
    Image.fromarray(np.eye(8, 12) > 0).save(root / "labels" / "i4.png")
    with pytest.raises(DataError, match=r"labels/i4.png a 1-bit grey PNG, so equal"):
        open_folder(root, "train")


@pytest.mark.parametrize(
    "names", ["a 0 0 0\nb 128 0 0\nignore 0 128 0\n", "0: a 0 0 0\n1: b 128 0 0\n"]
)
def test_with_colours_and_values_grey_lies_beside_no_colour(tmp_path, names):
    """Oracle: an even red label, saved anew, is grey 0 with no word of red."""
    root = folder_of_palettes(tmp_path)
    (root / "classes.txt").write_text(names)
    open_folder(root, "train")
    Image.fromarray(np.zeros((8, 13), np.uint8)).save(root / "labels" / "i3.png")
    message = (
        "i0.png is a 8-bit palette or color PNG and labels/i3.png a 8-bit grey PNG"
    )
    with pytest.raises(DataError, match=message):
        open_folder(root, "train")
