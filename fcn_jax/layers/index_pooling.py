"""Max pooling as the maximum of strided slices, with a gradient by index.

The maximum over a window of k x k taps is the elementwise maximum of k x k strided
slices of the map, one a tap. Training also keeps, in a byte an output pixel, which
tap is the first maximum in row-major order:

    index[p] = min {t : x[stride p + t - pad] = y[p]}.

The gradient of input pixel q is then a sum over the windows that see it, at most
ceil(k / stride) ** 2 of them, in row-major order as XLA adds them:

    dx[q] = sum_p [index[p] = q + pad - stride p] dy[p].

The pixels of a cell of stride x stride see, by their place in the cell, one tap each
of the cell's own window and of those before it: a comparison and a choice for each of
these windows, in one pass over dx. Neither x nor y is kept for the gradient.

XLA's own gradient is a search and a scatter: on a CPU it is slower, on a GPU it moves
more bytes, and adds in no fixed order or, to be deterministic, sorts.

Error: none; values and gradients of finite maps equal XLA's bit by bit. A
window that holds a NaN has NaN as maximum, as in XLA, and gives its gradient
to its last tap.
"""

from collections.abc import Iterator
from functools import partial, reduce
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from fcn_jax.layers.geometry import Window

LARGEST_KERNEL = 5
"""Every tap is an operation of its own: windows beyond this compile slowly."""


def applies(x: Array, window: Window) -> bool:
    """Tell whether this form is meant for a map `[N, H, W, C]` and a window."""
    sizes = (window.size(size) for size in x.shape[1:3])
    return window.kernel <= LARGEST_KERNEL and all(size > 0 for size in sizes)


def max_pool(x: Array, window: Window) -> Array:
    """Compute what `pool.reference_max_pool` defines.

    Args:
        x: `[N, H, W, C]` floating point.
        window: the pooling window.

    Returns:
        `[N, H', W', C]` in the dtype of `x`.
    """
    return _max_pool(window, x.shape[1:3], x)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _max_pool(window: Window, size: tuple[int, int], x: Array) -> Array:
    del size
    return reduce(jnp.maximum, (values for _, values in _taps(x, window)))


def _forward(window: Window, size: tuple[int, int], x: Array) -> tuple[Array, Array]:
    del size
    taps = list(_taps(x, window))
    y = reduce(jnp.maximum, (values for _, values in taps))
    index = jnp.full(y.shape, taps[-1][0], jnp.int8)
    for number, values in reversed(taps[:-1]):
        index = jnp.where(values == y, jnp.int8(number), index)
    return y, index


def _backward(
    window: Window, size: tuple[int, int], index: Array, dy: Array
) -> tuple[Array]:
    return (_spread(index, dy, window, size),)


_max_pool.defvjp(_forward, _backward)


def _taps(x: Array, window: Window) -> Iterator[tuple[int, Array]]:
    """Yield the number of each tap, row-major, and its value in every window.

    A tap outside the map is minus infinity. Overlapping windows read a padded copy
    of the map; disjoint ones pad each slice, which then fuses with the maximum.
    """
    taps, stride, pad = window.kernel, window.stride, window.pad
    outputs = [window.size(size) for size in x.shape[1:3]]
    lowest = np.array(-np.inf, x.dtype)
    if taps > stride:
        borders = [
            (pad, (count - 1) * stride + taps - size - pad, 0)
            for count, size in zip(outputs, x.shape[1:3], strict=True)
        ]
        x, pad = lax.pad(x, lowest, ((0, 0, 0), *borders, (0, 0, 0))), 0
    for number, tap in enumerate(product(range(taps), repeat=2)):
        ranges = [
            _windows_inside(offset - pad, size, count, stride)
            for offset, size, count in zip(tap, x.shape[1:3], outputs, strict=True)
        ]
        if any(first > last for first, last in ranges):
            continue
        (top, bottom), (left, right) = [
            (first * stride + offset - pad, last * stride + offset - pad + 1)
            for (first, last), offset in zip(ranges, tap, strict=True)
        ]
        values = x[:, top:bottom:stride, left:right:stride]
        outside = [
            (first, count - 1 - last, 0)
            for (first, last), count in zip(ranges, outputs, strict=True)
        ]
        yield number, lax.pad(values, lowest, ((0, 0, 0), *outside, (0, 0, 0)))


def _windows_inside(offset: int, size: int, count: int, stride: int) -> tuple[int, int]:
    """Find the first and last of `count` windows whose tap at `offset` is on the map."""
    return -(min(offset, 0) // stride), min(count - 1, (size - 1 - offset) // stride)


def _spread(index: Array, dy: Array, window: Window, size: tuple[int, int]) -> Array:
    """Spread the gradient of the maxima over the map: `[N, *size, C]` of its dtype."""
    stride, zero = window.stride, np.array(0, dy.dtype)
    further = -(-window.kernel // stride) - 1
    rows, columns = (count + further for count in dy.shape[1:3])
    around = ((0, 0, 0), (further, further, 0), (further, further, 0), (0, 0, 0))
    index, dy = lax.pad(index, np.int8(-1), around), lax.pad(dy, zero, around)
    dx = jnp.zeros((len(dy), rows, stride, columns, stride, dy.shape[3]), dy.dtype)
    for down, right in product(range(further + 1), repeat=2):
        near = np.s_[:, down : down + rows, None, right : right + columns, None]
        taps = _taps_of_phases(window, further - down, further - right)
        dx += jnp.where(index[near] == taps, dy[near], zero)
    dx = dx.reshape(len(dy), rows * stride, columns * stride, dy.shape[3])
    borders = [
        (-window.pad, length + window.pad - extent, 0)
        for length, extent in zip(size, dx.shape[1:3], strict=True)
    ]
    return lax.pad(dx, zero, ((0, 0, 0), *borders, (0, 0, 0)))


def _taps_of_phases(window: Window, up: int, left: int) -> np.ndarray:
    """Return the tap by which a cell's phases lie in a window: `[1, 1, s, 1, s, 1] int8`.

    The window is the cell's, moved `up` and `left` by so many strides; -2 where
    it does not reach the phase.
    """
    phase = np.arange(window.stride)
    i, j = phase[:, None] + up * window.stride, phase[None, :] + left * window.stride
    inside = (i < window.kernel) & (j < window.kernel)
    taps = np.where(inside, i * window.kernel + j, -2).astype(np.int8)
    return taps[None, None, :, None, :, None]
