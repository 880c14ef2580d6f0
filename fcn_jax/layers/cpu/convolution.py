"""Which form of a convolution is fastest on a CPU, by its shape.

The library is good at what it computes forwards, but spares no multiplication; it is
poor at the kernel's gradient (a convolution whose window is as large as the map) and at
groups. So: `winograd` for large 3 x 3 layers, `columns` for windows with very many
values (fc6; by taps where it is padded), matrix products for 1 x 1 layers and for the
kernel's gradient everywhere, and groups one by one. The limits are rounded from timings
on two cores of one machine.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from fcn_jax.layers import direct
from fcn_jax.layers.cpu import columns, winograd
from fcn_jax.layers.direct import Sliding

WINOGRAD_CHANNELS = 128 * 128
"""Product of the channels from which on saved multiplications outweigh transforms."""
WINOGRAD_WORK = 7e8
"""Multiplications from which on they outweigh compilation, too.

VGG16's layers have 6.04e8 at most on the blank map of a frame (`layers.frame`). Above
that the compiler would keep its transformed kernels for the image, 120 MB of them.
"""
WIDE_WINDOW = 4096
"""Values in a window from which on one product of matrices is the best form."""
NARROW_WINDOW = 512
"""Values in a window up to which its columns take little memory."""

SMALL_WORK = 3e7
"""Multiplications up to which the library's forms, which need no compilation, do."""

Form = Literal["pixels", "winograd", "columns", "taps", "library"]


def pays(x: Array, kernel: Array, how: Sliding) -> bool:
    """Whether another form than the library's may be worth its compilation."""
    precise = x.dtype == kernel.dtype and x.dtype in (np.float32, np.float64)
    pixels = math.prod(x.shape[:3]) / how.stride**2
    large = pixels * math.prod(kernel.shape) > SMALL_WORK
    return precise and how.dilation == 1 and 0 not in x.shape and large


def convolve(x: Array, kernel: Array, how: Sliding) -> Array:
    """`direct.convolve` in the form that suits the shapes."""
    if how.groups > 1:
        parts = zip(*_groups(how, x, kernel), strict=True)
        own = how._replace(groups=1)
        return jnp.concatenate([convolve(a, b, own) for a, b in parts], axis=-1)
    match _form(x, kernel, how):
        case "pixels":
            return x @ kernel[0, 0]
        case "winograd":
            return winograd.convolve(x, kernel, how.pad)
        case "columns":
            return columns.convolve(x, kernel, how.pad)
        case "taps":
            return columns.convolve_by_taps(x, kernel, how.pad)
        case "library":
            return _library(x, kernel, how)


def gradients(
    x: Array, kernel: Array, grad: Array, how: Sliding
) -> tuple[Array, Array]:
    """`direct.gradients` in the form that suits the shapes."""
    if how.groups > 1:
        return _gradients_by_group(x, kernel, grad, how)
    size = kernel.shape[0]
    match _form(x, kernel, how):
        case "pixels":
            flat = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
            return grad @ kernel[0, 0].T, (flat[0].T @ flat[1])[None, None]
        case "winograd":
            return winograd.gradients(x, kernel, grad, how.pad)
        case "columns":
            for_input = columns.input_gradient(grad, kernel, how.pad)
            return for_input, columns.kernel_gradient(x, grad, size, how.pad)
        case "taps":
            for_input = columns.input_gradient_by_taps(grad, kernel, how.pad)
            return for_input, columns.kernel_gradient(x, grad, size, how.pad)
        case "library":
            for_input = _library_input_gradient(x, kernel, grad, how)
            return for_input, _kernel_gradient(x, kernel, grad, how)


def _form(x: Array, kernel: Array, how: Sliding) -> Form:
    size, _, channels, features = kernel.shape
    if how.stride > 1:
        return "library"
    if size == 1 and how.pad == 0:
        return "pixels"
    work = math.prod(x.shape[:3]) * math.prod(kernel.shape)
    wide = channels * features >= WINOGRAD_CHANNELS
    if size == winograd.TAPS and wide and work >= WINOGRAD_WORK:
        return "winograd"
    if size * size * channels >= WIDE_WINDOW and size > winograd.TAPS:
        return "taps" if how.pad else "columns"
    return "library"


def _library(x: Array, kernel: Array, how: Sliding) -> Array:
    """`direct.convolve`, bit for bit, and never without padding.

    Without padding the library first packs every window, k^2 times the map, and takes
    2.5 to 4 times as long (measured, 3 x 3). So a row of zeros is added above and below
    whose outputs are dropped.
    """
    if how.pad or how.stride > 1:
        return direct.convolve(x, kernel, how)
    y = lax.conv_general_dilated(
        x, kernel, (1, 1), ((1, 1), (0, 0)), dimension_numbers=direct.LAYOUT
    )
    return y[:, 1:-1]


def _library_input_gradient(
    x: Array, kernel: Array, grad: Array, how: Sliding
) -> Array:
    """The input's gradient: with stride 1 a convolution with the turned kernel."""
    pad = kernel.shape[0] - 1 - how.pad
    if how.stride > 1 or pad < 0:
        return direct.gradients(x, kernel, grad, how)[0]
    return _library(grad, kernel[::-1, ::-1].swapaxes(2, 3), Sliding(pad=pad))


def _kernel_gradient(x: Array, kernel: Array, grad: Array, how: Sliding) -> Array:
    """The kernel's gradient as matrix products, over blocks where there is a stride."""
    if how.stride > 1:
        x = columns.blocks(x, how.stride, how.pad, kernel.shape[0])
        by_blocks, pull = jax.vjp(
            lambda kernel: columns.block_kernel(kernel, how.stride), kernel
        )
        own = Sliding()
        return pull(_kernel_gradient(x, by_blocks, grad, own))[0]
    size, _, channels, features = kernel.shape
    if size * size * channels <= NARROW_WINDOW:
        return columns.kernel_gradient(x, grad, size, how.pad)
    work = math.prod(grad.shape) * size * size * channels
    if size == winograd.TAPS and work >= WINOGRAD_WORK:
        return winograd.gradients(x, kernel, grad, how.pad)[1]
    return columns.kernel_gradient_by_taps(x, grad, size, how.pad)


def _gradients_by_group(
    x: Array, kernel: Array, grad: Array, how: Sliding
) -> tuple[Array, Array]:
    xs, kernels = _groups(how, x, kernel)
    grads = jnp.split(grad, how.groups, axis=-1)
    own = how._replace(groups=1)
    parts = [gradients(*arrays, own) for arrays in zip(xs, kernels, grads, strict=True)]
    for_input, for_kernel = zip(*parts, strict=True)
    return jnp.concatenate(for_input, axis=-1), jnp.concatenate(for_kernel, axis=-1)


def _groups(how: Sliding, x: Array, kernel: Array) -> tuple[list[Array], list[Array]]:
    """Input and kernel of each channel group."""
    return jnp.split(x, how.groups, axis=-1), jnp.split(kernel, how.groups, axis=-1)
