"""Augmentation: image and label move together, and ids stay what they were."""

import numpy as np
import pytest

from fcn_jax.data.examples import Example
from fcn_jax.data.pipeline.transforms import Augmentation, place, shift

FILL = {"color": (201, 202, 203)}


def coordinate_example(height=40, width=50):
    """Each pixel's row and column in the image; the same in the label, as one id."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, rows ^ columns], -1).astype(np.uint8)
    labels = (rows * 7 + columns * 3) % 200
    return Example("x", {"color": image}, {"semantic": labels.astype(np.uint8)})


def check_aligned(example):
    """Every pixel with image content has the id of its coordinates, others 255."""
    image, labels = example.inputs["color"], example.labels["semantic"]
    assert image.shape[:2] == labels.shape
    filled = (image == FILL["color"]).all(-1)
    assert (labels[filled] == 255).all()
    rows, columns = image[..., 0].astype(int), image[..., 1].astype(int)
    expected = (rows * 7 + columns * 3) % 200
    np.testing.assert_array_equal(labels[~filled], expected[~filled])
    return filled


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(mirror=True),
        Augmentation(jitter=13),
        Augmentation(crop=(20, 30)),
        Augmentation(crop=(100, 30)),
        Augmentation(mirror=True, jitter=32, crop=(17, 23)),
    ],
)
def test_image_and_label_stay_aligned(augmentation):
    """Oracle: coordinates that image and label both encode; no id but 255 is new."""
    example = coordinate_example()
    ids = set(np.unique(example.labels["semantic"])) | {255}
    for seed in range(40):
        result = augmentation(
            example,
            fill=FILL,
            rng=np.random.default_rng(seed),
        )
        check_aligned(result)
        assert set(np.unique(result.labels["semantic"])) <= ids
        assert result.labels["semantic"].dtype == np.uint8


def test_nothing_changes_without_augmentation():
    """Oracle: the example itself."""
    example = coordinate_example()
    result = Augmentation()(example, fill={}, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(result.inputs["color"], example.inputs["color"])


def test_mirror_turns_half_of_the_images():
    """Oracle: numpy's fliplr and the binomial law, 400 trials."""
    example = coordinate_example()
    image = example.inputs["color"]
    turned = 0
    for seed in range(400):
        result = Augmentation(mirror=True)(
            example,
            fill=FILL,
            rng=np.random.default_rng(seed),
        ).inputs["color"]
        if np.array_equal(result, image):
            continue
        np.testing.assert_array_equal(result, np.fliplr(image))
        turned += 1
    assert 150 < turned < 250


def test_jitter_reaches_every_offset_and_no_other():
    """Oracle: where pixel (20, 25) goes; offsets -2..2 on both axes."""
    example = coordinate_example()
    seen = set()
    for seed in range(400):
        image = Augmentation(jitter=2)(
            example,
            fill=FILL,
            rng=np.random.default_rng(seed),
        ).inputs["color"]
        seen.add((20 - int(image[20, 25, 0]), 25 - int(image[20, 25, 1])))
    assert seen == {(r, c) for r in range(-2, 3) for c in range(-2, 3)}


def test_crop_reaches_every_window_and_keeps_short_axes_whole():
    """Oracle: the first pixel's coordinates; 40x50 in windows of 38x60."""
    example = coordinate_example()
    seen = set()
    for seed in range(100):
        image = Augmentation(crop=(38, 60))(
            example,
            fill=FILL,
            rng=np.random.default_rng(seed),
        ).inputs["color"]
        assert image.shape == (38, 50, 3)
        seen.add((int(image[0, 0, 0]), int(image[0, 0, 1])))
    assert seen == {(0, 0), (1, 0), (2, 0)}


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, -2), (-2, 1), (3, 3), (-9, 9)])
def test_shift_moves_content(down, right):
    """Oracle: a loop over pixels."""
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    expected = np.full((3, 4), 99, np.uint8)
    for row in range(3):
        for column in range(4):
            if 0 <= row + down < 3 and 0 <= column + right < 4:
                expected[row + down, column + right] = array[row, column]
    np.testing.assert_array_equal(shift(array, down, right, 99), expected)


def test_place_fills_the_top_left_corner():
    """Oracle: slices written out."""
    canvas = np.full((3, 4), 255, np.uint8)
    place(np.array([[1, 2]], np.uint8), canvas)
    np.testing.assert_array_equal(
        canvas, [[1, 2, 255, 255], [255, 255, 255, 255], [255, 255, 255, 255]]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jitter": -1}, "jitter is -1 pixels"),
        ({"crop": (0, 5)}, r"crop is \(0, 5\)"),
        ({"crop": (5,)}, r"crop is \(5,\)"),
    ],
)
def test_augmentation_refuses_values_out_of_range(arguments, message):
    """Oracle: the ranges of the docstring."""
    with pytest.raises(ValueError, match=message):
        Augmentation(**arguments)


@pytest.mark.parametrize(("fill", "channels"), [((1, 2), 3), ((1,), 3), ((1,) * 4, 1)])
def test_a_fill_of_other_channels_is_refused(fill, channels):
    """Oracle: the counts, in the sentence; of one value NumPy would fill all."""
    words = f"has {channels} channels.*a mean of {len(fill)}"
    with pytest.raises(ValueError, match=words):
        shift(np.zeros((2, 2, channels), np.uint8), 1, 0, fill)
