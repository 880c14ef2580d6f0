"""Convolution against NumPy loops and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.conv import convolution

CASES = [
    # height, width, channels, features, kernel, stride, pad, dilation, groups
    (7, 9, 3, 4, 3, 1, 1, 1, 1),
    (8, 5, 2, 6, 5, 1, 2, 1, 2),
    (13, 12, 3, 2, 4, 3, 0, 1, 1),
    (6, 6, 6, 9, 3, 2, 4, 1, 3),
    (9, 10, 2, 3, 3, 1, 2, 2, 1),
    (11, 9, 4, 4, 2, 2, 3, 3, 4),
    (3, 4, 5, 2, 1, 1, 0, 1, 1),
]
ONE_PIXEL = (1, 1, 2, 3, 3, 1, 100, 1, 1)


def convolution_by_loops(x, kernel, bias, cotangent, stride, pad, dilation, groups):
    """Value and gradients (image, kernel, bias), window by window."""
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    taps, inner, features = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    reach = dilation * (taps - 1) + 1
    rows = (padded.shape[1] - reach) // stride + 1
    columns = (padded.shape[2] - reach) // stride + 1
    y = np.zeros((len(x), rows, columns, features))
    if cotangent is None:
        cotangent = np.zeros_like(y)
    image_gradient, kernel_gradient = np.zeros_like(padded), np.zeros_like(kernel)
    for r, c, u, v, d in np.ndindex(rows, columns, taps, taps, features):
        first = d // (features // groups) * inner
        at = (
            slice(None),
            stride * r + dilation * u,
            stride * c + dilation * v,
            slice(first, first + inner),
        )
        y[:, r, c, d] += padded[at] @ kernel[u, v, :, d]
        own = cotangent[:, r, c, d, None]
        image_gradient[at] += own * kernel[u, v, :, d]
        kernel_gradient[u, v, :, d] += (own * padded[at]).sum(axis=0)
    height, width = x.shape[1:3]
    image_gradient = image_gradient[:, pad : pad + height, pad : pad + width]
    gradients = image_gradient, kernel_gradient, cotangent.sum(axis=(0, 1, 2))
    return y + bias, gradients


def _draw(case):
    height, width, channels, features, kernel, *_, groups = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, height, width, channels))
    w = rng.normal(size=(kernel, kernel, channels // groups, features))
    return rng, x, w, rng.normal(size=features)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_convolution_and_its_gradients_equal_loops(case):
    """Oracle: NumPy, window by window."""
    stride, pad, dilation, groups = case[5:]
    rng, x, kernel, bias = _draw(case)
    settings = {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups}
    with jax.enable_x64(True):
        y, pull = jax.vjp(
            lambda *arguments: convolution(*arguments, **settings),
            *map(jnp.asarray, (x, kernel, bias)),
        )
        cotangent = rng.normal(size=y.shape)
        gradients = pull(jnp.asarray(cotangent))
        assert y.dtype == jnp.float64
    expected, expected_gradients = convolution_by_loops(
        x, kernel, bias, cotangent, stride, pad, dilation, groups
    )
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("case", [*CASES, ONE_PIXEL])
def test_convolution_equals_torch(case):
    """Oracle: torch.nn.functional.conv2d in float32."""
    torch = pytest.importorskip("torch", reason="the oracle is torch's conv2d")
    stride, pad, dilation, groups = case[5:]
    _, *arrays = _draw(case)
    x, kernel, bias = (array.astype(np.float32) for array in arrays)
    ours = convolution(
        *map(jnp.asarray, (x, kernel, bias)),
        stride=stride,
        pad=pad,
        dilation=dilation,
        groups=groups,
    )
    theirs = torch.nn.functional.conv2d(
        torch.tensor(x).permute(0, 3, 1, 2),
        torch.tensor(kernel).permute(3, 2, 0, 1),
        torch.tensor(bias),
        stride,
        pad,
        dilation,
        groups,
    )
    expected = theirs.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_convolution_without_bias():
    """Oracle: the same convolution with a bias of zero."""
    _, x, kernel, _ = _draw(CASES[0])
    arrays = jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)
    np.testing.assert_array_equal(
        convolution(*arrays), convolution(*arrays, jnp.zeros(4))
    )
