"""Convolution with Caffe's semantics, channels last.

Caffe's "convolution" is a cross-correlation with symmetric zero padding, optional
groups and dilation. Kernels are stored height, width, input channels (per group),
output channels. The definition in `jax.lax` is `reference.convolve`.

On a CPU, large layers take the forms of `layers.cpu.convolution` for values and
gradients; other platforms compute the definition. The price of custom gradients is that
jax cannot differentiate forwards (`jax.jvp`) through them; reverse mode of any order
works.
"""

from functools import partial
from typing import Any

import jax
from jax import Array, lax

from fcn_jax.layers import reference
from fcn_jax.layers.cpu import convolution as cpu
from fcn_jax.layers.reference import ConvSpec


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
    """Apply Caffe's Convolution layer.

    Args:
        x: `[N, H, W, C]` floating point.
        kernel: `[k, k, C / groups, D]`; output channel d sees input group
            `d // (D / groups)`.
        bias: `[D]` floating point, or None.
        stride: step of the window in pixels.
        pad: zeros added on each of the four sides.
        dilation: distance between taps in pixels.
        groups: number of channel groups that do not see each other.

    Returns:
        `[N, (H + 2 pad - dilation (k - 1) - 1) // stride + 1, ..., D]` in the dtype of
        `x`.
    """
    spec = ConvSpec(stride, pad, dilation, groups)
    form = by_platform if cpu.pays(x, kernel, spec) else reference.convolve
    y: Any = form(x, kernel, spec)
    return y if bias is None else y + bias[None, None, None, :]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def by_platform(x: Array, kernel: Array, spec: ConvSpec) -> Array:
    """Convolve `[N, H, W, C]` in the form of the platform, whatever its size.

    Args and result as in `reference.convolve`.
    """
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(cpu.convolve, spec=spec),
        default=partial(reference.convolve, spec=spec),
    )


def _forward(
    x: Array, kernel: Array, spec: ConvSpec
) -> tuple[Array, tuple[Array, Array]]:
    return by_platform(x, kernel, spec), (x, kernel)


def _backward(
    spec: ConvSpec, saved: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    return lax.platform_dependent(
        *saved,
        grad,
        cpu=partial(cpu.gradients, spec=spec),
        default=partial(reference.gradients, spec=spec),
    )


by_platform.defvjp(_forward, _backward)
