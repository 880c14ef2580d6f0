"""Winograd's convolution against its algebra, the library's and NumPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers import reference
from fcn_jax.layers.cpu import winograd
from fcn_jax.layers.reference import ConvSpec

CASES = [
    # images, height, width, channels, features, pad
    (1, 1, 1, 2, 3, 1),
    (2, 4, 4, 3, 5, 1),
    (3, 5, 11, 4, 2, 2),
    (1, 9, 6, 5, 3, 0),
    (2, 13, 7, 2, 4, 3),
]
LIMITS = {
    "one band": {},
    "bands of one row": {"BAND": 1, "MOST_BANDS": 99},
    "two bands": {"BAND": 1, "MOST_BANDS": 2},
}


def _draw(case, dtype):
    images, height, width, channels, features, pad = case
    rng = np.random.default_rng(sum(case))
    x = rng.normal(size=(images, height, width, channels))
    kernel = rng.normal(size=(3, 3, channels, features))
    rows, columns = height + 2 * pad - 2, width + 2 * pad - 2
    grad = rng.normal(size=(images, rows, columns, features))
    return tuple(jnp.asarray(a, dtype) for a in (x, kernel, grad))


def test_four_values_of_a_filter_of_three_taps():
    """Oracle: the filter's definition, y_i = sum_u d_{i + u} g_u."""
    rng = np.random.default_rng(0)
    d, g = rng.normal(size=6), rng.normal(size=3)
    own = winograd.AT @ ((winograd.G @ g) * (winograd.BT @ d))
    expected = [d[i : i + 3] @ g for i in range(4)]
    np.testing.assert_allclose(own, expected, rtol=0, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("case", [*CASES, (1, 19, 8, 2, 2, 1)])
def test_values_and_gradients_in_double_precision(case, limits, monkeypatch):
    """Oracle: the library's convolution and its automatic gradients."""
    for name, value in LIMITS[limits].items():
        monkeypatch.setattr(winograd, name, value)
    pad = case[-1]
    with jax.enable_x64(True):
        x, kernel, grad = _draw(case, np.float64)
        expected = reference.convolve(x, kernel, ConvSpec(pad=pad))
        expected_gradients = reference.gradients(x, kernel, grad, ConvSpec(pad=pad))
        own = winograd.convolve(x, kernel, pad)
        gradients = winograd.gradients(x, kernel, grad, pad)
    np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)
    for mine, theirs in zip(gradients, expected_gradients, strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)


def test_bands_are_whole_tiles_with_enough_work():
    """Oracle: counted by hand from the sizes of VGG16 on 500 x 500 pixels."""

    def bands(outputs, channels, features):
        side = 4 * (-(-outputs // 4) + 1)
        padded = jnp.zeros((1, side, side, channels))
        return winograd._bands(padded, jnp.zeros((3, 3, channels, features)))

    # 32 x 32 tiles of 256 channels: 2^20 / 6 / 256 = 682 of 1024 fit.
    assert bands(125, 256, 256) == [(0, 64), (64, 128)]
    # 16 x 16 tiles of 512 channels: 341 fit.
    assert bands(63, 512, 512) == [(0, 64)]
    # 24 x 24 tiles of 512 channels do not, but are not twice the 512 features.
    assert bands(94, 512, 512) == [(0, 96)]
    # 125 x 125 tiles would be 125 bands, each with 8 rows instead of 1.
    assert len(bands(500, 512, 64)) == 16
    assert bands(500, 512, 64)[0] == (0, 32)


@pytest.mark.slow
def test_rounding_in_single_precision_with_many_channels():
    """Oracle: the library in float64; the bound of the module's docstring."""
    case = (1, 18, 21, 512, 64, 1)
    with jax.enable_x64(True):
        x, kernel, grad = _draw(case, np.float64)
        x = jax.nn.relu(x)
        exact = (
            reference.convolve(x, kernel, ConvSpec(pad=1)),
            *reference.gradients(x, kernel, grad, ConvSpec(pad=1)),
        )
        x, kernel, grad = (a.astype(jnp.float32) for a in (x, kernel, grad))
        own = (
            winograd.convolve(x, kernel, 1),
            *winograd.gradients(x, kernel, grad, 1),
        )
        for mine, theirs in zip(own, exact, strict=True):
            assert mine.dtype == jnp.float32
            error = np.abs(np.asarray(mine, np.float64) - theirs).max()
            assert error < 3e-5 * theirs.std()


@pytest.mark.slow
def test_transposed_gradients_are_adjoint():
    """Oracle: <conv(x, k), g> is linear in x and in k: both inner products agree."""
    with jax.enable_x64(True):
        x, kernel, grad = _draw((2, 7, 10, 3, 4, 1), np.float64)
        value = jnp.vdot(winograd.convolve(x, kernel, 1), grad)
        for_x, for_kernel = winograd.gradients(x, kernel, grad, 1)
        np.testing.assert_allclose(jnp.vdot(for_x, x), value, rtol=1e-12)
        np.testing.assert_allclose(jnp.vdot(for_kernel, kernel), value, rtol=1e-12)
