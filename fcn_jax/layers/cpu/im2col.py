"""Convolution as matrix products over shifted views of the input.

With stride 1 and zero padding, `y[t] = sum over taps u of x[t + u] k[u]`, a product of
matrices for each tap. Written with the taps side by side ("im2col": `[pixels, taps C]`)
it is a single product, which suits windows with many channels (fc6: 49 taps of 512) and
windows with few (the 27 values that a first layer sees). The gradients are the products
transposed: the kernel's takes the same columns; the input's adds each tap's product
where it came from.

Where a large window stands in padding on a small map, much of the columns is zero (38 %
for fc6 with a padding of 3 on 8 x 8). Then it is a product for each tap, of the pixels
alone whose tap is on the map, each added where it belongs.

A stride s is a stride of 1 over blocks of s x s pixels, whose channels are the block's:
the kernel is extended by zeros to whole blocks. All of this is the definition itself in
another order of summation: errors are those of rounding, about 1e-6 in float32.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

Box = tuple[slice, slice, slice]
"""Images, rows and columns."""

BAND = 2**18
"""Values of the columns of a band, 1 MiB of float32."""


class Tap(NamedTuple):
    """Where a tap of a kernel is on the map.

    Attributes:
        index: (row, column) of the tap in the kernel.
        seen: the inputs that it sees.
        outputs: the outputs for which it sees them, in the same order.
    """

    index: tuple[int, int]
    seen: Box
    outputs: Box


def convolve(x: Array, kernel: Array, pad: int) -> Array:
    """Convolve with stride 1 as one matrix product.

    Args:
        x: `[N, H, W, C]` float32 or float64.
        kernel: `[k, k, C, D]` float32 or float64.
        pad: zeros on each of the four sides.

    Returns:
        `[N, H + 2 pad - k + 1, W + 2 pad - k + 1, D]` in the dtype of `x`.
    """
    columns = _columns(x, kernel.shape[0], pad)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    flat = columns.reshape(-1, columns.shape[-1]) @ matrix
    return flat.reshape(*columns.shape[:3], -1)


def convolve_by_taps(x: Array, kernel: Array, pad: int) -> Array:
    """Compute `convolve` as a product for each tap, without those with the padding.

    Arguments, dtype and result as there: `[N, H, W, C]` and `[k, k, C, D]` to `[N, H', W', D]`.
    """
    size, features = kernel.shape[0], kernel.shape[-1]
    batch, *extents, _ = x.shape
    rows, columns = (length + 2 * pad - size + 1 for length in extents)
    y = jnp.zeros((batch, rows, columns, features), x.dtype)
    for taps in _inside(extents, size, pad):
        # Else the compiler may keep the products of all taps before it adds them.
        y = _fusion_barrier(partial(_add_taps, taps), kernel, y, x, kernel)
    return y


def _add_taps(taps: list[Tap], y: Array, x: Array, kernel: Array) -> Array:
    for index, seen, outputs in taps:
        y = y.at[outputs].add(x[seen] @ kernel[index])
    return y


def input_gradient_by_taps(grad: Array, kernel: Array, pad: int) -> Array:
    """Compute the gradient of `convolve_by_taps` for the input.

    Args:
        grad: `[N, H', W', D]` float32 or float64, the gradient of the output.
        kernel: `[k, k, C, D]` float32 or float64.
        pad: zeros on each of the four sides.

    Returns:
        `[N, H, W, C]` in the dtype of `grad`.
    """
    size, _, channels, _ = kernel.shape
    batch, *extents, _ = grad.shape
    height, width = (length + size - 1 - 2 * pad for length in extents)
    x = jnp.zeros((batch, height, width, channels), grad.dtype)
    for tap in itertools.chain(*_inside((height, width), size, pad)):
        index, seen, outputs = tap
        x = x.at[seen].add(grad[outputs] @ kernel[index].T)
    return x


def kernel_gradient(x: Array, grad: Array, size: int, pad: int) -> Array:
    """Compute the gradient for the kernel as one matrix product.

    Args:
        x: `[N, H, W, C]` float32 or float64, the input.
        grad: `[N, H', W', D]` float32 or float64, the gradient of the output.
        size: k, of the kernel.
        pad: zeros on each of the four sides.

    Returns:
        `[k, k, C, D]` in the dtype of `x`.
    """
    columns = _columns(x, size, pad)
    flat = columns.reshape(-1, columns.shape[-1]).T @ grad.reshape(-1, grad.shape[-1])
    return flat.reshape(size, size, x.shape[-1], grad.shape[-1])


def kernel_gradient_by_bands(x: Array, grad: Array, size: int, pad: int) -> Array:
    """Compute `kernel_gradient` a band of rows at a time, whose columns fit a cache.

    For few channels the columns of a whole map are the work: written to memory and read
    again they take two to five times as long (measured, 3 x 3, 3 to 32 channels).

    Arguments, dtype and result as there: `[N, H, W, C]` and `[N, H', W', D]` to `[k, k, C, D]`.
    """
    batch, height, width, features = grad.shape
    row = batch * width * size * size * x.shape[-1]
    bands = -(-height // min(max(BAND // row, 1), height))
    rows = -(-height // bands)
    below = bands * rows - height
    x = jnp.pad(x, ((0, 0), (pad, pad + below), (pad, pad), (0, 0)))
    grad = jnp.pad(grad, ((0, 0), (0, below), (0, 0), (0, 0)))

    def add(total: Array, begin: Array) -> tuple[Array, None]:
        # Rows are cut, not images: those may lie on several devices.
        seen = lax.dynamic_slice_in_dim(x, begin, rows + size - 1, axis=1)
        own = lax.dynamic_slice_in_dim(grad, begin, rows, axis=1)
        return total + kernel_gradient(seen, own, size, 0), None

    start = jnp.zeros((size, size, x.shape[-1], features), x.dtype)
    begins = rows * jnp.arange(bands, dtype=jnp.int32)
    return lax.scan(add, start, begins)[0]


def kernel_gradient_by_taps(x: Array, grad: Array, size: int, pad: int) -> Array:
    """Compute `kernel_gradient` as a product for each tap, without columns in memory.

    Arguments, dtype and result as there: `[N, H, W, C]` and `[N, H', W', D]` to `[k, k, C, D]`.
    """
    flat = grad.reshape(-1, grad.shape[-1])
    taps = [view.reshape(-1, view.shape[-1]).T @ flat for view in _views(x, size, pad)]
    return jnp.stack(taps).reshape(size, size, x.shape[-1], grad.shape[-1])


def input_gradient(grad: Array, kernel: Array, pad: int) -> Array:
    """Compute the gradient of `convolve` for the input.

    Arguments, dtype and result as in `input_gradient_by_taps`: `[N, H', W', D]` and
    `[k, k, C, D]` to `[N, H, W, C]`.
    """
    size, _, channels, features = kernel.shape
    batch, rows, columns = grad.shape[:3]
    matrix = kernel.reshape(-1, features).T
    products = (grad.reshape(-1, features) @ matrix).reshape(
        batch, rows, columns, size, size, channels
    )
    padded = _fusion_barrier(_overlap_add, kernel, products)
    height, width = rows + size - 1 - 2 * pad, columns + size - 1 - 2 * pad
    return padded[:, pad : pad + height, pad : pad + width]


def _overlap_add(products: Array) -> Array:
    """Sum what each tap gives, placed where the tap lies: `[N, H, W, C]`.

    Args:
        products: `[N, rows, columns, k, k, C]` float32 or float64, of each output and
            tap.
    """
    size = products.shape[3]
    along_rows = [
        sum(
            jnp.pad(products[:, :, :, i, j], ((0, 0), (0, 0), _around(j, size), (0, 0)))
            for j in range(size)
        )
        for i in range(size)
    ]
    return sum(
        (
            jnp.pad(row, ((0, 0), _around(i, size), (0, 0), (0, 0)))
            for i, row in enumerate(along_rows[1:], start=1)
        ),
        start=jnp.pad(along_rows[0], ((0, 0), _around(0, size), (0, 0), (0, 0))),
    )


def _inside(extents: Sequence[int], size: int, pad: int) -> Iterator[list[Tap]]:
    """List, for each kernel row, its taps that see part of a map of these extents."""
    rows, columns = (
        [
            range(
                max(pad - tap, 0), min(length + pad - tap, length + 2 * pad - size + 1)
            )
            for tap in range(size)
        ]
        for length in extents
    )
    for i, y in enumerate(rows):
        if y:
            yield [
                Tap((i, j), _box(y, x, i - pad, j - pad), _box(y, x))
                for j, x in enumerate(columns)
                if x
            ]


def _box(rows: range, columns: range, down: int = 0, right: int = 0) -> Box:
    """Return these rows and columns of all images, moved down and right."""
    return (
        slice(None),
        slice(rows.start + down, rows.stop + down),
        slice(columns.start + right, columns.stop + right),
    )


def _around(tap: int, size: int) -> tuple[int, int]:
    """Return the zeros before and after what a tap gives."""
    return tap, size - 1 - tap


def blocks(x: Array, stride: int, pad: int, kernel: int) -> Array:
    """Cut padded pixels into blocks, as many as a strided convolution sees.

    Args:
        x: `[N, H, W, C]` float32 or float64.
        stride: rows and columns of a block.
        pad: zeros on each of the four sides.
        kernel: size of the convolution's window.

    Returns:
        `[N, H', W', stride^2 C]`.
    """
    rows, columns = (
        (length + 2 * pad - kernel) // stride + -(-kernel // stride)
        for length in x.shape[1:3]
    )
    batch, height, width, channels = x.shape
    below, right = (
        stride * count - length - pad
        for count, length in ((rows, height), (columns, width))
    )
    x = x[:, : height + min(below, 0), : width + min(right, 0)]
    x = jnp.pad(x, ((0, 0), (pad, max(below, 0)), (pad, max(right, 0)), (0, 0)))
    x = x.reshape(batch, rows, stride, columns, stride, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, -1)


def block_kernel(kernel: Array, stride: int) -> Array:
    """Build the kernel over blocks.

    Args:
        kernel: `[k, k, C, D]` float32 or float64.
        stride: rows and columns of a block.

    Returns:
        `[b, b, stride^2 C, D]` with b = ceil(k / stride).
    """
    size, _, channels, features = kernel.shape
    count = -(-size // stride)
    beyond = (0, stride * count - size)
    kernel = jnp.pad(kernel, (beyond, beyond, (0, 0), (0, 0)))
    kernel = kernel.reshape(count, stride, count, stride, channels, features)
    return kernel.transpose(0, 2, 1, 3, 4, 5).reshape(count, count, -1, features)


def _views(x: Array, size: int, pad: int) -> list[Array]:
    """Return the input as each tap sees it, in row-major order of the taps."""
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = x.shape[1] - size + 1, x.shape[2] - size + 1
    return [
        x[:, i : i + rows, j : j + columns] for i in range(size) for j in range(size)
    ]


def _columns(x: Array, size: int, pad: int) -> Array:
    """Build `[N, rows, columns, size^2 C]`: what each output's window holds."""
    return jnp.concatenate(_views(x, size, pad), axis=-1)


def _fusion_barrier(
    function: Callable[..., Array], known: Array, *arguments: Any
) -> Array:
    """Compute `function(*arguments)` in loops that the compiler merges with no others.

    XLA fuses elementwise loops into their readers, also where that hurts: a transform
    whose loop runs over tiles, fused into one over the padded pixels that the next layer
    wants, has to work out tile and border for every value (measured: 10 ms instead of
    4), and may be computed again by each reader. An optimisation barrier is gone before
    fusion on a CPU; a branch of a conditional is not crossed.

    Args:
        function: pure function of arrays, with one array as its result.
        known: any array that is there before and is the same on all devices, a kernel:
            one of its values decides, always in favour.
        arguments: trees of arrays.
    """
    value = lax.slice(known.ravel(), (0,), (1,))[0]
    # True for every float, infinities and NaN included, which no compiler can know.
    always = (value <= 0) | (value >= 0) | (value != value)
    result = jax.eval_shape(function, *arguments)
    return lax.cond(
        always,
        function,
        lambda *_: jnp.zeros(result.shape, result.dtype),
        *arguments,
    )
