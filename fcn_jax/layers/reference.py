"""What a convolution is: its specification and its plain form in `jax.lax`.

`conv.convolution` is the layer. The definition has a file below it because the forms
for a CPU (`layers.cpu.convolution`), which `conv` chooses from, fall back on it.
"""

from typing import NamedTuple

import jax
from jax import Array, lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


class ConvSpec(NamedTuple):
    """How the window of a convolution moves.

    Attributes:
        stride: step of the window in pixels.
        pad: zeros added on each of the four sides.
        dilation: distance between taps in pixels.
        groups: number of channel groups that do not see each other.
    """

    stride: int = 1
    pad: int = 0
    dilation: int = 1
    groups: int = 1


def convolve(x: Array, kernel: Array, spec: ConvSpec) -> Array:
    """Compute the cross-correlation: the definition of `conv.convolution`, no bias.

    Args:
        x: `[N, H, W, C]` floating point.
        kernel: `[k, k, C / groups, D]`.
        spec: stride, padding, dilation and groups.

    Returns:
        `[N, H', W', D]` with H', W' from `geometry.Window("convolution", ...)`.
    """
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(spec.stride, spec.stride),
        padding=((spec.pad, spec.pad), (spec.pad, spec.pad)),
        rhs_dilation=(spec.dilation, spec.dilation),
        dimension_numbers=LAYOUT,
        feature_group_count=spec.groups,
    )


def gradients(
    x: Array, kernel: Array, grad: Array, spec: ConvSpec
) -> tuple[Array, Array]:
    """Compute the gradients of `convolve` for its input and its kernel.

    Args:
        x: `[N, H, W, C]`, the input.
        kernel: `[k, k, C / groups, D]`.
        grad: `[N, H', W', D]`, the gradient of the output.
        spec: stride, padding, dilation and groups.

    Returns:
        The gradients, of the shapes of `x` and `kernel`.
    """
    _, pull = jax.vjp(lambda x, kernel: convolve(x, kernel, spec), x, kernel)
    return pull(grad)
