"""Augmentation of images: windows and mirror; each a function of its generator."""

import pickle

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.categories import image_label
from fcn_jax.data.examples import Example
from fcn_jax.data.pipeline.image_augmentation import ImageAugmentation, random_window
from fcn_jax.data.pipeline.resizing import covering
from fcn_jax.data.pipeline.transforms import (
    Augmentation,
    FixedSizeAugment,
    augmented_sizes,
)
from tests.data.image_folders import assert_resized, picture


def example(size=(40, 60), seed=0):
    return Example("x", {"color": picture(seed, size)}, {"imagenet": image_label(7)})


def augmented(augmentation, one, seed=0):
    result = augmentation(one, fill={}, rng=np.random.default_rng(seed))
    assert result.labels is one.labels
    return result.inputs["color"]


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (10, 200)])
def test_a_window_of_the_image_with_the_drawn_side(size):
    """Oracle: Pillow resizes the whole, and the window is cut out."""
    one = example(size)
    for seed in range(20):
        found = augmented(ImageAugmentation((24, 28), sides=(28, 50)), one, seed)
        rng = np.random.default_rng(seed)
        height, width = covering(size, int(rng.integers(28, 51)), (24, 28))
        top, left = int(rng.integers(0, height - 23)), int(rng.integers(0, width - 27))
        whole = Image.fromarray(one.inputs["color"]).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        window = np.array(whole)[top : top + 24, left : left + 28]
        assert found.dtype == np.uint8
        assert_resized(found, window)


def test_sides_and_corners_cover_their_ranges():
    """Oracle: a ramp tells the scale and the place of each window."""
    ramp = np.tile((2 * np.arange(100, dtype=np.uint8))[:, None], (1, 3))
    one = Example(
        "x",
        {"color": np.repeat(ramp[:, None], 100, axis=1)},
        {"imagenet": image_label(0)},
    )
    augmentation = ImageAugmentation((50, 50), sides=(50, 100))
    scales, places = [], []
    for seed in range(400):
        rows = augmented(augmentation, one, seed)[5:-5, 0, 0].astype(float)
        scale = 2 * (len(rows) - 1) / (rows[-1] - rows[0])  # pixels a row of the image
        scales.append(100 * scale)
        places.append(rows[0] / 2 - 5.5 / scale)
    assert 49 < min(scales) < 53
    assert 97 < max(scales) < 101
    assert abs(np.mean(scales) - 75) < 3
    assert min(places) < 1
    assert max(places) > 40


def test_windows_have_the_drawn_area_and_ratio():
    """Oracle: uniform shares of 8 to 100 %, log-uniform ratios; rounding is small."""
    rng = np.random.default_rng(0)
    windows = [
        random_window((1000, 1000), (0.08, 0.5), (3 / 4, 4 / 3), rng)
        for _ in range(2000)
    ]
    sides = np.array([[w.stop - w.start for w in own] for own in windows])
    shares = sides.prod(axis=1) / 1e6
    ratios = np.log(sides[:, 1] / sides[:, 0])
    assert 0.079 < shares.min() < 0.085
    assert 0.495 < shares.max() < 0.501
    assert abs(shares.mean() - 0.29) < 4 * 0.42 / np.sqrt(12 * 2000)
    assert abs(np.abs(ratios).max() - np.log(4 / 3)) < 0.01
    assert abs(ratios.mean()) < 4 * 2 * np.log(4 / 3) / np.sqrt(12 * 2000)
    for axis in (0, 1):
        starts = np.array([own[axis].start for own in windows])
        room = 1000 - sides[:, axis]
        assert (starts >= 0).all()
        assert (starts <= room).all()
        assert abs((starts / room).mean() - 0.5) < 4 / np.sqrt(12 * 2000)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((10, 1000), (slice(0, 10), slice(493, 506))),  # 13 = round(10 * 4 / 3)
        ((1000, 10), (slice(493, 506), slice(0, 10))),  # 13 = round(10 / (3 / 4))
    ],
)
def test_a_narrow_image_falls_back_to_its_middle(size, expected):
    """Oracle: worked out by hand; no window of the whole area has such a ratio."""
    rng = np.random.default_rng(0)
    assert random_window(size, (1, 1), (3 / 4, 4 / 3), rng) == expected


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2, 1)])
def test_tiny_images_are_enlarged(size):
    """Oracle: every pixel lies between those of the image."""
    one = example(size)
    for augmentation in (
        ImageAugmentation((8, 9), area=(0.08, 1)),
        ImageAugmentation((8, 9), sides=(8, 16)),
    ):
        for seed in range(20):
            found = augmented(augmentation, one, seed)
            assert found.shape == (8, 9, 3)
            low, high = (f(one.inputs["color"], axis=(0, 1)) for f in (np.min, np.max))
            assert ((found >= low) & (found <= high)).all()


