"""Which form of a convolution is fastest on a CPU, by its shape.

XLA's own convolution is good at what it computes forwards, but spares no multiplication;
it is poor at the kernel's gradient (a convolution whose window is as large as the map)
and at groups. So: `winograd` for large 3 x 3 layers, `im2col` for windows with very many
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

from fcn_jax.layers import reference
from fcn_jax.layers.cpu import im2col, winograd
from fcn_jax.layers.reference import ConvSpec

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
"""Values in a window up to which its columns, a band at a time, are the best form."""

SMALL_WORK = 3e7
"""Multiplications up to which the reference form, quick to compile, is fast enough."""

Form = Literal["pixels", "winograd", "im2col", "taps", "reference"]


def pays(x: Array, kernel: Array, spec: ConvSpec) -> bool:
    """Tell whether another form than the reference may be worth its compilation.

    Args:
        x: `[N, H, W, C]` floating point.
        kernel: `[k, k, C / groups, D]` floating point.
        spec: stride, padding, dilation and groups.
    """
    precise = x.dtype == kernel.dtype and x.dtype in (np.float32, np.float64)
    pixels = math.prod(x.shape[:3]) / spec.stride**2
    large = pixels * math.prod(kernel.shape) > SMALL_WORK
    return precise and spec.dilation == 1 and 0 not in x.shape and large


def convolve(x: Array, kernel: Array, spec: ConvSpec) -> Array:
    """Compute `reference.convolve` in the form that suits the shapes.

    Args:
        x: `[N, H, W, C]` float32 or float64.
        kernel: `[k, k, C / groups, D]` float32 or float64.
        spec: stride, padding and groups; no dilation.

    Returns:
        `[N, H', W', D]` in the dtype of `x`.
    """
    if spec.groups > 1:
        parts = zip(*_groups(spec, x, kernel), strict=True)
        alone = spec._replace(groups=1)
        return jnp.concatenate([convolve(a, b, alone) for a, b in parts], axis=-1)
    match _form(x, kernel, spec):
        case "pixels":
            return x @ kernel[0, 0]
        case "winograd":
            return winograd.convolve(x, kernel, spec.pad)
        case "im2col":
            return im2col.convolve(x, kernel, spec.pad)
        case "taps":
            return im2col.convolve_by_taps(x, kernel, spec.pad)
        case "reference":
            return _reference(x, kernel, spec)


def gradients(
    x: Array, kernel: Array, grad: Array, spec: ConvSpec
) -> tuple[Array, Array]:
    """Compute `reference.gradients` in the form that suits the shapes.

    Args:
        x: `[N, H, W, C]` float32 or float64, the input.
        kernel: `[k, k, C / groups, D]` float32 or float64.
        grad: `[N, H', W', D]` in the same dtype, the gradient of the output.
        spec: stride, padding and groups; no dilation.

    Returns:
        The gradients, with the shapes and dtype of `x` and `kernel`.
    """
    if spec.groups > 1:
        return _gradients_by_group(x, kernel, grad, spec)
    size = kernel.shape[0]
    match _form(x, kernel, spec):
        case "pixels":
            flat = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
            return grad @ kernel[0, 0].T, (flat[0].T @ flat[1])[None, None]
        case "winograd":
            return winograd.gradients(x, kernel, grad, spec.pad)
        case "im2col":
            for_input = im2col.input_gradient(grad, kernel, spec.pad)
            return for_input, im2col.kernel_gradient(x, grad, size, spec.pad)
        case "taps":
            for_input = im2col.input_gradient_by_taps(grad, kernel, spec.pad)
            return for_input, im2col.kernel_gradient(x, grad, size, spec.pad)
        case "reference":
            for_input = _reference_input_gradient(x, kernel, grad, spec)
            return for_input, _kernel_gradient(x, kernel, grad, spec)


def _form(x: Array, kernel: Array, spec: ConvSpec) -> Form:
    size, _, channels, features = kernel.shape
    if spec.stride > 1:
        return "reference"
    if size == 1 and spec.pad == 0:
        return "pixels"
    work = math.prod(x.shape[:3]) * math.prod(kernel.shape)
    wide = channels * features >= WINOGRAD_CHANNELS
    if size == winograd.TAPS and wide and work >= WINOGRAD_WORK:
        return "winograd"
    if size * size * channels >= WIDE_WINDOW and size > winograd.TAPS:
        return "taps" if spec.pad else "im2col"
    return "reference"


def _reference(x: Array, kernel: Array, spec: ConvSpec) -> Array:
    """Compute `reference.convolve`, bit for bit, but never without padding.

    Without padding XLA first packs every window, k^2 times the map, and takes
    2.5 to 4 times as long (measured, 3 x 3). So a row of zeros is added above and below
    whose outputs are dropped.
    """
    if spec.pad or spec.stride > 1:
        return reference.convolve(x, kernel, spec)
    y = lax.conv_general_dilated(
        x, kernel, (1, 1), ((1, 1), (0, 0)), dimension_numbers=reference.LAYOUT
    )
    return y[:, 1:-1]


def _reference_input_gradient(
    x: Array, kernel: Array, grad: Array, spec: ConvSpec
) -> Array:
    """Compute the input's gradient: at stride 1 a convolution with the turned kernel."""
    pad = kernel.shape[0] - 1 - spec.pad
    if spec.stride > 1 or pad < 0:
        return reference.gradients(x, kernel, grad, spec)[0]
    return _reference(grad, kernel[::-1, ::-1].swapaxes(2, 3), ConvSpec(pad=pad))


def _kernel_gradient(x: Array, kernel: Array, grad: Array, spec: ConvSpec) -> Array:
    """Compute the kernel's gradient as matrix products, over blocks if strided."""
    if spec.stride > 1:
        x = im2col.blocks(x, spec.stride, spec.pad, kernel.shape[0])
        by_blocks, pull = jax.vjp(
            lambda kernel: im2col.block_kernel(kernel, spec.stride), kernel
        )
        return pull(_kernel_gradient(x, by_blocks, grad, ConvSpec()))[0]
    size, _, channels, features = kernel.shape
    if size * size * channels <= NARROW_WINDOW:
        return im2col.kernel_gradient_by_bands(x, grad, size, spec.pad)
    work = math.prod(grad.shape) * size * size * channels
    if size == winograd.TAPS and work >= WINOGRAD_WORK:
        return winograd.gradients(x, kernel, grad, spec.pad)[1]
    return im2col.kernel_gradient_by_taps(x, grad, size, spec.pad)


def _gradients_by_group(
    x: Array, kernel: Array, grad: Array, spec: ConvSpec
) -> tuple[Array, Array]:
    xs, kernels = _groups(spec, x, kernel)
    grads = jnp.split(grad, spec.groups, axis=-1)
    alone = spec._replace(groups=1)
    parts = [
        gradients(*arrays, alone) for arrays in zip(xs, kernels, grads, strict=True)
    ]
    for_input, for_kernel = zip(*parts, strict=True)
    return jnp.concatenate(for_input, axis=-1), jnp.concatenate(for_kernel, axis=-1)


def _groups(spec: ConvSpec, x: Array, kernel: Array) -> tuple[list[Array], list[Array]]:
    """Split input and kernel by channel group."""
    return jnp.split(x, spec.groups, axis=-1), jnp.split(kernel, spec.groups, axis=-1)
