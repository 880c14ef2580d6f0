"""Transposed convolution against NumPy loops and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.conv import convolution
from fcn_jax.layers.upsample import transposed_convolution


def transposed_by_loops(x, kernel, cotangent, stride, pad):
    """Value and gradients (image, kernel), input pixel by input pixel; Caffe's pad."""
    taps, features = kernel.shape[0], kernel.shape[3]
    count, height, width, _ = x.shape
    full = [stride * (length - 1) + taps for length in (height, width)]
    y = np.zeros((count, *full, features))
    spread = np.zeros_like(y)
    if cotangent is not None:
        spread[:, pad : full[0] - pad, pad : full[1] - pad] = cotangent
    image_gradient, kernel_gradient = np.zeros_like(x), np.zeros_like(kernel)
    for i, j, u, v in np.ndindex(height, width, taps, taps):
        at = (slice(None), stride * i + u, stride * j + v)
        y[at] += x[:, i, j] @ kernel[u, v]
        image_gradient[:, i, j] += spread[at] @ kernel[u, v].T
        kernel_gradient[u, v] += x[:, i, j].T @ spread[at]
    y = y[:, pad : full[0] - pad, pad : full[1] - pad]
    return y, (image_gradient, kernel_gradient)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [(4, 2, 0), (3, 2, 0), (5, 3, 1), (2, 3, 0), (3, 1, 1)]
)
def test_transposed_convolution_and_its_gradients_equal_loops(kernel, stride, pad):
    """Oracle: NumPy loops over a random kernel, so that a flip would fail."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 4, 5, 3))
    weights = rng.normal(size=(kernel, kernel, 3, 2))
    with jax.enable_x64(True):
        y, pull = jax.vjp(
            lambda x, k: transposed_convolution(
                x,
                k,
                stride=stride,
                start=pad,
                size=(stride * 3 + kernel - 2 * pad, stride * 4 + kernel - 2 * pad),
            ),
            jnp.asarray(x),
            jnp.asarray(weights),
        )
        cotangent = rng.normal(size=y.shape)
        gradients = pull(jnp.asarray(cotangent))
    expected, expected_gradients = transposed_by_loops(
        x, weights, cotangent, stride, pad
    )
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (16, 8), (7, 4)])
def test_transposed_convolution_equals_torch(kernel, stride):
    """Oracle: torch.nn.functional.conv_transpose2d with a random dense kernel."""
    torch = pytest.importorskip("torch", reason="the oracle is torch's transpose")
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1, 5, 4, 3)).astype(np.float32)
    weights = rng.normal(size=(kernel, kernel, 3, 3)).astype(np.float32)
    ours = transposed_convolution(jnp.asarray(x), jnp.asarray(weights), stride=stride)
    theirs = torch.nn.functional.conv_transpose2d(
        torch.tensor(x).permute(0, 3, 1, 2),
        torch.tensor(weights).permute(2, 3, 0, 1),
        stride=stride,
    )
    expected = theirs.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_transposed_convolution_is_the_transpose_of_convolution():
    """Oracle: <conv(y), x> = <y, transposed(x)>, with in and out channels swapped."""
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.normal(size=(1, 4, 6, 2)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(5, 5, 2, 3)), jnp.float32)
    y = transposed_convolution(x, kernel, stride=2)
    other = jnp.asarray(rng.normal(size=y.shape), jnp.float32)
    back = convolution(other, kernel.transpose(0, 1, 3, 2), stride=2)
    assert float((back * x).sum()) == pytest.approx(float((y * other).sum()), rel=1e-4)
