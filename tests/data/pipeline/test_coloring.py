"""Random colours, of images with one label and of those with label maps."""

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.examples import Example
from fcn_jax.data.pipeline.coloring import lit, recolored
from fcn_jax.data.pipeline.transforms import Augmentation
from tests.data.image_folders import picture

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's "L"
FILL = {"color": (9, 8, 7), "depth": (0,)}


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


def labelled(size=(20, 30)):
    """A picture, its depth, and a label map."""
    depth = np.arange(size[0] * size[1], dtype=np.uint16).reshape(*size, 1)
    labels = (depth[..., 0] % 5).astype(np.uint8)
    return Example("x", {"color": picture(3, size), "depth": depth}, {"map": labels})


def test_pictures_with_label_maps_are_recoloured_before_the_window():
    """Oracle: the whole picture recoloured by itself, mirrored, and cut."""
    one, mirrored = labelled(), set()
    augmentation = Augmentation(
        mirror=True, crop=(12, 14), color=(0.4, 0.5, 0.6), lighting=0.1
    )
    for seed in range(12):
        found = augmentation(one, fill=FILL, rng=np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        image = recolored(Image.fromarray(one.inputs["color"]), (0.4, 0.5, 0.6), rng)
        image = np.array(lit(image, 0.1, rng))
        step = -1 if rng.integers(2) else 1
        top, left = int(rng.integers(0, 9)), int(rng.integers(0, 17))
        rows, columns = slice(top, top + 12), slice(left, left + 14)
        whole = {"color": image, "depth": one.inputs["depth"]}
        for key, pixels in whole.items():
            window = pixels[:, ::step][rows, columns]
            np.testing.assert_array_equal(found.inputs[key], window)
        window = one.labels["map"][:, ::step][rows, columns]
        np.testing.assert_array_equal(found.labels["map"], window)
        mirrored.add(step)
    assert mirrored == {-1, 1}


def test_without_changes_of_colour_nothing_is_drawn():
    """Oracle: the windows of an augmentation that has no colours."""
    one = labelled()
    for seed in range(3):
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        plain = Augmentation(crop=(5, 6))(one, fill=FILL, rng=rngs[0])
        none = Augmentation(crop=(5, 6), color=(0, 0, 0))(one, fill=FILL, rng=rngs[1])
        np.testing.assert_array_equal(plain.inputs["color"], none.inputs["color"])
        assert rngs[0].random() == rngs[1].random()


def test_the_filled_border_of_a_reduced_picture_keeps_the_mean():
    """Oracle: the fill, where labels are ignored."""
    found = Augmentation(crop=(20, 30), scale=(0.5, 0.5), color=(0.9, 0.9, 0.9))(
        Example("x", {"color": picture(3, (20, 30))}, labelled().labels),
        fill=FILL,
        rng=np.random.default_rng(0),
    )
    outside = found.labels["map"] == 255
    assert outside.sum() == 600 - 150
    assert (found.inputs["color"][outside] == FILL["color"]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"color": (0.1, 0.1)}, "color is .*each 0..1"),
        ({"color": (-0.1, 0.1, 0.1)}, "color is .*each 0..1"),
        ({"lighting": -0.1}, "lighting is -0.1; it must be 0 or more"),
    ],
)
def test_values_out_of_range_are_refused(changes, message):
    """Oracle: the ranges of the documentation."""
    with pytest.raises(ValueError, match=message):
        Augmentation(**changes)


@pytest.mark.parametrize(
    "inputs",
    [
        {"hha": picture(0, (4, 4))},
        {"color": picture(0, (4, 4)).astype(np.float32)},
        {"color": picture(0, (4, 4))[..., :1]},
    ],
)
def test_colours_need_a_colour_picture(inputs):
    """Oracle: an input called color, 8 bits, three channels."""
    one = Example("x", inputs, {"map": np.zeros((4, 4), np.uint8)})
    with pytest.raises(
        ValueError, match="config.data.color .* example x does not have"
    ):
        Augmentation(lighting=0.1)(one, fill=FILL, rng=np.random.default_rng(0))
