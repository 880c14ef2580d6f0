"""Pixels of shapes. Oracles: counted by hand, and the definition at every centre."""

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from PIL import Image

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.rle import decode_runs, parse_runs
from fcn_jax.data.importing.shapes import checked_points, draw, ellipse, polygon, turned


def box(left, top, right, bottom, size=(9, 14)):
    """`[H, W] bool` of pixels left..right-1, top..bottom-1."""
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def drawn(kind, points, height, width):
    """`[H, W] bool` of what labelme draws."""
    canvas = Image.new("L", (width, height), 7)
    draw(canvas, kind, points, 9, "it")
    ids = np.asarray(canvas)
    assert set(np.unique(ids)) <= {7, 9}
    return ids == 9


def rectangle(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@pytest.mark.parametrize(
    ("corners", "pixels"),
    [
        ((2, 3, 6, 7), (2, 3, 6, 7)),  # whole coordinates: exactly these pixels
        ((2.4, 3.4, 6.4, 7.4), (2, 3, 6, 7)),
        ((2.6, 3.6, 6.6, 7.6), (3, 4, 7, 8)),
        ((-5, -5, 3, 2), (0, 0, 3, 2)),  # beyond the picture
        ((0, 0, 14, 9), (0, 0, 14, 9)),
        ((10, 4, 99, 99), (10, 4, 14, 9)),
        ((20, 20, 30, 30), (0, 0, 0, 0)),
    ],
)
def test_rectangles_by_their_centres(corners, pixels):
    got = polygon(rectangle(*corners), 9, 14)
    np.testing.assert_array_equal(got, box(*pixels))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("height", "width", "most"), [(40, 61, 9), (500, 30, 9), (500, 30, 80)]
)
def test_polygons_by_their_centres(seed, height, width, most):
    """Oracle: matplotlib's test of each centre, but for those next to an edge.

    Pictures of more than 128 rows are drawn in bands.
    """
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-10, (width + 10, height + 10), (rng.integers(3, most), 2))
    got = polygon([(float(x), float(y)) for x, y in corners], height, width)
    y, x = np.mgrid[:height, :width] + 0.5
    centres = np.stack([x.ravel(), y.ravel()], axis=1)
    closed = np.concatenate([corners, corners[:1]])
    wanted = Outline(closed).contains_points(centres).reshape(height, width)
    differing = np.argwhere(got != wanted) + 0.5
    for centre in differing[:, ::-1]:
        one, other = closed[:-1], closed[1:]
        along = other - one
        t = ((centre - one) * along).sum(1) / (along**2).sum(1)
        near = one + np.clip(t, 0, 1)[:, None] * along
        assert np.linalg.norm(near - centre, axis=1).min() < 0.2


def test_large_polygons_are_drawn_in_bands():
    """Oracle: a rectangle's area; 8 x 8 points for each pixel do not fit one band."""
    got = polygon(rectangle(10, 20, 2900, 1990), 2000, 3000)
    assert got.sum() == 2890 * 1970
    assert got[20:1990, 10:2900].all()


def test_turned_box():
    """A quarter of a turn exchanges its sides around the centre."""
    corners = turned(rectangle(2, 3, 8, 5), (5, 4), 90)
    np.testing.assert_array_equal(polygon(corners, 9, 14), box(4, 1, 6, 7))


def test_ellipse():
    """Oracle: the equation at each centre."""
    got = polygon(ellipse((20, 15), (12, 6), 0), 30, 40)
    y, x = np.mgrid[:30, :40] + 0.5
    far = ((x - 20) / 12) ** 2 + ((y - 15) / 6) ** 2
    assert (got == (far < 1))[abs(far - 1) > 0.05].all()


@pytest.mark.parametrize(
    ("kind", "points", "pixels"),
    [
        ("polygon", rectangle(2, 3, 6, 7), (2, 3, 7, 8)),  # borders belong to it
        ("polygon", rectangle(2.9, 3.9, 6.9, 7.9), (2, 3, 7, 8)),
        ("rectangle", [(2, 3), (6, 7)], (2, 3, 7, 8)),
        ("rectangle", [(6, 7), (2, 3)], (2, 3, 7, 8)),
        ("rectangle", [(6, 3), (2, 7)], (2, 3, 7, 8)),
    ],
)
def test_labelme_rectangles(kind, points, pixels):
    np.testing.assert_array_equal(drawn(kind, points, 9, 14), box(*pixels))


def test_labelme_circle():
    """Oracle: distance to the centre; borders may differ by a pixel."""
    got = drawn("circle", [(20, 15), (26, 23)], 40, 40)
    y, x = np.mgrid[:40, :40]
    far = np.hypot(x - 20, y - 15)
    assert got[far < 9].all()
    assert not got[far > 11].any()


def test_tangles_are_refused():
    """Every edge goes through all rows; drawing them would take minutes."""
    zigzag = [(float(i % 900), 0.0 if i % 2 else 8000.0) for i in range(50_000)]
    with pytest.raises(DataError, match="shape 7: its edges cross"):
        polygon(zigzag, 8000, 900, "shape 7")
    with pytest.raises(DataError, match="shape 7: its edges cross"):
        draw(Image.new("L", (900, 8000)), "polygon", zigzag, 1, "shape 7")


@pytest.mark.parametrize(
    "points",
    [
        [(1, 2, 3)],
        [(1,)],
        [("a", 1)],
        [(float("nan"), 1)],
        [(float("inf"), 1)],
        [(10**400, 1)],
        [(2**20 + 1, 1)],
        [(True, 1)],
        [None],
        [{}],
        [(0, 0)] * 50_001,
    ],
)
def test_points_that_are_none(points):
    with pytest.raises(DataError, match="shape 7: "):
        checked_points(points, "shape 7")


SCATTERED = "411011OO31N1ON00000010051KO10OO0011O013OM0O0022NN01020N0O30M51KO01011O"
SCATTERED_RUNS = """
    4 1 1 1 2 2 1 1 4 2 2 3 1 1 1 1 1 1 1 1 2 1 2 6 3 1 2 2 2 1 1 1 1 2 2 1 2 2 5 1 2 1 1
    1 1 3 3 1 1 1 2 1 4 1 2 1 1 4 1 1 6 2 1 1 1 2 1 3 2 2
"""


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("n3", [126]),
        ("0n3", [0, 126]),
        (SCATTERED, [int(run) for run in SCATTERED_RUNS.split()]),
    ],
)
def test_compressed_runs(text, runs):
    """Oracle: what pycocotools 2.0.11 writes for masks of 9 x 14 with these runs."""
    assert parse_runs(text, "it") == runs
    mask = decode_runs(runs, 126, "it")
    assert mask.sum() == sum(runs[1::2])
    assert (np.diff(mask.astype(int)) != 0).sum() == len(runs) - 1 - (runs[0] == 0)


@pytest.mark.parametrize("text", ["\x7f", "/", "P", "PPPPPPPPPP", "a\u20ac", "é"])
def test_damaged_codes(text):
    with pytest.raises(DataError, match="annotation 3: "):
        parse_runs(text, "annotation 3")


@pytest.mark.parametrize(
    "runs",
    [[1, 2], [127], [-1, 127], [1.0, 125], [True, 125], ["1", 125], [2**70], [0] * 200],
)
def test_runs_that_do_not_add_up(runs):
    with pytest.raises(DataError, match="annotation 3: "):
        decode_runs(runs, 126, "annotation 3")
