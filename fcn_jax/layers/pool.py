"""Max and average pooling with Caffe's rounding and clip rules, channels last.

Caffe rounds the output size up and then drops a last window that would start
beyond the image and its left padding (`geometry.Window`). Max windows are clipped
to the image; the divisor of an average counts the padding, but nothing beyond it.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from fcn_jax.layers import index_pooling
from fcn_jax.layers.geometry import Window, smaller

SMALL_MAP = 2**17
"""Values up to which the reference form, which compiles sooner, is fast enough on a CPU."""
CPU_DTYPES = (np.float32, np.float64)
"""Of maps that the form by index is faster for on a CPU."""


def max_pool(x: Array, *, kernel: int, stride: int, pad: int = 0) -> Array:
    """Apply Caffe's Pooling layer, MAX.

    The gradient goes to the first maximum of each window in row-major order, as
    Caffe's does. That matters: after a ReLU, ties at zero are common.

    Args:
        x: `[N, H, W, C]` floating point.
        kernel: window size in pixels.
        stride: step of the window in pixels.
        pad: pixels of minus infinity added on each side.

    Returns:
        `[N, H', W', C]` with H', W' from `geometry.Window("pooling", ...)`.
    """
    window = Window("pooling", kernel, stride, pad)
    reference = partial(reference_max_pool, window=window)
    if not index_pooling.applies(x, window):
        return reference(x)
    by_index = partial(index_pooling.max_pool, window=window)
    if x.size >= SMALL_MAP and x.dtype in CPU_DTYPES:
        return lax.platform_dependent(x, tpu=reference, default=by_index)
    return lax.platform_dependent(x, cuda=by_index, rocm=by_index, default=reference)


def reference_max_pool(x: Array, window: Window) -> Array:
    """Compute `max_pool` by its definition in `jax.lax`.

    Args:
        x: `[N, H, W, C]` floating point.
        window: kernel, stride and padding.

    Returns:
        `[N, H', W', C]`.
    """
    kernel, stride = window.kernel, window.stride
    padding = _padding(x.shape, kernel, stride, window.pad)
    # Windows that leave gaps may end before the image does: cut what none covers.
    x = lax.slice(x, (0, 0, 0, 0), _covered(x.shape, padding))
    padding = [(low, max(high, 0)) for low, high in padding]
    return lax.reduce_window(
        x,
        np.array(-np.inf, x.dtype),
        lax.max,
        window_dimensions=(1, kernel, kernel, 1),
        window_strides=(1, stride, stride, 1),
        padding=((0, 0), *padding, (0, 0)),
    )


def average_pool(
    x: Array, *, kernel: int, stride: int, pad: int = 0, sizes: Array | None = None
) -> Array:
    """Apply Caffe's Pooling layer, AVE.

    Each sum is divided by the part of its window that lies inside the padded image.

    Args:
        x: `[N, H, W, C]` floating point, zero outside the images.
        kernel: window size in pixels.
        stride: step of the window in pixels.
        pad: zeros added on each side.
        sizes: `[N, 2]` integers, rows and columns of each image; None if all have H, W.

    Returns:
        `[N, H', W', C]` with H', W' as in `max_pool`.
    """
    rows, columns = _padding(x.shape, kernel, stride, pad)
    total = lax.reduce_window(
        x,
        np.array(0, x.dtype),
        lax.add,
        window_dimensions=(1, kernel, kernel, 1),
        window_strides=(1, stride, stride, 1),
        padding=((0, 0), rows, columns, (0, 0)),
    )
    if sizes is None:
        sizes = np.array([x.shape[1:3]])
    rows, columns = (
        _counts(sizes[:, axis], total.shape[1 + axis], kernel, stride, pad)
        for axis in (0, 1)
    )
    counts = rows[:, :, None, None] * columns[:, None, :, None]
    return total / jnp.asarray(counts, x.dtype)


def _padding(
    shape: tuple[int, ...], kernel: int, stride: int, pad: int
) -> list[tuple[int, int]]:
    """Return the (low, high) padding of rows and columns that gives Caffe's output size.

    `high` is negative where the clip rule drops trailing pixels of a window row.
    """
    window = Window("pooling", kernel, stride, pad)
    covered = [(window.size(size) - 1) * stride + kernel for size in shape[1:3]]
    return [
        (pad, reach - size - pad)
        for reach, size in zip(covered, shape[1:3], strict=True)
    ]


def _covered(
    shape: tuple[int, ...], padding: list[tuple[int, int]]
) -> tuple[int, int, int, int]:
    """Return the shape without the trailing rows and columns that no window reaches."""
    (_, below), (_, right) = padding
    return shape[0], shape[1] + min(below, 0), shape[2] + min(right, 0), shape[3]


def _counts(sizes: Any, outputs: int, kernel: int, stride: int, pad: int) -> Any:
    """Return each window's divisor along one axis: its pixels inside the padded image.

    Args:
        sizes: `[N]`, extent of each image.
        outputs: number of windows on the canvas.
        kernel: size of a window.
        stride: step of the window.
        pad: zeros added on each side.

    Returns:
        `[N, outputs]`, 1 at least: for windows beyond an image, too.
    """
    start = np.arange(outputs, dtype=sizes.dtype)[None, :] * stride - pad
    stop = smaller((sizes + pad)[:, None], start + kernel)
    return -smaller(start - stop, -1)
