"""CVAT for images 1.1: one annotations.xml with the shapes of all pictures."""

import dataclasses
import functools
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from fcn_jax.data.examples import DataError
from fcn_jax.data.image_files import MAX_PIXELS
from fcn_jax.data.importing.export import Entry, Export
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.rle import decode_runs
from fcn_jax.data.importing.shape_classes import ShapeClasses, classes_of
from fcn_jax.data.importing.shapes import (
    Point,
    checked_points,
    ellipse,
    is_number,
    polygon,
    turned,
)
from fcn_jax.data.importing.splits import SPLITS
from fcn_jax.data.importing.tree import Tree, named
from fcn_jax.data.labels import Color
from fcn_jax.data.scan import Progress

_MAX_BYTES = 2**30
_MAX_DEPTH = 32
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


def find_cvat(tree: Tree) -> list[PurePosixPath]:
    """The XML files of CVAT: annotations.xml, or whose first element is annotations."""
    return [
        file
        for file in tree.ending(".xml")
        if b"<annotations" in _head(tree.path(file))
    ]


def read_cvat(tree: Tree, options: Options, report: Progress | None) -> Export:
    """Reads the pictures of an annotations.xml.

    Shapes are drawn by z_order, later ones on top. Lines, points and cuboids are no areas
    and left out.

    Raises:
      DataError: for a damaged file, several of them, one of a video, a picture that is not
        there, a shape that cannot be drawn, or labels without a class.
    """
    del report
    files = find_cvat(tree)
    if len(files) != 1:
        raise DataError(
            f"{tree.root} has {len(files)} annotations.xml of CVAT; import one export at a "
            "time"
        )
    root = _parsed(tree.path(files[0]), str(files[0]))
    labels = _labels(root)
    pictures = [_picture(image, str(files[0])) for image in root.iter("image")]
    if not pictures:
        raise DataError(
            f"{files[0]} has no pictures; export a task of images as 'CVAT for images 1.1'"
        )
    found = {shape.label: None for picture in pictures for shape in picture.shapes}
    classes = classes_of(
        list(dict.fromkeys([*labels, *found])),
        options,
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
                picture=tree.path(paths[picture.name]),
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
        ),
        left_out=(
            *((f"{n} shapes {kind}", "no areas") for kind, n in skipped.items()),
            *(((f"pictures: {named(left)}", "not in the XML file"),) if left else ()),
        ),
        turned=True,
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(1024)


class _Shallow(ElementTree.TreeBuilder):
    """Builds a document that is not deep."""

    def __init__(self):
        super().__init__()
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        """Begins an element."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise DataError(
                f"elements nested {_MAX_DEPTH} deep; no file of CVAT has them"
            )
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        """Ends an element."""
        self._depth -= 1
        return super().end(tag)


def _parsed(path: Path, where: str) -> ElementTree.Element:
    """An XML document without entities, of limited size and depth."""
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(
            f"{where}: larger than {_MAX_BYTES} bytes; export fewer pictures"
        )
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\0" in content:
        raise DataError(
            f"{where}: declares entities or is not UTF-8, as no file of CVAT; export again"
        )
    parser = ElementTree.XMLParser(target=_Shallow())
    try:
        parser.feed(content)
        root = parser.close()
    except ElementTree.ParseError as error:
        raise DataError(
            f"{where}: not readable as XML ({error}); the file is damaged or cut short"
        ) from error
    if root.tag != "annotations" or root.find("track") is not None:
        raise DataError(
            f"{where}: not of CVAT's images (a video, perhaps); export as 'CVAT for images "
            "1.1'"
        )
    return root


def _labels(root: ElementTree.Element) -> dict[str, Color | None]:
    """The labels of the task in their order, with their colours."""
    labels: dict[str, Color | None] = {}
    for label in root.findall("./meta//labels/label"):
        name = " ".join((label.findtext("name") or "").split())
        kind = label.findtext("type") or "any"
        if not name or label.findtext("parent") or kind in ("skeleton", "tag"):
            continue  # points of a skeleton, or no areas
        match = re.fullmatch("#([0-9a-fA-F]{6})", label.findtext("color") or "")
        code = int(match[1], 16) if match else None
        labels[name] = (
            None if code is None else (code >> 16, (code >> 8) & 255, code & 255)
        )
    return labels


def _picture(image: ElementTree.Element, file: str) -> _Picture:
    name = image.get("name") or ""
    where = f"{file}, picture {name!r}"
    size = (_whole(image, "height", where), _whole(image, "width", where))
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
    label = " ".join((element.get("label") or "").split())
    order = _whole(element, "z_order", where) if element.get("z_order") else 0
    points, runs, box = [], [], (0, 0, 0, 0)
    if element.tag == "mask":
        left, top, width, height = (
            _whole(element, key, where) for key in ("left", "top", "width", "height")
        )
        box = (left, top, width, height)
        _refuse_outside(box, size, where)
        runs = [_number(text, where) for text in (element.get("rle") or "").split(",")]
    else:
        points = checked_points(_corners(element, where), where)
        if len(points) < 3:
            raise DataError(f"{where}: a polygon of {len(points)} points")
    return _Shape(label, order, tuple(points), tuple(runs), box, where)


def _corners(element: ElementTree.Element, where: str) -> Sequence[Point]:
    """A shape as a polygon; box and ellipse are turned by their rotation."""
    degrees = _real(element.get("rotation") or "0", where)
    if element.tag == "polygon":
        text = element.get("points") or ""
        pairs = [part.split(",") for part in text.split(";") if part]
        if any(len(pair) != 2 for pair in pairs):
            raise DataError(f"{where}: points are written x,y;x,y;...")
        return [(_real(x, where), _real(y, where)) for x, y in pairs]
    if element.tag == "ellipse":
        x, y, rx, ry = (
            _real(element.get(key) or "", where) for key in ("cx", "cy", "rx", "ry")
        )
        return ellipse((x, y), (rx, ry), degrees)
    left, top, right, bottom = (
        _real(element.get(key) or "", where) for key in ("xtl", "ytl", "xbr", "ybr")
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


def _whole(element: ElementTree.Element, key: str, where: str) -> int:
    text = element.get(key) or ""
    if not re.fullmatch(r"-?[0-9]{1,9}(\.0+)?", text):
        raise DataError(f"{where}: {key} is {text[:40]!r} and must be a whole number")
    return int(float(text))


def _number(text: str, where: str) -> int:
    if not re.fullmatch("[0-9]{1,10}", text.strip()):
        raise DataError(f"{where}: the run length {text[:40]!r} is no whole number")
    return int(text)


def _real(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not is_number(value):
        raise DataError(f"{where}: {text[:40]!r} is no number")
    return value


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
