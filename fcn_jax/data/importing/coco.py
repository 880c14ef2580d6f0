"""COCO's instances: one JSON file for many pictures, with polygons and run lengths."""

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.export import Entry, Export, class_name
from fcn_jax.data.importing.json_file import field, read_json
from fcn_jax.data.importing.options import DRAWN, LATER, SMALLER, Options
from fcn_jax.data.importing.rle import decode_runs, parse_runs
from fcn_jax.data.importing.shape_classes import (
    ShapeClasses,
    classes_of,
    without_shapes,
)
from fcn_jax.data.importing.shapes import Point, checked_points, polygon
from fcn_jax.data.importing.splits import SPLITS, folder_split
from fcn_jax.data.importing.tree import Tree, named
from fcn_jax.data.labels import IGNORE
from fcn_jax.data.tools.scan import Progress

_KEYS = {"images", "annotations", "categories"}


@dataclasses.dataclass(frozen=True)
class _Object:
    """An annotation: polygons, or the run lengths of a whole picture."""

    label: str
    crowd: bool
    polygons: tuple[tuple[Point, ...], ...]
    runs: tuple[int, ...] | str | None
    where: str


@dataclasses.dataclass(frozen=True)
class _Document:
    """What one JSON file says."""

    entries: tuple[tuple[PurePosixPath, str, tuple[int, int], str, list[_Object]], ...]
    categories: dict[int, str]
    boxes: int


def is_coco(record: Any) -> bool:
    """Tell whether a JSON document is one of COCO's instances."""
    return isinstance(record, dict) and set(record) >= _KEYS


def read_coco(tree: Tree, options: Options, report: Progress | None) -> Export:
    """Read every JSON file of instances; its name or folder may tell a split.

    Regions of `iscrowd` are ignored, below all others, unless --crowd=drawn; of
    overlapping ones the smaller is on top, or with --overlap the later.

    Raises:
        DataError: for a damaged file, a picture that is not there, one that two files
            name, categories that differ between files or would be ignored whole, or a
            shape that cannot be drawn.
    """
    del report
    files = _instances(tree)
    documents = [_read(tree, file) for file in files]
    categories: dict[int, str] = {}
    for document, file in zip(documents, files, strict=True):
        for key, name in document.categories.items():
            if categories.setdefault(key, name) != name:
                raise DataError(
                    f"{file} calls category {key} {name!r}, and another file "
                    f"{categories[key]!r}; import them one by one"
                )
    ordered = list(dict.fromkeys(categories[key] for key in sorted(categories)))
    origins = {
        name: "category "
        + ", ".join(str(key) for key in sorted(categories) if categories[key] == name)
        for name in ordered
    }
    listed = [entry for document in documents for entry in document.entries]
    listed = [(*own[:4], _crowds(own[4], options.crowd)) for own in listed]
    objects_of_all = [one for own in listed for one in own[4]]
    _refuse_vanished(objects_of_all, options)
    classes = classes_of(
        ordered,
        options,
        used={one.label for one in objects_of_all},
        origins=origins,
        order="by category id",
    )
    top = options.overlap or SMALLER
    _refuse_repeated([entry[0] for entry in listed])
    used = {entry[0] for entry in listed}
    left = [file for file in tree.pictures() if file not in used]
    boxes = sum(document.boxes for document in documents)
    crowds = sum(one.crowd for entry in listed for one in entry[4])
    return Export(
        format=f"COCO instances ({', '.join(map(str, files))})",
        entries=tuple(
            Entry(
                name=picture,
                picture=tree.path(picture).read_bytes,
                where=where,
                split=split,
                size=size,
                paint=functools.partial(_paint, objects, classes, top),
            )
            for picture, where, size, split, objects in listed
        ),
        classes=classes.classes,
        ignored=(*classes.ignored, *(("iscrowd regions",) if crowds else ())),
        rules=(
            ("classes", classes.rule),
            ("shapes", f"pixels whose centres lie within; of two the {top} is on top"),
            *without_shapes([entry[0] for entry in listed if not entry[4]]),
        ),
        left_out=tuple(
            (what, why)
            for what, why, there in (
                (f"pictures: {named(left)}", "no JSON file names them", left),
                (f"{boxes} annotations", "they have no segmentation", boxes),
            )
            if there
        ),
    )


def _instances(tree: Tree) -> list[PurePosixPath]:
    """Choose the JSON files to read: those called instances, if there are any."""
    files = tree.ending(".json")
    called = [file for file in files if file.name.startswith("instances")]
    return called or files


def _crowds(objects: Sequence[_Object], crowd: str) -> list[_Object]:
    """Clear the crowd marks of objects where --crowd=drawn."""
    if crowd != DRAWN:
        return list(objects)
    return [dataclasses.replace(own, crowd=False) for own in objects]


def _refuse_vanished(objects: Sequence[_Object], options: Options) -> None:
    """Ask where a category has crowds alone: some tools mark what a brush drew so.

    Raises:
        DataError: for such a category, unless --crowd or --ignore decides about it.
    """
    singles = {own.label for own in objects if not own.crowd}
    crowds = Counter(own.label for own in objects if own.crowd)
    vanished = [one for one in crowds if one not in {*singles, *options.ignore}]
    if vanished and not options.crowd:
        raise DataError(
            f"all {crowds[vanished[0]]} annotations of the category {vanished[0]!r} are "
            "marked with iscrowd, and such regions are ignored; give --crowd=drawn if they "
            "are objects (some tools mark masks of a brush so), else --crowd=ignored"
        )


