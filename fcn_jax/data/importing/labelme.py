"""labelme: a JSON file beside each picture, with named shapes."""

import base64
import binascii
import dataclasses
import functools
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from fcn_jax.data.decoding.image_files import MAX_PIXELS, decode
from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.class_lists import find_list
from fcn_jax.data.importing.export import Entry, Export, class_name
from fcn_jax.data.importing.json_file import field, read_json
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.shape_classes import (
    ShapeClasses,
    classes_of,
    without_shapes,
)
from fcn_jax.data.importing.shapes import Point, checked_points, draw
from fcn_jax.data.importing.splits import folder_split
from fcn_jax.data.importing.tree import Tree, named
from fcn_jax.data.tools.scan import Progress, scan

# Points that a shape needs at least, and at most.
_POINTS = {
    "polygon": (3, None),
    "rectangle": (2, 2),
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (2, None),
    "point": (1, 1),
    "mask": (2, 2),
}


@dataclasses.dataclass(frozen=True)
class _Shape:
    """A shape; `pixels` only of masks, at the first of its points."""

    label: str
    kind: str
    points: tuple[Point, ...]
    pixels: bytes


@dataclasses.dataclass(frozen=True)
class _Annotation:
    file: PurePosixPath
    picture: Callable[[], bytes]
    name: PurePosixPath
    size: tuple[int, int] | None  # old versions do not say it
    shapes: tuple[_Shape, ...]


def is_labelme(record: Any) -> bool:
    """Tell whether a JSON document is one of labelme's."""
    return isinstance(record, dict) and {"shapes", "imagePath"} <= set(record)


def read_labelme(tree: Tree, options: Options, report: Progress | None) -> Export:
    """Read the JSON files of labelme, drawing shapes in their order as it does.

    Raises:
        DataError: for a JSON file that is damaged or not labelme's, a picture that is
            not there, a shape that cannot be drawn, or labels without a class.
    """
    files = tree.ending(".json")
    notes = list(scan(lambda file: _read(tree, file), files, report))
    if not notes:
        raise DataError(f"{tree.root} has no JSON files of labelme")
    labels = sorted({shape.label for note in notes for shape in note.shapes})
    listed = find_list(tree, options.classes)
    classes = classes_of(labels, options, listed=listed, order="sorted by name")
    used = {note.name for note in notes}
    with_json = {file.with_suffix("") for file in files}
    left = [
        file
        for file in tree.pictures()
        if file not in used and file.with_suffix("") not in with_json
    ]
    return Export(
        format="labelme",
        entries=tuple(
            Entry(
                name=note.name,
                picture=note.picture,
                where=str(note.file),
                split=folder_split(note.file),
                size=note.size,
                paint=functools.partial(_paint, note, classes),
            )
            for note in notes
        ),
        classes=classes.classes,
        ignored=classes.ignored,
        rules=(
            ("classes", classes.rule),
            ("shapes", "drawn as labelme does, borders included, later ones on top"),
            *without_shapes([note.file for note in notes if not note.shapes]),
        ),
        left_out=(
            *(
                ((f"pictures: {named(left)}", "they have no JSON file"),)
                if left
                else ()
            ),
        ),
        turned=True,
    )


def _read(tree: Tree, file: PurePosixPath) -> _Annotation:
    where = str(file)
    record = read_json(tree.path(file), where)
    if not is_labelme(record):
        raise DataError(
            f"{where}: not a file of labelme (it lacks shapes or imagePath); move it away"
        )
    path = field(record, "imagePath", str, where)
    if record.get("imageData"):
        # Read again when it is written: all pictures together fill the memory.
        picture, name = functools.partial(_embedded, tree, file), file
    else:
        name = tree.find(path, near=file.parent, where=where)
        picture = tree.path(name).read_bytes
    size = None
    if record.get("imageHeight") is not None:
        size = (
            field(record, "imageHeight", int, where),
            field(record, "imageWidth", int, where),
        )
    shapes = [
        _shape(shape, f"{where}, shape {i}")
        for i, shape in enumerate(field(record, "shapes", list, where), 1)
    ]
    return _Annotation(file, picture, name, size, tuple(shapes))


def _embedded(tree: Tree, file: PurePosixPath) -> bytes:
    """Return the picture within a JSON file."""
    record = read_json(tree.path(file), str(file))
    return _bytes(field(record, "imageData", str, str(file)), str(file))


def _bytes(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(
            f"{where}: its picture or mask is not base64 ({error}); the file is damaged"
        ) from error


def _shape(record: Any, where: str) -> _Shape:
    label = field(record, "label", str, where)
    kind = record.get("shape_type") or "polygon"
    if not isinstance(kind, str) or kind not in _POINTS:
        raise DataError(
            f"{where}: a shape of type {str(kind)[:40]!r}; read are {', '.join(_POINTS)}"
        )
    points = checked_points(field(record, "points", list, where), where)
    least, most = _POINTS[kind]
    if len(points) < least or len(points) > (most or len(points)):
        raise DataError(
            f"{where}: a {kind} of {len(points)} points, and it needs {least}"
            f"{' or more' if most is None else ''}; remove it in labelme"
        )
    pixels = b""
    if kind == "mask":
        pixels = _bytes(field(record, "mask", str, where), where)
    return _Shape(class_name(label, where), kind, tuple(points), pixels)


def _paint(
    note: _Annotation, classes: ShapeClasses, height: int, width: int
) -> np.ndarray:
    canvas = Image.new("L", (width, height), classes.empty)
    for number, shape in enumerate(note.shapes, 1):
        where, value = f"{note.file}, shape {number}", classes.ids[shape.label]
        if shape.kind == "mask":
            corner, covered = _mask(shape, where)
            canvas.paste(value, corner, Image.fromarray(covered))
        else:
            draw(canvas, shape.kind, shape.points, value, where)
    return np.asarray(canvas)


def _mask(shape: _Shape, where: str) -> tuple[tuple[int, int], np.ndarray]:
    """Return (x, y) of a mask's top left corner and the mask, `[H, W] bool`."""
    found = decode(
        shape.pixels, ("PNG",), where=where, max_pixels=MAX_PIXELS, result_bytes=1
    )
    pixels = np.asarray(found.image.convert("L")) > 0
    (x0, y0), (x1, y1) = ((int(x), int(y)) for x, y in shape.points)
    if pixels.shape != (y1 - y0 + 1, x1 - x0 + 1):
        raise DataError(
            f"{where}: a mask of {pixels.shape[0]}x{pixels.shape[1]} pixels for a box of "
            f"{y1 - y0 + 1}x{x1 - x0 + 1}; the file is damaged"
        )
    return (x0, y0), pixels
