"""Sizes of resized images, and windows of them made in one step."""

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.pipeline.resizing import (
    covering,
    resized,
    resized_image,
    shorter_side_to,
    window_box,
)
from tests.data.image_folders import assert_resized, picture


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((375, 500), 256, (256, 341)),  # 500 * 256 / 375 = 341.33
        ((500, 375), 256, (341, 256)),
        ((64, 64), 256, (256, 256)),
        ((1, 7), 1, (1, 7)),
    ],
)
def test_the_shorter_side_is_set_and_the_longer_follows(size, side, expected):
    """Oracle: worked out by hand."""
    assert shorter_side_to(size, side) == expected


@pytest.mark.parametrize(
    ("size", "side", "crop", "expected"),
    [
        ((375, 500), 256, (227, 227), (256, 341)),
        ((100, 100), 128, (128, 224), (224, 224)),  # the crop is wider than the image
        ((200, 100), 128, (128, 224), (448, 224)),
        ((100, 150), 100, (140, 140), (140, 210)),
    ],
)
def test_a_crop_is_covered(size, side, crop, expected):
    """Oracle: worked out by hand."""
    assert covering(size, side, crop) == expected


def test_no_covering_size_is_too_small_or_too_large():
    """Oracle: a search for the least side whose image holds the crop."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width, side, rows, columns = (int(n) for n in rng.integers(1, 40, 5))
        found = covering((height, width), side, (rows, columns))
        least = side
        while True:
            expected = shorter_side_to((height, width), least)
            if expected[0] >= rows and expected[1] >= columns:
                break
            least += 1
        assert found == expected


@pytest.mark.parametrize("whole", [(40, 60), (90, 135)])
def test_a_box_is_a_window_of_the_resized_image(whole):
    """Oracle: Pillow resizes the whole, and the window is cut out."""
    pixels = picture(3, (60, 90))
    expected = Image.fromarray(pixels).resize(whole[::-1], Image.Resampling.BILINEAR)
    for corner in ((0, 0), (5, 11), (whole[0] - 30, whole[1] - 20)):
        box = window_box((60, 90), whole, corner, (30, 20))
        found = resized(pixels, (30, 20), box)
        top, left = corner
        window = np.array(expected)[top : top + 30, left : left + 20]
        assert_resized(found, window)


def test_an_image_of_its_own_size_is_left_alone():
    """Oracle: the same object."""
    image = Image.fromarray(picture(0, (8, 9)))
    assert resized_image(image, (8, 9)) is image
