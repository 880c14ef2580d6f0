"""CVAT for images 1.1: one annotations.xml with the shapes of all pictures."""

import dataclasses
import functools
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence

import numpy as np

from fcn_jax.data.decoding.image_files import MAX_PIXELS
from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.cvat_document import (
    find_cvat,
    labels_of,
    read_document,
    real_number,
    run_length,
    whole_number,
)
from fcn_jax.data.importing.export import Entry, Export, class_name
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.rle import decode_runs
from fcn_jax.data.importing.shape_classes import (
    ShapeClasses,
    classes_of,
    without_shapes,
)
from fcn_jax.data.importing.shapes import (
    Point,
    checked_points,
    ellipse,
    polygon,
    turned,
)
from fcn_jax.data.importing.splits import SPLITS
from fcn_jax.data.importing.tree import Tree, named
from fcn_jax.data.tools.scan import Progress

_AREAS = ("polygon", "box", "ellipse", "mask")
_NO_AREAS = ("polyline", "points", "cuboid", "skeleton", "tag")


@dataclasses.dataclass(frozen=True)
class _Shape:
    """A polygon, or the run lengths of a box of (left, top, width, height)."""

    label: str
    order: int
    points: tuple[Point, ...]
    runs: tuple[int, ...]
    box: tuple[int, int, int, int]
    where: str


@dataclasses.dataclass(frozen=True)
class _Picture:
    name: str
    where: str
    split: str
    size: tuple[int, int]
    shapes: tuple[_Shape, ...]


def read_cvat(tree: Tree, options: Options, report: Progress | None) -> Export:
    """Read the pictures of an annotations.xml.

    Shapes are drawn by z_order, later ones on top. Lines, points and cuboids are no areas
    and left out.

    Raises:
        DataError: for a damaged file, several of them, one of a video, a picture that
            is not there, a shape that cannot be drawn, or labels without a class.
    """
    del report
    files = find_cvat(tree)
    if len(files) != 1:
        raise DataError(
            f"{tree.root} has {len(files)} annotations.xml of CVAT; import one export at a "
            "time"
        )
    root = read_document(tree.path(files[0]), str(files[0]))
    labels = labels_of(root)
    pictures = [_picture(image, str(files[0])) for image in root.iter("image")]
    if not pictures:
        raise DataError(
            f"{files[0]} has no pictures; export a task of images as 'CVAT for images 1.1'"
        )
    found = {shape.label: None for picture in pictures for shape in picture.shapes}
    classes = classes_of(
        list(dict.fromkeys([*labels, *found])),
        options,
        used=found,
        colors={name: color for name, color in labels.items() if color},
        order=f"as in {files[0]}",
    )
    paths = {
        picture.name: tree.find(
            picture.name, near=files[0].parent / "images", where=picture.where
        )
        for picture in pictures
    }
    used = set(paths.values())
    left = [file for file in tree.pictures() if file not in used]
    skipped = Counter(e.tag for e in root.iter() if e.tag in _NO_AREAS)
    return Export(
        format=f"CVAT for images ({files[0]})",
        entries=tuple(
            Entry(
                name=paths[picture.name],
                picture=tree.path(paths[picture.name]).read_bytes,
                where=picture.where,
                split=picture.split,
                size=picture.size,
                paint=functools.partial(_paint, picture.shapes, classes),
            )
            for picture in pictures
        ),
        classes=classes.classes,
        ignored=classes.ignored,
        rules=(
            ("classes", classes.rule),
            (
                "shapes",
                "pixels whose centres lie within, by z_order, later ones on top",
            ),
            *without_shapes([own.name for own in pictures if not own.shapes]),
        ),
        left_out=(
            *((f"{n} shapes {kind}", "no areas") for kind, n in skipped.items()),
            *(((f"pictures: {named(left)}", "not in the XML file"),) if left else ()),
        ),
        turned=True,
    )


def _picture(image: ElementTree.Element, file: str) -> _Picture:
    name = image.get("name") or ""
    where = f"{file}, picture {name!r}"
    size = (whole_number(image, "height", where), whole_number(image, "width", where))
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(f"{where}: {size[1]}x{size[0]} pixels, more than {MAX_PIXELS}")
    shapes = [
        _shape(element, f"{where}, shape {number}", size)
        for number, element in enumerate((e for e in image if e.tag in _AREAS), 1)
    ]
    shapes.sort(key=lambda shape: shape.order)
    split = SPLITS.get((image.get("subset") or "").lower(), "")
    return _Picture(name, where, split, size, tuple(shapes))


def _shape(element: ElementTree.Element, where: str, size: tuple[int, int]) -> _Shape:
    label = class_name(element.get("label") or "", where)
    order = whole_number(element, "z_order", where) if element.get("z_order") else 0
    points, runs, box = [], [], (0, 0, 0, 0)
    if element.tag == "mask":
        left, top, width, height = (
            whole_number(element, key, where)
            for key in ("left", "top", "width", "height")
        )
        box = (left, top, width, height)
        _refuse_outside(box, size, where)
        runs = [
            run_length(text, where) for text in (element.get("rle") or "").split(",")
        ]
    else:
        points = checked_points(_corners(element, where), where)
        if len(points) < 3:
            raise DataError(f"{where}: a polygon of {len(points)} points")
    return _Shape(label, order, tuple(points), tuple(runs), box, where)


def _corners(element: ElementTree.Element, where: str) -> Sequence[Point]:
    """Return a shape as a polygon; box and ellipse are turned by their rotation."""
    degrees = real_number(element.get("rotation") or "0", where)
    if element.tag == "polygon":
        text = element.get("points") or ""
        pairs = [part.split(",") for part in text.split(";") if part]
        if any(len(pair) != 2 for pair in pairs):
            raise DataError(f"{where}: points are written x,y;x,y;...")
        return [(real_number(x, where), real_number(y, where)) for x, y in pairs]
    if element.tag == "ellipse":
        x, y, rx, ry = (
            real_number(element.get(key) or "", where)
            for key in ("cx", "cy", "rx", "ry")
        )
        return ellipse((x, y), (rx, ry), degrees)
    left, top, right, bottom = (
        real_number(element.get(key) or "", where)
        for key in ("xtl", "ytl", "xbr", "ybr")
    )
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    center = ((left + right) / 2, (top + bottom) / 2)
    return turned(corners, center, degrees) if degrees else corners


def _refuse_outside(box: Sequence[int], size: tuple[int, int], where: str) -> None:
    left, top, width, height = box
    fits = min(left, top) >= 0 and min(width, height) > 0
    if not fits or left + width > size[1] or top + height > size[0]:
        raise DataError(
            f"{where}: a mask of {width}x{height} pixels at {left}, {top}, outside of the "
            f"picture of {size[1]}x{size[0]}"
        )


def _paint(
    shapes: Sequence[_Shape], classes: ShapeClasses, height: int, width: int
) -> np.ndarray:
    ids = np.full((height, width), classes.empty, np.uint8)
    for shape in shapes:
        if shape.points:
            covered = polygon(shape.points, height, width, shape.where)
            ids[covered] = classes.ids[shape.label]
            continue
        left, top, columns, rows = shape.box
        covered = decode_runs(shape.runs, rows * columns, shape.where)
        part = ids[top : top + rows, left : left + columns]
        part[covered.reshape(rows, columns)] = classes.ids[shape.label]
    return ids
