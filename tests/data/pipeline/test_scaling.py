"""Random enlargement, against windows that are computed by hand."""

import numpy as np
import pytest

from fcn_jax.data.examples import Example
from fcn_jax.data.pipeline.scaling import draw_span, scaled_window
from fcn_jax.data.pipeline.transforms import Augmentation

FILL = {"color": (9, 8, 7)}


def _example(height=24, width=32):
    """An image whose red is its row and whose green is its column, times 4."""
    rows, columns = np.mgrid[:height, :width]
    color = np.stack([rows * 4, columns * 4, np.zeros_like(rows)], -1).astype(np.uint8)
    labels = (rows // 6 + 4 * (columns // 8)).astype(np.uint8)
    return Example("a", {"color": color}, {"semantic": labels})


@pytest.mark.parametrize("factor", [1.0, 1.6, 2.0])
def test_an_enlarged_window_shows_the_place_that_was_drawn(factor):
    """Oracle: a pixel i of the window is at begin + (i + 1/2) / factor - 1/2 of the image."""
    for seed in range(5):
        found = scaled_window(
            _example(),
            size=(16, 20),
            factor=factor,
            fill=FILL,
            rng=np.random.default_rng(seed),
        )
        rng = np.random.default_rng(seed)
        rows = draw_span(rng, 24, 16, factor)
        columns = draw_span(rng, 32, 20, factor)
        y = rows.begin + (np.arange(16) + 0.5) / factor - 0.5
        x = columns.begin + (np.arange(20) + 0.5) / factor - 0.5
        inner = (slice(2, -2), slice(2, -2))
        red, green = found.inputs["color"][..., 0], found.inputs["color"][..., 1]
        np.testing.assert_allclose(
            red[inner], (4 * y)[2:-2, None] + 0 * x[2:-2], atol=2.5
        )
        np.testing.assert_allclose(
            green[inner], 0 * y[2:-2, None] + (4 * x)[2:-2], atol=2.5
        )
        expected = (np.floor(y + 0.5) // 6)[:, None] + 4 * (np.floor(x + 0.5) // 8)
        np.testing.assert_array_equal(found.labels["semantic"], expected)


def test_a_reduced_image_is_filled_around():
    """Oracle: half of 24 x 32 fills 12 x 16; the rest is the fill and ignored."""
    rng = np.random.default_rng(0)
    found = scaled_window(_example(), size=(20, 28), factor=0.5, fill=FILL, rng=rng)
    outside = found.labels["semantic"] == 255
    assert (~outside).sum() == 12 * 16
    assert (found.inputs["color"][outside] == (9, 8, 7)).all()
    rows, columns = np.nonzero(~outside)
    assert np.ptp(rows) == 11
    assert np.ptp(columns) == 15
    top = found.labels["semantic"][rows.min() :, columns.min() :][:12, :16]
    np.testing.assert_array_equal(top, _example().labels["semantic"][1::2, 1::2])


def test_labels_hold_no_new_id():
    """Oracle: the ids of the whole label map and 255, whatever is drawn."""
    augment = Augmentation(mirror=True, crop=(16, 20), scale=(0.4, 3.0))
    ids = set(np.unique(_example().labels["semantic"]).tolist()) | {255}
    for seed in range(30):
        found = augment(_example(), fill=FILL, rng=np.random.default_rng(seed))
        assert set(np.unique(found.labels["semantic"]).tolist()) <= ids
        assert found.labels["semantic"].shape == (16, 20)
        assert found.inputs["color"].shape == (16, 20, 3)


def test_small_images_keep_the_size_that_is_promised():
    """Oracle: `sizes`, the smaller of image and window on each axis."""
    augment = Augmentation(crop=(16, 20), scale=(0.5, 2.0))
    for size in ((8, 40), (30, 10), (5, 5)):
        stated = augment.sizes(np.array([size]))[0].tolist()
        for seed in range(10):
            rng = np.random.default_rng(seed)
            found = augment(_example(*size), fill=FILL, rng=rng)
            assert list(found.labels["semantic"].shape) == stated


def test_what_cannot_be_enlarged_is_refused():
    """Oracle: the sentence names the input, its type and the key."""
    depth = Example(
        "a",
        {"depth": np.ones((9, 9, 1), np.uint16)},
        {"semantic": np.zeros((9, 9), np.uint8)},
    )
    rng = np.random.default_rng(0)
    with pytest.raises(
        ValueError, match="the input depth is uint16; set config.data.scale"
    ):
        scaled_window(depth, size=(4, 4), factor=2.0, fill={"depth": (1,)}, rng=rng)
    with pytest.raises(ValueError, match="scale is .2.0, 1.0.; it must be two factors"):
        Augmentation(crop=(4, 4), scale=(2.0, 1.0))
    with pytest.raises(ValueError, match="needs a crop"):
        Augmentation(scale=(0.5, 2.0))
