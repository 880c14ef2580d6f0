"""The gradient of a convolution that makes its map larger, on a GPU.

The kernel's gradient is a convolution of the map with the gradient of the output. Where
the padding makes the output larger than the map, as behind the frame of `layers.frame`,
XLA for CUDA exchanges the two, and cuDNN is asked for a forward convolution whose window
is the whole map, which takes many times as long (jax issue 23085). So the map is padded
first, until it is as large as the output, and stored: the barrier keeps XLA from moving
that padding back into the convolution.

Error: none; the added terms are products with zero.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from fcn_jax.layers import reference
from fcn_jax.layers.reference import ConvSpec


def pays(kernel: Array, spec: ConvSpec) -> bool:
    """Tell whether a convolution by `kernel [k, k, C / groups, D]` enlarges its map."""
    return spec.stride == 1 and _growth(kernel, spec) > 0


def gradients(
    x: Array, kernel: Array, grad: Array, spec: ConvSpec
) -> tuple[Array, Array]:
    """Compute `reference.gradients`.

    Args:
        x: `[N, H, W, C]` floating point, the input.
        kernel: `[k, k, C / groups, D]` in the same dtype.
        grad: `[N, H', W', D]` in the same dtype, the gradient of the output.
        spec: stride, padding, dilation and groups.

    Returns:
        The gradients, of the shapes and the dtype of `x` and `kernel`.
    """
    _, pull = jax.vjp(lambda x: reference.convolve(x, kernel, spec), x)
    (for_input,) = pull(grad)
    if pays(kernel, spec):
        added = min(spec.pad, -(-_growth(kernel, spec) // 2))
        around = ((0, 0), (added, added), (added, added), (0, 0))
        x = lax.optimization_barrier(jnp.pad(x, around))
        spec = spec._replace(pad=spec.pad - added)
    _, pull = jax.vjp(lambda kernel: reference.convolve(x, kernel, spec), kernel)
    return for_input, pull(grad)[0]


def _growth(kernel: Array, spec: ConvSpec) -> int:
    """Return by how many rows the output is larger than the map, at stride 1."""
    return 2 * spec.pad - spec.dilation * (kernel.shape[0] - 1)
