"""Transposed convolution on a CPU: one matrix product, then phases become pixels.

Output pixel s p + a (stride s, phase a = 0 .. s - 1) of

    y[s i + u, d] += x[i, c] kernel[u, c, d]

sees input pixels p, p - 1, ..., p - m + 1 with m = ceil(k / s), through the taps
a, a + s, ..., a + (m - 1) s, where the kernel is zero beyond its k taps (odd bilinear
kernels have k = 2 s - 1). In two dimensions all s * s phases of a cell (p, q) are one
product of its m * m input pixels

    [N P Q, m m C] x [m m C, s s D],

a fraction 1 / (s s) of the multiplications that XLA does on an input widened
by zeros. Only the cells that the kept window touches are computed. Gradients follow by
transposing each step, which are products and rearrangements of the same size.

Error: that of one sum of m m C products, in another order than XLA's.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax


def transposed_convolution(
    x: Array, kernel: Array, *, stride: int, start: int, size: tuple[int, int]
) -> Array:
    """Compute what `upsample.reference_transposed_convolution` defines.

    Args:
        x: `[N, H, W, C]` float32 or float64.
        kernel: `[k, k, C, D]` float32 or float64, not flipped.
        stride: upsampling factor.
        start: first row and column to keep of the full result.
        size: rows and columns to keep.

    Returns:
        `[N, size[0], size[1], D]`.
    """
    taps = -(-kernel.shape[0] // stride)
    first = start // stride
    rows, columns = (-(-(start + kept) // stride) - first for kept in size)
    seen = _seen_pixels(x, taps, first, (rows, columns))
    phases = jnp.dot(seen, _phase_weights(kernel, taps, stride))
    phases = phases.reshape(len(x), rows, columns, stride, stride, kernel.shape[3])
    y = phases.transpose(0, 1, 3, 2, 4, 5)
    y = y.reshape(len(x), rows * stride, columns * stride, kernel.shape[3])
    start -= first * stride
    return y[:, start : start + size[0], start : start + size[1]]


def _seen_pixels(x: Array, taps: int, first: int, cells: tuple[int, int]) -> Array:
    """Gather `[N P Q, m m C]`: the input pixels that each cell from `first` on sees."""
    before = taps - 1 - first
    borders = [
        (before, first + count - length, 0)
        for length, count in zip(x.shape[1:3], cells, strict=True)
    ]
    x = lax.pad(x, np.array(0, x.dtype), ((0, 0, 0), *borders, (0, 0, 0)))
    rows, columns = cells
    pixels = [
        x[:, down : down + rows, right : right + columns]
        for down in reversed(range(taps))
        for right in reversed(range(taps))
    ]
    return jnp.concatenate(pixels, axis=-1).reshape(-1, taps * taps * x.shape[3])


def _phase_weights(kernel: Array, taps: int, stride: int) -> Array:
    """Arrange the kernel's taps by input pixel and by phase: `[m m C, s s D]`."""
    size, _, channels, features = kernel.shape
    missing = (0, taps * stride - size)
    kernel = jnp.pad(kernel, (missing, missing, (0, 0), (0, 0)))
    kernel = kernel.reshape(taps, stride, taps, stride, channels, features)
    kernel = kernel.transpose(0, 2, 4, 1, 3, 5)
    return kernel.reshape(taps * taps * channels, stride * stride * features)