def _refuse_repeated(pictures: Sequence[PurePosixPath]) -> None:
    seen: set[PurePosixPath] = set()
    for picture in pictures:
        if picture in seen:
            raise DataError(
                f"{picture} is named twice, in one JSON file or in two; keep one"
            )
        seen.add(picture)


def _split(file: PurePosixPath) -> str:
    """Return the split in the name of a JSON file, or else in that of a folder."""
    for part in (file.stem, *reversed(file.parts[:-1])):
        words = re.split("[^a-z]+", part.lower())
        found = [SPLITS[word] for word in words if word in SPLITS]
        if found:
            return found[0]
    return ""


def _read(tree: Tree, file: PurePosixPath) -> _Document:
    where = str(file)
    record = read_json(tree.path(file), where)
    if not is_coco(record):
        raise DataError(
            f"{where}: no instances of COCO (it lacks images, annotations or categories); "
            "move it away"
        )
    categories: dict[int, str] = {}
    for category in field(record, "categories", list, where):
        key = field(category, "id", int, f"{where}, a category")
        place = f"{where}, category {key}"
        name = class_name(field(category, "name", str, place), place)
        if categories.setdefault(key, name) != name:
            raise DataError(f"{where}: category {key} is given twice; keep one")
    objects, boxes = _objects(
        field(record, "annotations", list, where), categories, where
    )
    entries = []
    for image in field(record, "images", list, where):
        key = field(image, "id", int, f"{where}, an image")
        place = f"{where}, image {key}"
        name = field(image, "file_name", str, place)
        picture = tree.find(name, near=_near(tree, file, name), where=place)
        size = (field(image, "height", int, place), field(image, "width", int, place))
        found = objects.pop(key, [])
        split = _split(file) or folder_split(picture)
        entries.append((picture, place, size, split, found))
    if objects:
        raise DataError(
            f"{where}: annotations of image {next(iter(objects))}, which is not among its "
            "images; the file is damaged"
        )
    return _Document(tuple(entries), categories, boxes)


def _near(tree: Tree, file: PurePosixPath, name: str) -> PurePosixPath:
    """Return where pictures lie: beside the file, or in the folder that its name tells.

    `instances_val2017.json` is of val2017/, and CVAT's `instances_train.json` of
    images/train/; the same picture name may be in several such folders.
    """
    told = file.stem.partition("_")[2]
    base = file.parent.parent
    for folder in (base / told, base / "images" / told, base / "images"):
        if told and tree.has(folder / name.replace("\\", "/")):
            return folder
    return file.parent


def _objects(
    annotations: Sequence[Any], categories: dict[int, str], where: str
) -> tuple[dict[int, list[_Object]], int]:
    """Return annotations by image, and how many have no segmentation."""
    objects: dict[int, list[_Object]] = {}
    boxes = 0
    for number, annotation in enumerate(annotations, 1):
        place = f"{where}, annotation {number}"
        image = field(annotation, "image_id", int, place)
        key = field(annotation, "category_id", int, place)
        if key not in categories:
            raise DataError(f"{place}: category {key} is not among the categories")
        shape = annotation.get("segmentation")
        if not shape:
            boxes += 1
            objects.setdefault(image, [])
            continue
        crowd = annotation.get("iscrowd", 0)
        objects.setdefault(image, []).append(
            _object(shape, categories[key], crowd in (1, True), place)
        )
    if annotations and boxes == len(annotations):
        raise DataError(
            f"{where}: none of its {boxes} annotations has a segmentation; these are "
            "boxes, of which no label map can be made"
        )
    return objects, boxes


def _object(shape: Any, label: str, crowd: bool, where: str) -> _Object:
    if isinstance(shape, dict):
        runs = shape.get("counts")
        if not isinstance(runs, str | list):
            raise DataError(f"{where}: its run lengths are neither a list nor a text")
        return _Object(
            label, crowd, (), runs if isinstance(runs, str) else tuple(runs), where
        )
    if not isinstance(shape, list):
        raise DataError(f"{where}: a segmentation is a list of polygons or run lengths")
    polygons = []
    for flat in shape:
        if not isinstance(flat, list) or len(flat) % 2 or len(flat) < 6:
            raise DataError(
                f"{where}: a polygon is a list of x, y, x, y, ... of three or more points"
            )
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        polygons.append(tuple(checked_points(pairs, where)))
    return _Object(label, crowd, tuple(polygons), None, where)


def _paint(
    objects: Sequence[_Object], classes: ShapeClasses, top: str, height: int, width: int
) -> np.ndarray:
    ids = np.full((height, width), classes.empty, np.uint8)
    on_top = np.full(
        (height, width), height * width + 1, np.int64
    )  # area of the region
    for one in sorted(objects, key=lambda one: not one.crowd):
        covered = _covered(one, height, width)
        if one.crowd:
            ids[covered] = IGNORE
            continue
        area = int(covered.sum())
        covered &= (top == LATER) | (area <= on_top)
        ids[covered], on_top[covered] = classes.ids[one.label], area
    return ids


def _covered(one: _Object, height: int, width: int) -> np.ndarray:
    """Return `[H, W] bool` of an annotation."""
    if one.runs is not None:
        runs = (
            parse_runs(one.runs, one.where) if isinstance(one.runs, str) else one.runs
        )
        return decode_runs(runs, height * width, one.where).reshape(width, height).T
    covered = np.zeros((height, width), bool)
    for points in one.polygons:
        covered |= polygon(points, height, width, one.where)
    return covered
