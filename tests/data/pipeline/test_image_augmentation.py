"""Augmentation of images: windows, mirror, colour; each a function of its generator."""

import pickle

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.categories import image_label
from fcn_jax.data.examples import Example
from fcn_jax.data.pipeline.image_augmentation import (
    ImageAugmentation,
    lit,
    random_window,
    recolored,
)
from fcn_jax.data.pipeline.resizing import covering
from fcn_jax.data.pipeline.transforms import (
    Augmentation,
    FixedSizeAugment,
    augmented_sizes,
)
from tests.data.image_folders import assert_resized, picture

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's "L"


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


def by_hand(kind, pixels, factor):
    """Brightness, contrast and saturation in NumPy, rounded down as Pillow does."""
    pixels = pixels.astype(float)
    luma = np.rint(pixels @ LUMA)[..., None]
    other = (np.zeros(1), np.rint(luma.mean()), luma)[kind]
    return np.clip(factor * pixels + (1 - factor) * other, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_each_change_of_colour(kind):
    """Oracle: NumPy, to the level by which its rounding of luma may differ."""
    pixels = picture(5, (12, 16))
    amounts = tuple(0.8 if own == kind else 0.0 for own in range(3))
    factors, changed = [], 0
    for seed in range(30):
        rng, own = np.random.default_rng(seed), np.random.default_rng(seed)
        found = np.array(recolored(Image.fromarray(pixels), amounts, rng))
        own.permutation(3)
        factors.append(own.uniform(0.2, 1.8))
        expected = by_hand(kind, pixels, factors[-1])
        assert np.abs(found.astype(int) - expected).max() <= 2
        changed += np.abs(found.astype(int) - pixels).max() > 8
    assert min(factors) < 0.5
    assert max(factors) > 1.5
    assert changed > 20


def test_changes_of_colour_follow_one_another_in_random_order():
    """Oracle: the three changes by hand, in each order that is drawn."""
    pixels, orders = picture(5, (12, 16)), set()
    for seed in range(40):
        rng, own = np.random.default_rng(seed), np.random.default_rng(seed)
        found = np.array(recolored(Image.fromarray(pixels), (0.4, 0.5, 0.6), rng))
        expected, order = pixels, tuple(int(kind) for kind in own.permutation(3))
        for kind in order:
            amount = (0.4, 0.5, 0.6)[kind]
            expected = by_hand(kind, expected, own.uniform(1 - amount, 1 + amount))
        assert np.abs(found.astype(int) - expected).max() <= 4
        orders.add(order)
    assert len(orders) == 6


def test_lighting_adds_the_components_of_colour():
    """Oracle: the sum over components, written out; the published values."""
    pixels = picture(2, (6, 7))
    found = np.array(lit(Image.fromarray(pixels), 0.1, np.random.default_rng(4)))
    a, b, c = np.random.default_rng(4).normal(0, 0.1, 3)
    red = -0.5675 * a * 0.2175 + 0.7192 * b * 0.0188 + 0.4009 * c * 0.0045
    green = -0.5808 * a * 0.2175 - 0.0045 * b * 0.0188 - 0.8140 * c * 0.0045
    blue = -0.5836 * a * 0.2175 - 0.6948 * b * 0.0188 + 0.4203 * c * 0.0045
    expected = np.rint(pixels + 255 * np.array([red, green, blue]))
    np.testing.assert_array_equal(found, np.clip(expected, 0, 255))
    assert np.abs(255 * red) > 1


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
