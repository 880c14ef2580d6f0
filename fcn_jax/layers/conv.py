"""Convolution with Caffe's semantics, channels last.

Caffe's "convolution" is a cross-correlation with symmetric zero padding, optional
groups and dilation. Kernels are stored height, width, input channels (per group),
output channels.

On a CPU, values and gradients are computed by the forms of `layers.cpu.convolution`;
other platforms have the library's (`layers.direct`), which defines them all. The price
of own gradients is that jax cannot differentiate forwards (`jax.jvp`) through them;
reverse mode of any order works.
"""

from functools import partial
from typing import Any

import jax
from jax import Array, lax

from fcn_jax.layers import direct
from fcn_jax.layers.cpu import convolution as cpu
from fcn_jax.layers.direct import Sliding


def convolution(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Caffe's Convolution layer.

    Args:
        x: `[N, H, W, C]`.
        kernel: `[k, k, C / groups, D]`; output channel d sees input group
            `d // (D / groups)`.
        bias: `[D]`, or None.
        stride: step of the window in pixels.
        pad: zeros added on each of the four sides.
        dilation: distance between taps in pixels.
        groups: number of channel groups that do not see each other.

    Returns:
        `[N, (H + 2 pad - dilation (k - 1) - 1) // stride + 1, ..., D]`.
    """
    how = Sliding(stride, pad, dilation, groups)
    form = by_platform if cpu.pays(x, kernel, how) else direct.convolve
    y: Any = form(x, kernel, how)
    return y if bias is None else y + bias[None, None, None, :]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def by_platform(x: Array, kernel: Array, how: Sliding) -> Array:
    """Convolution in the form of the platform, whatever its size."""
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(cpu.convolve, how=how),
        default=partial(direct.convolve, how=how),
    )


def _forward(
    x: Array, kernel: Array, how: Sliding
) -> tuple[Array, tuple[Array, Array]]:
    return by_platform(x, kernel, how), (x, kernel)


def _backward(
    how: Sliding, saved: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    return lax.platform_dependent(
        *saved,
        grad,
        cpu=partial(cpu.gradients, how=how),
        default=partial(direct.gradients, how=how),
    )


by_platform.defvjp(_forward, _backward)
