"""CVAT for images 1.1. Oracle: rectangles and run lengths counted by hand."""

import itertools

import numpy as np
import pytest

from fcn_jax.data.examples import DataError
from tests.data.importing.exports import (
    imported,
    label_map,
    labels,
    names,
    picture,
    same,
    save,
    split,
)

SIZE = (20, 30)
META = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>t</name><labels>
<label><name>dog</name><color>#fa3253</color><type>any</type></label>
<label><name>cat</name><color>#33ddff</color><type>polygon</type></label>
</labels></task><dumped>2024-01-01</dumped></meta>
"""


def element(kind, label="dog", z=0, **more):
    fields = " ".join(f'{key}="{value}"' for key, value in more.items())
    return f'<{kind} label="{label}" source="manual" z_order="{z}" {fields}></{kind}>'


def polygon(left, top, right, bottom, label="dog", z=0):
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in corners)
    return element("polygon", label, z, points=points)


def mask(ids, left, top, label="dog", z=0):
    """Rows of a box, zeros first."""
    flat = ids.astype(int).ravel()
    lengths = [len(list(group)) for _, group in itertools.groupby(flat)]
    rle = ", ".join(map(str, [0] * int(flat[0]) + lengths))
    height, width = ids.shape
    return element(
        "mask", label, z, rle=rle, left=left, top=top, width=width, height=height
    )


def image(shapes, name="pic.png", size=SIZE, **more):
    fields = " ".join(f'{key}="{value}"' for key, value in more.items())
    return (
        f'<image id="0" name="{name}" width="{size[1]}" height="{size[0]}" {fields}>'
        + "".join(shapes)
        + "</image>"
    )


def write(source, images, meta=META, pictures=("pic.png",)):
    for i, name in enumerate(pictures):
        save(source / "images" / name, picture(i, SIZE))
    (source / "annotations.xml").write_text(meta + "".join(images) + "</annotations>")


def test_shapes_by_z_order(tmp_path):
    """A polygon above a later one; boxes, lines and an empty picture."""
    source = tmp_path / "source"
    write(
        source,
        [
            image(
                [
                    polygon(5, 5, 10, 12, "cat", z=1),
                    polygon(2, 3, 20, 9, "dog", z=0),
                    element("box", "cat", xtl=22.0, ytl=0.0, xbr=30.0, ybr=4.0),
                    element("polyline", "cat", points="0,0;20,20"),
                ]
            ),
            image([], "sub/empty.png"),
        ],
        pictures=("pic.png", "sub/empty.png"),
    )
    target, table = imported(source)
    ids = np.zeros(SIZE, np.uint8)
    ids[3:9, 2:20] = 1
    ids[5:12, 5:10] = 2
    ids[0:4, 22:30] = 2
    same(labels(target), {"pic": ids, "empty": 0 * ids})
    assert names(target) == ["background", "dog", "cat"]
    assert table["left out: 1 shapes polyline"] == "no areas"
    assert table["without shapes: 1 (sub/empty.png)"] == "background everywhere"
    assert "z_order" in table["shapes"]


@pytest.mark.parametrize("seed", range(3))
def test_masks(tmp_path, seed):
    part = label_map(seed, 2, (6, 9))
    source = tmp_path / "source"
    write(source, [image([mask(part, 21, 14, "cat"), polygon(0, 0, 4, 4)])])
    target, _ = imported(source)
    ids = np.zeros(SIZE, np.uint8)
    ids[14:20, 21:30] = 2 * part
    ids[0:4, 0:4] = 1
    same(labels(target), {"pic": ids})


def test_turned_boxes(tmp_path):
    """A quarter of a turn around the centre (10, 8)."""
    source = tmp_path / "source"
    box = element("box", "cat", xtl=4, ytl=6, xbr=16, ybr=10, rotation=90)
    write(source, [image([box])])
    target, _ = imported(source)
    ids = np.zeros(SIZE, np.uint8)
    ids[2:14, 8:12] = 2
    same(labels(target), {"pic": ids})


def test_a_label_background_and_colours(tmp_path):
    """A label background is id 0, wherever it stands; colours go with the names."""
    meta = META.replace(
        "</labels>",
        "<label><name>background</name><color>#808080</color></label></labels>",
    )
    source = tmp_path / "source"
    write(
        source, [image([polygon(1, 1, 9, 9), polygon(2, 2, 4, 4, "background")])], meta
    )
    target, table = imported(source)
    ids = np.zeros(SIZE, np.uint8)
    ids[1:9, 1:9] = 1
    ids[2:4, 2:4] = 0
    same(labels(target), {"pic": ids})
    assert (target / "classes.txt").read_text() == (
        "background 128 128 128\ndog 250 50 83\ncat 51 221 255\n"
    )
    assert table["colours"] == "of the source"


def test_subsets_are_splits(tmp_path):
    source = tmp_path / "source"
    write(
        source,
        [
            image([polygon(1, 1, 9, 9)], "a.png", subset="Train"),
            image([polygon(1, 1, 9, 9)], "b.png", subset="Validation"),
        ],
        META.replace("task>", "project>"),
        pictures=("a.png", "b.png"),
    )
    target, _ = imported(source)
    assert split(target, "train") == ["a"]
    assert split(target, "val") == ["b"]


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        (
            [element("mask", rle="1, 2", left=0, top=0, width=2, height=2)],
            "add up to 3",
        ),
        ([element("mask", rle="4", left=29, top=0, width=2, height=2)], "outside of"),
        ([element("mask", rle="4", left=0, top=-1, width=2, height=2)], "outside of"),
        (
            [element("mask", rle="x", left=0, top=0, width=2, height=2)],
            "run length 'x'",
        ),
        ([element("mask", rle="4", left="1e9", top=0, width=2, height=2)], "left is"),
        ([element("polygon", points="1,2;3")], "points are written"),
        ([element("polygon", points="1,2;3,4")], "a polygon of 2 points"),
        ([element("polygon", points="1,2;3,nan;5,6")], "'nan' is no number"),
        ([element("polygon", points="1,2;3,1e12;5,6")], "is no pair of numbers"),
        ([element("box", xtl=1)], "'' is no number"),
        (["<a>" * 60 + "</a>" * 60], "nested 32 deep"),
        (["<a>"], "not readable as XML"),
        (["<track></track>"], "a video"),
    ],
)
def test_wrong_files_are_refused_whole(tmp_path, shapes, sentence):
    source = tmp_path / "source"
    write(source, shapes if "track" in shapes[0] else [image(shapes)])
    with pytest.raises(DataError, match=sentence):
        imported(source)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_entities_are_refused(tmp_path):
    """The billion laughs: each entity is ten of the one before."""
    lines = ['<!ENTITY a0 "ha">']
    lines += [f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)]
    meta = META.replace(
        "<annotations>", f"<!DOCTYPE x [{''.join(lines)}]><annotations>"
    )
    source = tmp_path / "source"
    write(source, [image([])], meta.replace("<name>t<", "<name>&a9;<"))
    with pytest.raises(DataError, match="declares entities"):
        imported(source)


@pytest.mark.parametrize("name", ["../../pic.png", "/etc/passwd", "absent.png"])
def test_paths_that_lead_nowhere(tmp_path, name):
    source = tmp_path / "source"
    write(source, [image([], name)])
    with pytest.raises(DataError, match="outside of|an absolute path|which is not in"):
        imported(source)


def test_a_huge_picture_is_refused_by_its_size(tmp_path):
    source = tmp_path / "source"
    write(source, [image([], size=(2**20, 2**20))])
    with pytest.raises(DataError, match="1048576x1048576 pixels"):
        imported(source)


def test_a_label_without_shapes_needs_no_class(tmp_path):
    """The task declares cat, and only dogs are drawn."""
    source = tmp_path / "source"
    write(source, [image([polygon(6, 6, 10, 9)])])
    target, _ = imported(source, names=("background", "dog"))
    assert names(target) == ["background", "dog"]
    ids = np.zeros(SIZE, np.uint8)
    ids[6:9, 6:10] = 1
    same(labels(target), {"pic": ids})
