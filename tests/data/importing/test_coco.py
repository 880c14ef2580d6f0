"""COCO's instances. Oracle: masks that the test wrote, rectangles counted by hand."""

import itertools
import shutil
import unicodedata

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
    write_json,
)

SIZE = (20, 30)
CATEGORIES = [
    {"id": 18, "name": "dog", "supercategory": "animal"},
    {"id": 3, "name": "traffic light", "supercategory": ""},
    {"id": 90, "name": "cat", "supercategory": "animal"},
]  # ids 2, 1 and 3 of the folder


def box(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(category, segmentation, image=1, **more):
    fields = {"iscrowd": 0, "area": 1.0, "bbox": [0, 0, 1, 1]}
    return {
        "id": 1,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        **fields,
        **more,
    }


def runs(mask):
    """Column by column, zeros first."""
    flat = mask.T.astype(int).ravel()
    counts = [(value, len(list(group))) for value, group in itertools.groupby(flat)]
    lengths = [count for _, count in counts]
    return {"size": list(mask.shape), "counts": [0] * int(flat[0]) + lengths}


def compressed(mask):
    """The text form of COCO's maskApi, as its documentation describes it."""
    counts, text = runs(mask)["counts"], ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        while True:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
            if not more:
                break
    return {"size": list(mask.shape), "counts": text}


def record(annotations, images=("pic.png",), **more):
    return {
        "info": {},
        "licenses": [],
        "images": [
            {"id": i, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
            for i, name in enumerate(images, 1)
        ],
        "annotations": annotations,
        "categories": CATEGORIES,
        **more,
    }


def write(source, annotations, **more):
    save(source / "images" / "pic.png", picture(0, SIZE))
    write_json(source / "instances_default.json", record(annotations, **more))


def test_polygons(tmp_path):
    """Of two that overlap the smaller is on top; parts of one object are one."""
    source = tmp_path / "source"
    small, large = box(8, 3, 12, 6), box(2, 2, 15, 10)
    write(
        source,
        [
            annotation(90, [small]),
            annotation(18, [large, box(20, 0, 30, 4)]),
        ],
    )
    target, table = imported(source)
    ids = np.zeros(SIZE, np.uint8)
    ids[2:10, 2:15] = ids[0:4, 20:30] = 2
    ids[3:6, 8:12] = 3
    same(labels(target), {"pic": ids})
    assert names(target) == ["background", "traffic light", "dog", "cat"]
    assert table["class 2 dog"].startswith("category 18; ")
    assert "the smaller is on top" in table["shapes"]


@pytest.mark.parametrize("overlap", ["", "smaller", "later"])
def test_the_later_or_the_smaller_on_top(tmp_path, overlap):
    source = tmp_path / "source"
    small, large = (
        annotation(90, [box(8, 3, 12, 6)]),
        annotation(18, [box(2, 2, 15, 10)]),
    )
    write(source, [small, large])
    target, table = imported(source, overlap=overlap)
    ids = np.zeros(SIZE, np.uint8)
    ids[2:10, 2:15] = 2
    if overlap != "later":
        ids[3:6, 8:12] = 3
    same(labels(target), {"pic": ids})
    assert f"the {overlap or 'smaller'} is on top" in table["shapes"]


@pytest.mark.parametrize("form", [runs, compressed])
@pytest.mark.parametrize("seed", range(3))
def test_run_lengths(tmp_path, form, seed):
    source = tmp_path / "source"
    ids = label_map(seed, 4, SIZE)
    ids[3:15, 5:25] = seed + 1
    keys = {1: 3, 2: 18, 3: 90}
    write(source, [annotation(keys[i], form(ids == i)) for i in (3, 1, 2)])
    target, _ = imported(source)
    same(labels(target), {"pic": ids})


@pytest.mark.parametrize("form", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("folder", ["", "images", "deep/images"])
def test_names_in_both_forms_of_unicode_are_one(tmp_path, form, folder):
    """Pictures that went through a Mac, or the JSON file that did."""
    source = tmp_path / "source"
    on_disk, in_json = (unicodedata.normalize(own, "café") for own in form)
    save(source / folder / f"{on_disk}.png", picture(0, SIZE))
    images = [{"id": 1, "file_name": f"{in_json}.png", "width": 30, "height": 20}]
    record = {"images": images, "categories": CATEGORIES}
    shapes = [annotation(18, [box(6, 6, 10, 9)])]
    write_json(source / "instances.json", {**record, "annotations": shapes})
    target, _ = imported(source)
    ids = np.zeros(SIZE, np.uint8)
    ids[6:9, 6:10] = 2
    same(labels(target), {on_disk: ids})


@pytest.mark.parametrize(
    "options",
    [{"names": ("background", "dog")}, {"map": (("dog", "dog"),)}],
    ids=["names", "map"],
)
def test_a_category_without_shapes_needs_no_class(tmp_path, options):
    """Roboflow declares a category above the others, which nothing is of."""
    source = tmp_path / "source"
    write(source, [annotation(18, [box(6, 6, 10, 9)])])
    target, _ = imported(source, **options)
    assert names(target) == ["background", "dog"]
    ids = np.zeros(SIZE, np.uint8)
    ids[6:9, 6:10] = 1
    same(labels(target), {"pic": ids})
    shutil.rmtree(target)
    with pytest.raises(DataError, match="the labels 'dog', which are not among"):
        imported(source, names=("background", "cat"))


def test_a_category_of_crowds_alone_is_asked_for(tmp_path):
    """Some tools write what a brush drew as run lengths with iscrowd."""
    source = tmp_path / "source"
    brushed = np.zeros(SIZE, bool)
    brushed[5:15, 5:25] = True
    crowd = annotation(18, runs(brushed), iscrowd=1)
    write(source, [annotation(3, [box(0, 0, 4, 4)]), crowd])
    with pytest.raises(DataError, match=r"all 1 annotations of .*give --crowd=drawn"):
        imported(source)
    ids = np.zeros(SIZE, np.uint8)
    ids[:4, :4] = 1
    for value, options in ((2, {"crowd": "drawn"}), (255, {"crowd": "ignored"})):
        target, _ = imported(source, **options)
        ids[brushed] = value
        same(labels(target), {"pic": ids})
        shutil.rmtree(target)


def test_crowds_are_ignored_below_others(tmp_path):
    source = tmp_path / "source"
    crowd = np.zeros(SIZE, bool)
    crowd[5:15, 5:25] = True
    write(
        source,
        [
            annotation(18, [box(6, 6, 10, 9)]),
            annotation(18, runs(crowd), iscrowd=1),
            annotation(18, []),
        ],
    )
    target, table = imported(source)
    ids = np.zeros(SIZE, np.uint8)
    ids[5:15, 5:25] = 255
    ids[6:9, 6:10] = 2
    same(labels(target), {"pic": ids})
    assert table["ignored (255)"].startswith("iscrowd regions; ")
    assert table["left out: 1 annotations"] == "they have no segmentation"


@pytest.mark.parametrize(
    ("files", "where"),
    [
        # COCO's own, CVAT's, and Roboflow's
        ("annotations/instances_{}2017.json", "{}2017"),
        ("annotations/instances_{}.json", "images/{}"),
        ("{}/_annotations.coco.json", "{}"),
    ],
)
def test_splits(tmp_path, files, where):
    """The same names in two folders are two pictures."""
    source = tmp_path / "source"
    wanted = {}
    for i, name in enumerate(("train", "val")):
        save(source / where.format(name) / "1.png", picture(i, SIZE))
        write_json(
            source / files.format(name),
            record([annotation(18, [box(i, i, 5, 5)])], images=("1.png",)),
        )
        ids = np.zeros(SIZE, np.uint8)
        ids[i:5, i:5] = 2
        wanted[f"{where.format(name)}/1".replace("/", "_")] = ids
    write_json(source / "annotations" / "captions_train2017.json", {"annotations": []})
    if "instances" not in files:
        (source / "annotations" / "captions_train2017.json").unlink()
    target, _ = imported(source)
    same(labels(target), wanted)
    assert split(target, "train") == [sorted(wanted)[0]]
    assert split(target, "val") == [sorted(wanted)[1]]


def test_boxes_are_no_label_maps(tmp_path):
    source = tmp_path / "source"
    write(source, [annotation(18, []), annotation(18, None)])
    with pytest.raises(DataError, match="none of its 2 annotations"):
        imported(source)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "more", "sentence"),
    [
        (
            annotation(18, {"counts": [1, 2]}),
            {},
            "add up to 3 pixels and not to the 600",
        ),
        (annotation(18, {"counts": [-1, 601]}), {}, "whole numbers from 0"),
        (annotation(18, {"counts": "P"}), {}, "in the middle of a number"),
        (annotation(18, {"counts": "~" * 9}), {}, "no compressed run-length code"),
        (annotation(18, {"counts": 7}), {}, "neither a list nor a text"),
        (annotation(18, {}), {}, "none of its 1 annotations"),
        (annotation(18, [[1, 2, 3]]), {}, "three or more points"),
        (annotation(18, [[1, 2, 3, 4, 5]]), {}, "three or more points"),
        (annotation(18, ["x"]), {}, "three or more points"),
        (annotation(18, "x"), {}, "a list of polygons or run lengths"),
        (annotation(18, [[0, 0, 1, 1, 1e30, 2]]), {}, "is no pair of numbers"),
        (annotation(18, [[0, 0, 1, 1, None, 2]]), {}, "is no pair of numbers"),
        (annotation(18, [[0, 0, 9, 9] * 30_000]), {}, "more than the 50000"),
        (annotation(4, [box(1, 1, 2, 2)]), {}, "category 4 is not among"),
        (annotation("x", [box(1, 1, 2, 2)]), {}, "'category_id' must be a whole"),
        (annotation(18, [box(1, 1, 2, 2)], image=9), {}, "annotations of image 9"),
        (annotation(18, [box(1, 1, 2, 2)]), {"images": [3]}, "'id' must be a whole"),
        (annotation(18, [box(1, 1, 2, 2)]), {"categories": 1}, "must be a list"),
    ],
)
def test_wrong_files_are_refused_whole(tmp_path, one, more, sentence):
    source = tmp_path / "source"
    save(source / "images" / "pic.png", picture(0, SIZE))
    write_json(source / "instances.json", record([one]) | more)
    with pytest.raises(DataError, match=rf"instances.json.*{sentence}"):
        imported(source)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("name", ["../pic.png", "/etc/passwd", "..\\..\\pic.png"])
def test_paths_that_leave(tmp_path, name):
    source = tmp_path / "source"
    save(tmp_path / "pic.png", picture(0, SIZE))
    write_json(source / "instances.json", record([], images=(name,)))
    with pytest.raises(DataError, match="outside of|an absolute path"):
        imported(source)
