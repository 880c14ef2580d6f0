"""Drawing the shapes of annotation tools as pixels.

Tools that give corners as points of a plane, where pixel i spans i..i+1 (COCO, CVAT),
get the pixels whose centres lie within: Pillow draws a polygon eight times finer, and
every eighth point of it is a pixel. labelme's own rule is Pillow's on whole coordinates.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from fcn_jax.data.examples import DataError

Point = tuple[float, float]

MAX_POINTS = 50_000  # of one polygon; each row of pixels goes through all of them
FAR = 2**20  # pixels; Pillow counts in 32 bits
_FINE = 8
_BAND = 2**24  # fine points that are drawn at once
_ELLIPSE_CORNERS = 360


def checked_points(points: Sequence[Sequence[float]], where: str) -> list[Point]:
    """Points as pairs of finite numbers.

    Args:
      points: (x, y) each.
      where: names the shape in messages.

    Raises:
      DataError: for other than two numbers, more than 50,000 points, or one more than a
        million pixels away.
    """
    if len(points) > MAX_POINTS:
        raise DataError(
            f"{where}: {len(points)} points, more than the {MAX_POINTS} allowed"
        )
    checked = []
    for point in points:
        if (
            not isinstance(point, list | tuple)
            or len(point) != 2
            or not all(is_number(level) and abs(level) <= FAR for level in point)
        ):
            raise DataError(
                f"{where}: the point {str(point)[:60]} is no pair of numbers of at most "
                f"{FAR} pixels"
            )
        checked.append((float(point[0]), float(point[1])))
    return checked


def is_number(value: object) -> bool:
    """Whether a value is a finite number and no truth value."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 2**53
    )


def polygon(points: Sequence[Point], height: int, width: int) -> np.ndarray:
    """`[H, W] bool`: the pixels whose centres lie within a polygon, by even-odd rule."""
    mask = np.zeros((height, width), bool)
    columns, rows = zip(*points, strict=True)
    left, right = _span(columns, width)
    top, bottom = _span(rows, height)
    if left >= right:
        return mask
    step = max(1, _BAND // ((right - left) * _FINE**2))
    for start in range(top, bottom, step):
        end = min(bottom, start + step)
        fine = Image.new("L", ((right - left) * _FINE, (end - start) * _FINE))
        # The centre of pixel (left, start) is the fine point (0, 0).
        corners = [
            (round((x - left - 0.5) * _FINE), round((y - start - 0.5) * _FINE))
            for x, y in points
        ]
        ImageDraw.Draw(fine).polygon(corners, fill=1)
        mask[start:end, left:right] = np.asarray(fine)[::_FINE, ::_FINE]
    return mask


def _span(levels: Sequence[float], size: int) -> tuple[int, int]:
    """The pixels of an axis that a shape may touch."""
    low = max(0, math.floor(min(levels)) - 1)
    return low, min(size, math.ceil(max(levels)) + 1)


def ellipse(center: Point, radii: Point, degrees: float) -> list[Point]:
    """An ellipse, turned clockwise as seen, as a polygon of 360 corners."""
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)
    corners = np.stack([radii[0] * np.cos(angles), radii[1] * np.sin(angles)], axis=1)
    return turned([(float(x), float(y)) for x, y in corners], (0, 0), degrees, center)


def turned(
    points: Sequence[Point], center: Point, degrees: float, offset: Point = (0, 0)
) -> list[Point]:
    """Points turned clockwise as seen around a centre, then moved."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (
            center[0] + (x - center[0]) * cos - (y - center[1]) * sin + offset[0],
            center[1] + (x - center[0]) * sin + (y - center[1]) * cos + offset[1],
        )
        for x, y in points
    ]


def drawn(kind: str, points: Sequence[Point], height: int, width: int) -> np.ndarray:
    """`[H, W] bool`: a shape as labelme's `shape_to_mask` draws it.

    Coordinates are cut to whole pixels and borders belong to the shape; lines are ten
    pixels wide and points have a radius of five.

    Args:
      kind: "polygon", "rectangle", "circle", "line", "linestrip" or "point".
      points: as the kind needs: three or more corners; two opposite ones; the centre and
        a point of the circle; two or more; one.
      height: of the picture.
      width: of the picture.
    """
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    if kind == "polygon":
        draw.polygon(list(points), outline=1, fill=1)
    elif kind == "rectangle":
        (x0, y0), (x1, y1) = points
        corners = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        draw.rectangle(corners, outline=1, fill=1)
    elif kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius), fill=1, outline=1
        )
    elif kind in ("line", "linestrip"):
        draw.line(list(points), fill=1, width=10)
    else:
        (x, y) = points[0]
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=1, outline=1)
    return np.asarray(image).astype(bool)
