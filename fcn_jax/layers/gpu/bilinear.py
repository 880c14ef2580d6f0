"""Bilinear upsampling on a GPU: every pixel from its few neighbours, in one pass.

Output pixel s p + a (stride s, phase a = 0 .. s - 1) along one axis is

    y[s p + a] = sum_b t[a + b s] x[p - b],    b = 0 .. m - 1,  m = ceil(k / s),

with the k bilinear taps t, zero beyond them; m is 2. In two dimensions that is a sum of
m * m products for each pixel, which XLA computes where the result is needed. As matrix
products, which a CPU is fast at, the map would be rearranged before and after, and some
of these products have shapes that XLA's compiler for GPUs refuses.

The gradient sums along the columns of a cell first, then along its rows.

Error: that of one sum of m * m products, in another order than the matrices'.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax


def upsample(
    x: Array, taps: np.ndarray, *, stride: int, start: int, size: tuple[int, int]
) -> Array:
    """Compute what `upsample.bilinear_upsample` defines.

    Args:
        x: `[N, H, W, C]` floating point.
        taps: `[k]`, one axis of the kernel.
        stride: upsampling factor.
        start: first row and column to keep of the full result.
        size: rows and columns to keep.

    Returns:
        `[N, size[0], size[1], C]` in the dtype of `x`.
    """
    return _upsample(x, tuple(taps.tolist()), stride, start, size, x.shape[1:3])


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4, 5))
def _upsample(
    x: Array,
    taps: tuple[float, ...],
    stride: int,
    start: int,
    size: tuple[int, int],
    extent: tuple[int, int],
) -> Array:
    weights = _by_phase(taps, stride)
    first, rows, columns = _cells(stride, start, size)
    reach = len(weights) - 1
    around = [
        (reach - first, first + cells - length, 0)
        for length, cells in zip(extent, (rows, columns), strict=True)
    ]
    x = lax.pad(x, np.array(0, x.dtype), ((0, 0, 0), *around, (0, 0, 0)))
    y = jnp.zeros((), x.dtype)
    for up, down_taps in enumerate(weights):
        for left, right_taps in enumerate(weights):
            top, side = reach - up, reach - left
            seen = x[:, top : top + rows, side : side + columns]
            plane = jnp.asarray(np.outer(down_taps, right_taps), x.dtype)
            y += seen[:, :, None, :, None] * plane[None, None, :, None, :, None]
    y = y.reshape(len(x), rows * stride, columns * stride, -1)
    before = start - first * stride
    return y[:, before : before + size[0], before : before + size[1]]


def _forward(
    x: Array,
    taps: tuple[float, ...],
    stride: int,
    start: int,
    size: tuple[int, int],
    extent: tuple[int, int],
) -> tuple[Array, None]:
    return _upsample(x, taps, stride, start, size, extent), None


def _backward(
    taps: tuple[float, ...],
    stride: int,
    start: int,
    size: tuple[int, int],
    extent: tuple[int, int],
    _: None,
    dy: Array,
) -> tuple[Array]:
    first, rows, columns = _cells(stride, start, size)
    before = start - first * stride
    around = [
        (before, cells * stride - kept - before, 0)
        for kept, cells in zip(size, (rows, columns), strict=True)
    ]
    dy = lax.pad(dy, np.array(0, dy.dtype), ((0, 0, 0), *around, (0, 0, 0)))
    weights = _by_phase(taps, stride)
    for axis, length in ((2, extent[1]), (1, extent[0])):
        dy = _summed(dy, weights, axis, first, length)
    return (dy,)


_upsample.defvjp(_forward, _backward)


def _summed(
    dy: Array, weights: np.ndarray, axis: int, first: int, length: int
) -> Array:
    """Sum the cells along an axis of `[N, H, W, C]` into the `length` pixels they see."""
    shape = (*dy.shape[:axis], -1, weights.shape[1], *dy.shape[axis + 1 :])
    cells = dy.reshape(shape)
    dx = jnp.zeros((), dy.dtype)
    for back, own in enumerate(weights):
        factors = np.expand_dims(own, tuple(range(1, len(shape) - axis - 1)))
        factors = jnp.asarray(factors[(None,) * (axis + 1)], dy.dtype)
        sums = (cells * factors).sum(axis=axis + 1)
        low = first - back
        around = [(0, 0, 0)] * 4
        around[axis] = (low, length - low - sums.shape[axis], 0)
        dx += lax.pad(sums, np.array(0, dy.dtype), around)
    return dx


def _by_phase(taps: tuple[float, ...], stride: int) -> np.ndarray:
    """Return the taps `[m, s]`: of the pixel b cells before, for each phase."""
    count = -(-len(taps) // stride)
    padded = np.zeros(count * stride)
    padded[: len(taps)] = taps
    return padded.reshape(count, stride)


def _cells(stride: int, start: int, size: tuple[int, int]) -> tuple[int, int, int]:
    """Return the first cell of the kept window, and its cells along rows and columns."""
    first = start // stride
    rows, columns = (-(-(start + kept) // stride) - first for kept in size)
    return first, rows, columns
