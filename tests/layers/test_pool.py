"""Max and average pooling against loops written from Caffe's rules, and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.pool import average_pool, max_pool

WINDOWS = [
    # kernel, stride, pad: the nets' own first, then ones where the clip acts
    (2, 2, 0),
    (3, 2, 0),
    (3, 1, 1),
    (3, 2, 1),
    (2, 2, 1),
    (3, 3, 1),
    (4, 3, 2),
    (5, 4, 2),
]
SIZES = [(5, 8), (6, 7), (9, 11), (3, 5)]


def size_by_caffe(size, kernel, stride, pad):
    """Rounded up, then clipped so that the last window starts inside."""
    outputs = -(-(size + 2 * pad - kernel) // stride) + 1
    if pad > 0 and (outputs - 1) * stride >= size + pad:
        outputs -= 1
    return outputs


def max_by_loops(x, cotangent, kernel, stride, pad):
    """Caffe's MaxPoolForward and its backward: strictly greater, row-major."""
    count, height, width, channels = x.shape
    shape = [size_by_caffe(size, kernel, stride, pad) for size in (height, width)]
    y, gradient = np.zeros((count, *shape, channels)), np.zeros_like(x)
    for n, r, c, k in np.ndindex(y.shape):
        best, where = -np.inf, None
        top, left = r * stride - pad, c * stride - pad
        for i in range(max(top, 0), min(top + kernel, height)):
            for j in range(max(left, 0), min(left + kernel, width)):
                if x[n, i, j, k] > best:
                    best, where = x[n, i, j, k], (n, i, j, k)
        y[n, r, c, k] = best
        gradient[where] += cotangent[n, r, c, k]
    return y, gradient


def average_by_loops(x, cotangent, kernel, stride, pad):
    """Caffe's AVE: the divisor counts the padding, but nothing beyond it."""
    count, height, width, channels = x.shape
    shape = [size_by_caffe(size, kernel, stride, pad) for size in (height, width)]
    y, gradient = np.zeros((count, *shape, channels)), np.zeros_like(x)
    for r, c in np.ndindex(*shape):
        top, left = r * stride - pad, c * stride - pad
        bottom = min(top + kernel, height + pad)
        right = min(left + kernel, width + pad)
        divisor = (bottom - top) * (right - left)
        rows = slice(max(top, 0), min(bottom, height))
        columns = slice(max(left, 0), min(right, width))
        y[:, r, c] = x[:, rows, columns].sum(axis=(1, 2)) / divisor
        gradient[:, rows, columns] += cotangent[:, r, c, None, None] / divisor
    return y, gradient


def _check(function, oracle, x, window, tolerance):
    kernel, stride, pad = window
    with jax.enable_x64(True):
        y, pull = jax.vjp(
            lambda x: function(x, kernel=kernel, stride=stride, pad=pad),
            jnp.asarray(x),
        )
        cotangent = np.random.default_rng(1).normal(size=y.shape)
        (gradient,) = pull(jnp.asarray(cotangent))
        assert y.dtype == jnp.float64
    expected, expected_gradient = oracle(x, cotangent, kernel, stride, pad)
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("size", SIZES)
def test_max_pool_and_its_gradient_equal_loops(window, size):
    """Oracle: NumPy loops; negative values, so that a zero padding would show."""
    x = np.random.default_rng(0).normal(-3, 1, (2, *size, 2))
    _check(max_pool, max_by_loops, x, window, 0)


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
def test_gradient_of_tied_maxima_goes_to_the_first(window):
    """Oracle: NumPy loops on values drawn from {0, 1}, full of ties."""
    x = np.random.default_rng(0).integers(0, 2, (1, 9, 8, 3)).astype(np.float64)
    _check(max_pool, max_by_loops, x, window, 0)
    _check(max_pool, max_by_loops, np.zeros_like(x), window, 0)


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("size", SIZES)
def test_average_pool_and_its_gradient_equal_loops(window, size):
    """Oracle: NumPy loops with Caffe's divisor."""
    x = np.random.default_rng(0).normal(2, 1, (2, *size, 2))
    _check(average_pool, average_by_loops, x, window, 1e-12)


def test_average_of_ones_shows_the_divisor():
    """Oracle: by hand; kernel 3, stride 2, pad 1 on 4 pixels: windows of 2, 3, 1 / 2."""
    ones = jnp.ones((1, 4, 4, 1))
    row = average_pool(ones, kernel=3, stride=2, pad=1)[0, :, 1, 0]
    np.testing.assert_allclose(row, [2 / 3, 1, 1 / 2], rtol=1e-6)


def test_average_pool_of_a_padded_batch():
    """Oracle: each image alone; windows end at each image's own border."""
    sizes, canvas = ((8, 5), (3, 9), (1, 1), (9, 9)), (9, 9)
    rng = np.random.default_rng(3)
    images = [rng.normal(size=(*size, 2)) for size in sizes]
    batch = np.zeros((len(sizes), *canvas, 2))
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    with jax.enable_x64(True):
        found = average_pool(
            jnp.asarray(batch), kernel=5, stride=3, pad=2, sizes=jnp.asarray(sizes)
        )
        for row, image in zip(np.asarray(found), images, strict=True):
            alone = average_by_loops(image[None], np.ones((1, 9, 9, 2)), 5, 3, 2)[0]
            rows, columns = alone.shape[1:3]
            np.testing.assert_allclose(row[:rows, :columns], alone[0], atol=1e-14)


def test_max_pool_of_an_image_smaller_than_the_window():
    """Oracle: by hand; the one window is clipped to the image."""
    x = jnp.asarray([[-4.0, -2.0], [-3.0, -5.0]])[None, :, :, None]
    assert max_pool(x, kernel=3, stride=2).tolist() == [[[[-2.0]]]]


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("size", SIZES)
def test_max_pool_equals_torch(window, size):
    """Oracle: torch.nn.functional.max_pool2d in ceil mode, values and gradient."""
    torch = pytest.importorskip("torch", reason="the oracle is torch's max_pool2d")
    kernel, stride, pad = window
    x = np.random.default_rng(0).integers(-3, 3, (1, *size, 2)).astype(np.float32)
    y, pull = jax.vjp(
        lambda x: max_pool(x, kernel=kernel, stride=stride, pad=pad), jnp.asarray(x)
    )
    image = torch.tensor(x).permute(0, 3, 1, 2).contiguous().requires_grad_()
    pooled = torch.nn.functional.max_pool2d(image, kernel, stride, pad, ceil_mode=True)
    cotangent = np.random.default_rng(1).normal(size=pooled.shape).astype(np.float32)
    pooled.backward(torch.tensor(cotangent))
    np.testing.assert_array_equal(y, pooled.detach().permute(0, 2, 3, 1).numpy())
    (ours,) = pull(jnp.asarray(cotangent.transpose(0, 2, 3, 1)))
    theirs = image.grad.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_max_pool_with_gaps_between_windows_has_a_gradient():
    """Oracle: NumPy loops; kernel 1, stride 2 leaves the last row unread."""
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 1))
    with jax.enable_x64(True):
        gradient = jax.grad(lambda x: max_pool(x, kernel=1, stride=2).sum())(
            jnp.asarray(x)
        )
    expected = np.zeros_like(x)
    expected[:, ::2, ::2] = 1
    np.testing.assert_array_equal(gradient, expected)
