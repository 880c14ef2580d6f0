"""The library's convolution: the definition, and the oracle of every faster form."""

from typing import NamedTuple

import jax
from jax import Array, lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


class Sliding(NamedTuple):
    """How the window of a convolution moves.

    Attributes:
        stride: step in pixels.
        pad: zeros added on each of the four sides.
        dilation: distance between taps in pixels.
        groups: number of channel groups that do not see each other.
    """

    stride: int = 1
    pad: int = 0
    dilation: int = 1
    groups: int = 1


def convolve(x: Array, kernel: Array, how: Sliding) -> Array:
    """Cross-correlation of `[N, H, W, C]` with `[k, k, C / groups, D]`."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(how.stride, how.stride),
        padding=((how.pad, how.pad), (how.pad, how.pad)),
        rhs_dilation=(how.dilation, how.dilation),
        dimension_numbers=LAYOUT,
        feature_group_count=how.groups,
    )


def gradients(
    x: Array, kernel: Array, grad: Array, how: Sliding
) -> tuple[Array, Array]:
    """Gradients of `convolve` for the input and the kernel, given the output's."""
    _, pull = jax.vjp(lambda x, kernel: convolve(x, kernel, how), x, kernel)
    return pull(grad)
