"""Drawing the shapes of annotation tools as pixels.

Tools that give corners as points of a plane, where pixel i spans i..i+1 (COCO, CVAT),
get the pixels whose centres lie within: Pillow draws a polygon eight times finer, and
the points at the centres are kept. labelme's own rule is Pillow's on whole coordinates.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from fcn_jax.data.examples import DataError

Point = tuple[float, float]

MAX_POINTS = 50_000  # of one polygon
MAX_RISE = 2**20  # rows that the edges of one polygon cross
FAR = 2**20  # pixels; Pillow counts in 32 bits
_FINE = 8
_BAND, _ROWS = 2**24, 128  # fine points and rows of pixels that are drawn at once
_ELLIPSE_CORNERS = 360


def checked_points(points: Sequence[Sequence[float]], where: str) -> list[Point]:
    """Return points as pairs of finite numbers.

    Args:
        points: (x, y) each.
        where: names the shape in messages.

    Raises:
        DataError: for other than two numbers, more than 50,000 points, or one more than
            a million pixels away.
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
                f"{where}: the point {repr(point)[:60]} is no pair of numbers of at most "
                f"{FAR} pixels"
            )
        checked.append((float(point[0]), float(point[1])))
    return checked


def is_number(value: object) -> bool:
    """Tell whether a value is a finite number and no truth value."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 2**53
    )


def polygon(
    points: Sequence[Point], height: int, width: int, where: str = "polygon"
) -> np.ndarray:
    """Fill a polygon by the even-odd rule at the pixels' centres: `[H, W] bool`.

    Raises:
        DataError: for edges that cross more than a million rows together, which no
            outline of an object does.
    """
    mask = np.zeros((height, width), bool)
    corners = np.array(points, np.float64)
    left, right = _span(corners[:, 0], width)
    top, bottom = _span(corners[:, 1], height)
    if left >= right or top >= bottom:
        return mask
    refuse_tangles(corners, height, where)
    step = max(1, min(_ROWS, _BAND // ((right - left) * _FINE**2)))
    for start in range(top, bottom, step):
        end = min(bottom, start + step)
        fine = Image.new("L", ((right - left) * _FINE, (end - start) * _FINE))
        near = _near(corners, start - 1, end + 1)
        places = np.rint((near - (left, start)) * _FINE).astype(int)
        ImageDraw.Draw(fine).polygon(places.ravel().tolist(), fill=1)
        # The nearest point to a pixel's centre is that centre: point 4 of 8.
        centres = fine.resize((right - left, end - start), Image.Resampling.NEAREST)
        mask[start:end, left:right] = np.asarray(centres)
    return mask


def refuse_tangles(corners: np.ndarray, height: int, where: str) -> None:
    """Refuse a polygon that would take minutes to draw.

    Args:
        corners: `[n, 2]`, (x, y).
        height: of the picture.
        where: names it in messages.

    Raises:
        DataError: for edges that cross more than a million rows together.
    """
    rows = corners[:, 1].clip(0, height)
    if np.abs(np.diff(rows, append=rows[:1])).sum() > MAX_RISE:
        raise DataError(
            f"{where}: its edges cross more than {MAX_RISE} rows; it is no outline of an "
            "object"
        )


def _near(corners: np.ndarray, top: float, bottom: float) -> np.ndarray:
    """Return a polygon with fewer corners that is the same between two rows.

    Of corners that follow each other on one side of the rows the first and the last stay.
    """
    side = np.sign(corners[:, 1] - top) + np.sign(corners[:, 1] - bottom)
    inner = (abs(side) == 2) & (side == np.roll(side, 1)) & (side == np.roll(side, -1))
    return corners[~inner] if (~inner).sum() > 2 else corners[:3]


def _span(levels: np.ndarray, size: int) -> tuple[int, int]:
    """Return the pixels of an axis that a shape may touch."""
    low = max(0, math.floor(levels.min()) - 1)
    return low, min(size, math.ceil(levels.max()) + 1)


def ellipse(center: Point, radii: Point, degrees: float) -> list[Point]:
    """Return an ellipse, turned clockwise as seen, as a polygon of 360 corners."""
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)
    corners = np.stack([radii[0] * np.cos(angles), radii[1] * np.sin(angles)], axis=1)
    return turned([(float(x), float(y)) for x, y in corners], (0, 0), degrees, center)


def turned(
    points: Sequence[Point], center: Point, degrees: float, offset: Point = (0, 0)
) -> list[Point]:
    """Return points turned clockwise as seen around a centre, then moved."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (
            center[0] + (x - center[0]) * cos - (y - center[1]) * sin + offset[0],
            center[1] + (x - center[0]) * sin + (y - center[1]) * cos + offset[1],
        )
        for x, y in points
    ]


def draw(
    canvas: Image.Image, kind: str, points: Sequence[Point], value: int, where: str
) -> None:
    """Draw a shape over a picture of ids, as labelme's `shape_to_mask` does.

    Coordinates are cut to whole pixels and borders belong to the shape; lines are ten
    pixels wide and points have a radius of five.

    Args:
        canvas: of mode L; changed.
        kind: "polygon", "rectangle", "circle", "line", "linestrip" or "point".
        points: as the kind needs: three or more corners; two opposite ones; the centre
            and a point of the circle; two or more; one.
        value: is written.
        where: names the shape in messages.

    Raises:
        DataError: for edges that cross more than a million rows together.
    """
    pen = ImageDraw.Draw(canvas)
    if kind == "polygon":
        refuse_tangles(np.array(points), canvas.height, where)
        pen.polygon(list(points), outline=value, fill=value)
    elif kind == "rectangle":
        (x0, y0), (x1, y1) = points
        corners = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        pen.rectangle(corners, outline=value, fill=value)
    elif kind in ("line", "linestrip"):
        pen.line(list(points), fill=value, width=10)
    else:
        x, y = points[0]
        radius = math.dist(*points) if kind == "circle" else 5
        corners = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(corners, outline=value, fill=value)
