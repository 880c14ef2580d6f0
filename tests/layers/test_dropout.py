"""Dropout: its probability, its scale, and a mask that belongs to the image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers import dropout as module

dropout = jax.jit(module.dropout)
"""The rate is traced, so that one compilation serves all rates."""


def _keys(seed, count):
    return jax.random.split(jax.random.key(seed), count)


@pytest.mark.parametrize("rate", [0.5, 0.4, 0.1])
def test_kept_share_and_scale(rate):
    """Oracle: binomial distribution, five standard deviations; scale 1 / (1 - rate)."""
    x = jnp.full((4, 16, 16, 32), 3.0)
    y = np.asarray(dropout(x, _keys(0, 4), rate=rate))
    kept = y != 0
    assert kept.size > 10_000
    deviation = (rate * (1 - rate) / kept.size) ** 0.5
    assert abs(kept.mean() - (1 - rate)) < 5 * deviation
    np.testing.assert_allclose(y[kept], 3 / (1 - rate), rtol=1e-6)


def test_mask_has_no_pattern():
    """Oracle: independent coins; rows, columns, channels, images agree half of the time."""
    mask = np.asarray(dropout(jnp.ones((4, 16, 16, 32)), _keys(1, 4), rate=0.5)) != 0
    for axis in range(4):
        ahead = np.delete(mask, 0, axis)
        behind = np.delete(mask, -1, axis)
        agree = (ahead == behind).mean()
        assert abs(agree - 0.5) < 5 * (0.25 / ahead.size) ** 0.5
    assert not (mask == mask.transpose(0, 2, 1, 3)).all()


def test_mask_depends_on_the_image_s_key_alone():
    """Oracle: the same image alone, elsewhere in the batch, on a larger canvas."""
    keys = _keys(2, 3)
    alone = np.asarray(dropout(jnp.ones((1, 5, 4, 6)), keys[1:2], rate=0.5))[0]
    batch = np.asarray(dropout(jnp.ones((3, 5, 4, 6)), keys, rate=0.5))
    turned = np.asarray(dropout(jnp.ones((3, 5, 4, 6)), keys[::-1], rate=0.5))
    canvas = np.asarray(dropout(jnp.ones((3, 9, 7, 6)), keys, rate=0.5))
    np.testing.assert_array_equal(batch[1], alone)
    np.testing.assert_array_equal(turned, batch[::-1])
    np.testing.assert_array_equal(canvas[1, :5, :4], alone)
    assert (batch[0] != batch[1]).any()


def test_gradient_passes_where_features_are_kept():
    """Oracle: dropout is linear; its gradient is the mask over the kept share."""
    x = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (1, 5, 4, 6)), jnp.float32)
    keys = _keys(3, 1)
    y, pull = jax.vjp(lambda x: dropout(x, keys, rate=0.25), x)
    (gradient,) = pull(jnp.ones_like(y))
    expected = np.where(np.asarray(y) != 0, 1 / 0.75, 0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    np.testing.assert_allclose(y, np.asarray(x) * expected, rtol=1e-6)


def test_rate_zero_keeps_everything():
    """Oracle: the input; bfloat16 stays bfloat16."""
    x = jnp.ones((1, 3, 3, 4), jnp.bfloat16)
    y = module.dropout(x, _keys(4, 1), rate=0.0)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y.astype(jnp.float32), x.astype(jnp.float32))


def test_masks_do_not_depend_on_x64():
    """Oracle: bit for bit those without it, at rates that float32 rounds."""
    x = np.ones((2, 5, 4, 300), np.float32)
    for rate in (0.1, 0.4, 0.5, 0.7):
        masks = []
        for wide in (False, True):
            with jax.enable_x64(wide):
                keys = jax.random.split(jax.random.key(3), 2)
                masks.append(np.asarray(dropout(jnp.asarray(x), keys, rate=rate)))
        np.testing.assert_array_equal(*masks)


def test_whole_channels_are_dropped():
    """Oracle: dropout after the average over pixels, as Caffe's GoogLeNet has it."""
    x = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (3, 7, 7, 64)), jnp.float32)
    keys = _keys(4, 3)
    found = module.dropout(x, keys, rate=0.4, channels=True).mean(axis=(1, 2))
    after = module.dropout(
        x.mean(axis=(1, 2), keepdims=True), keys, rate=0.4, channels=True
    )
    np.testing.assert_allclose(found, after[:, 0, 0], rtol=1e-5)
    kept = np.asarray(found) != 0
    assert abs(kept.mean() - 0.6) < 5 * (0.24 / kept.size) ** 0.5
    assert (kept[0] != kept[1]).any()