def test_half_of_the_images_are_mirrored():
    """Oracle: the image without mirror, and its reflection."""
    one = example((8, 8))
    arguments = {"crop": (8, 8), "sides": (8, 8)}
    plain = augmented(ImageAugmentation(**arguments), one)
    np.testing.assert_array_equal(plain, one.inputs["color"])
    found = [
        augmented(ImageAugmentation(**arguments, mirror=True), one, seed)
        for seed in range(200)
    ]
    same = [np.array_equal(own, plain) for own in found]
    turned = [np.array_equal(own, plain[:, ::-1]) for own in found]
    assert all(a != b for a, b in zip(same, turned, strict=True))
    assert 70 < sum(same) < 130


def test_the_generator_decides_everything():
    """Oracle: equal numbers, equal images, in another process too; others differ."""
    augmentation = ImageAugmentation(
        (16, 20), area=(0.1, 1), mirror=True, color=(0.4, 0.4, 0.4), lighting=0.1
    )
    one = example()
    copy = pickle.loads(pickle.dumps(augmentation))
    found = [augmented(augmentation, one, seed) for seed in range(10)]
    for seed, own in enumerate(found):
        np.testing.assert_array_equal(own, augmented(copy, one, seed))
    assert len({own.tobytes() for own in found}) == 10
    np.testing.assert_array_equal(one.inputs["color"], example().inputs["color"])


class Closed:
    """A split of three images whose files are not there."""

    def __len__(self):
        return 3

    def sizes(self):
        raise AssertionError("the files were opened")


def test_sizes_are_known_without_opening_a_file():
    """Oracle: the crop, three times; the other augmentation asks the source."""
    augmentation = ImageAugmentation((16, 20), sides=(20, 20))
    assert isinstance(augmentation, FixedSizeAugment)
    expected = [[16, 20]] * 3
    np.testing.assert_array_equal(augmented_sizes(Closed(), augmentation), expected)
    np.testing.assert_array_equal(
        augmented_sizes(Closed(), augmentation, [2, 0]), expected[:2]
    )
    stated = augmentation.sizes(np.array([[1, 2], [300, 400], [5, 5]]))
    np.testing.assert_array_equal(stated, expected)
    with pytest.raises(AssertionError, match="were opened"):
        augmented_sizes(Closed(), Augmentation(mirror=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": (0, 8)}, "crop is .0, 8.; it must be"),
        ({"sides": (0, 0)}, "set one of them"),
        ({"area": (0.1, 1.0)}, "set one of them"),
        ({"sides": (7, 9)}, "sides is .7, 9.; .* from 8 on"),
        ({"sides": (12, 10)}, "sides is .12, 10."),
        ({"sides": (0, 0), "area": (0.0, 0.5)}, "area is .0.0, 0.5."),
        ({"sides": (0, 0), "area": (0.5, 1.5)}, "area is .0.5, 1.5.; .* up to 1"),
        ({"ratio": (2.0, 1.0)}, "ratio is .2.0, 1.0."),
        ({"color": (0.1, 0.1, 2.0)}, "color is .*each 0..1"),
        ({"color": (0.1, 0.1)}, "color is .*each 0..1"),
        ({"lighting": -0.1}, "lighting is -0.1; it must be 0 or more"),
    ],
)
def test_values_out_of_range_are_refused(changes, message):
    """Oracle: the ranges of the documentation."""
    with pytest.raises(ValueError, match=message):
        ImageAugmentation(**{"crop": (8, 8), "sides": (10, 12)} | changes)


def test_other_examples_are_refused():
    """Oracle: colour alone, uint8, with one label an image."""
    augmentation = ImageAugmentation((8, 8), sides=(8, 8))
    color, label = picture(0, (9, 9)), image_label(1)
    for inputs in (
        {"hha": color},
        {"color": color, "depth": color[..., :1]},
        {"color": color.astype(np.float32)},
        {"color": color[..., :1]},
    ):
        with pytest.raises(ValueError, match="x has the inputs .*takes one, color"):
            augmented(augmentation, Example("x", inputs, {"imagenet": label}))
    own = Example("x", {"color": color}, {"semantic": np.zeros((9, 9), np.uint8)})
    with pytest.raises(ValueError, match="x has a label map 'semantic' of the shape"):
        augmented(augmentation, own)
