"""Contact sheets, pixel by pixel."""

import numpy as np
import pytest

from fcn_jax.data.labels import Classes
from fcn_jax.report.panels import FONT_SIZE
from fcn_jax.report.sheet import contact_sheet

CLASSES = Classes(("sky", "sea", "cow"), ((10, 20, 230), (200, 30, 40), (50, 180, 60)))
SIZE = (165, 220)  # what a picture is fitted into, so that its pixels stay


def entry(name, level, label, size=SIZE):
    return name, {"color": plain(level, size)}, {"semantic": np.full(size, label)}


def plain(level, size=SIZE):
    """An image of one colour, of mean `level`; text is grey, so this is not."""
    return np.broadcast_to(np.array(tint(level), np.uint8), (*size, 3))


def tint(level):
    return (level, level - 60, level + 60)


def count(sheet, color):
    return int((sheet == np.array(color, np.uint8)).all(axis=-1).sum())


def mixed(level, color):
    return [round(0.45 * level + 0.55 * c) for c in color]


def draw(*entries):
    return contact_sheet(entries, {"semantic": CLASSES}, title="two")


def test_pictures_and_overlays_are_on_the_sheet_as_they_are():
    """Oracle: areas of plain colour, 0.45 grey + 0.55 class colour."""
    sheet = draw(entry("a", 100, 0), entry("b", 160, 2))
    area = SIZE[0] * SIZE[1]
    for level, label in ((100, 0), (160, 2)):
        assert count(sheet, tint(level)) == area
        assert count(sheet, mixed(level, CLASSES.palette[label])) == area
    first = np.argwhere((sheet == tint(100)).all(axis=-1))
    over = np.argwhere((sheet == mixed(100, CLASSES.palette[0])).all(axis=-1))
    assert (first[:, 0].min(), first[:, 0].max()) == (
        over[:, 0].min(),
        over[:, 0].max(),
    )
    assert first[:, 1].max() < over[:, 1].min()


def test_the_legend_names_the_classes_that_occur():
    """Oracle: squares of the palette's colours, none of a class that is not there."""
    sheet = draw(entry("a", 100, 0), entry("b", 160, 2), entry("c", 90, 255))
    squares = [count(sheet, color) for color in CLASSES.palette]
    assert squares[0] == squares[2] > 100
    assert squares[1] == 0
    bottom = np.argwhere((sheet == tint(160)).all(axis=-1))[:, 0].max()
    top = np.argwhere((sheet == CLASSES.palette[2]).all(axis=-1))[:, 0].min()
    assert top > bottom + FONT_SIZE  # a line with the output's name is between
    assert count(sheet, (224, 224, 192)) == squares[0]
    assert count(draw(entry("a", 100, 0)), (224, 224, 192)) == 0


def test_examples_wrap_into_rows():
    """Oracle: seven examples of 2 pictures, 226 pixels each, in 1400 pixels: 3 a row."""
    sheet = draw(*(entry(str(i), 100 + i, 0) for i in range(7)))
    assert sheet.shape[1] <= 1400
    found = [np.argwhere((sheet == tint(100 + i)).all(axis=-1)) for i in range(7)]
    rows = [int(places[:, 0].min()) for places in found]
    assert rows[0] == rows[1] == rows[2] < rows[3] == rows[5] < rows[6]


def test_large_pictures_are_reduced_and_small_ones_enlarged():
    """Oracle: the aspect ratio; squares for enlarged pixels."""
    large = draw(entry("a", 100, 0, (330, 660)))
    assert count(large, tint(100)) == 110 * 220
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (33, 11, 3), dtype=np.uint8)
    labels = np.zeros((33, 11), np.uint8)
    small = draw(("a", {"color": image}, {"semantic": labels}))
    block = np.repeat(np.repeat(image, 5, axis=0), 5, axis=1)
    top = next(
        y for y in range(60) if np.array_equal(small[y : y + 165, 6 : 6 + 55], block)
    )
    assert top > 0


def test_every_input_and_every_label_map_is_shown():
    """Oracle: depth stretched to 0..255; two label maps, over the first input."""
    height, width = SIZE
    depth = np.full((height, width, 1), 4000, np.uint16)
    depth[: height // 3] = 1000
    other = Classes(("up", "down"), ((1, 99, 2), (3, 4, 99)))
    sheet = contact_sheet(
        [
            (
                "a",
                {"color": plain(100), "depth": depth},
                {
                    "semantic": np.full(SIZE, 1, np.uint8),
                    "geometric": np.full(SIZE, 0, np.uint8),
                },
            )
        ],
        {"semantic": CLASSES, "geometric": other},
        title="depth",
    )
    area = height * width
    assert count(sheet, tint(100)) == area
    assert count(sheet, (0, 0, 0)) == height // 3 * width
    assert count(sheet, mixed(100, CLASSES.palette[1])) == area
    assert count(sheet, mixed(100, other.palette[0])) == area
    assert count(sheet, CLASSES.palette[1]) == count(sheet, other.palette[0]) > 100


def test_flat_depth_can_be_drawn():
    """Oracle: no distance differs, so all is black."""
    depth = np.full((*SIZE, 1), 4000, np.uint16)
    labels = {"semantic": np.zeros(SIZE, np.uint8)}
    sheet = draw(("a", {"depth": depth}, labels))
    assert count(sheet, (0, 0, 0)) == SIZE[0] * SIZE[1]


@pytest.mark.parametrize("name", ["x" * 300, "W" * 80])
def test_long_names_do_not_reach_the_next_example(name):
    """Oracle: the same sheet without a name beside it is as wide and as high."""
    plain = draw(entry("", 100, 0), entry("b", 160, 2))
    named = draw(entry(name, 100, 0), entry("b", 160, 2))
    assert named.shape == plain.shape
    column = plain.shape[1] // 2
    np.testing.assert_array_equal(named[:, column:], plain[:, column:])
    assert not np.array_equal(named, plain)
