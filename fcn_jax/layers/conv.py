"""Convolution with Caffe's semantics, channels last.

Caffe's "convolution" is a cross-correlation with symmetric zero padding, optional
groups and dilation. Kernels are stored height, width, input channels (per group),
output channels. The definition in `jax.lax` is `reference.convolve`.

On a CPU, large layers take the forms of `layers.cpu.convolution` for values and
gradients; on a GPU, layers that enlarge their map take the gradient of
`layers.gpu.convolution`. The rest computes the definition.

In bfloat16 the parameters stay in float32, and so do their gradients: those of a bias
are summed in float32, those of a kernel over devices.

The price of custom gradients is that jax cannot differentiate forwards (`jax.jvp`)
through them; reverse mode of any order works.
"""

from functools import partial
from typing import Any

import jax
from jax import Array, lax
from jax.sharding import PartitionSpec

from fcn_jax.layers import reference
from fcn_jax.layers.cpu import convolution as cpu
from fcn_jax.layers.gpu import convolution as gpu
from fcn_jax.layers.reference import ConvSpec

BATCH_AXIS = "data"
"""Axis of the mesh over which the images of a batch are split."""


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
        kernel: `[k, k, C / groups, D]`, in the dtype of `x` or a wider one, from which it
            is rounded; output channel d sees input group `d // (D / groups)`.
        bias: `[D]`, in such a dtype, or None.
        stride: step of the window in pixels.
        pad: zeros added on each of the four sides.
        dilation: distance between taps in pixels.
        groups: number of channel groups that do not see each other.

    Returns:
        `[N, (H + 2 pad - dilation (k - 1) - 1) // stride + 1, ..., D]` in the dtype of
        `x`.
    """
    spec = ConvSpec(stride, pad, dilation, groups)
    form = by_platform if cpu.pays(x, kernel, spec) else _by_definition
    if (
        form is _by_definition
        and x.dtype == kernel.dtype
        and not gpu.pays(kernel, spec)
    ):
        form = reference.convolve
    y: Array = form(x, kernel, spec)
    return y if bias is None else add_bias(y, bias)


def add_bias(y: Array, bias: Array) -> Array:
    """Add a bias `[D]` to every pixel of `[N, H, W, D]`, in the dtype of `y`.

    The gradient of a bias in a wider dtype is summed in that dtype.
    """
    if y.dtype == bias.dtype:
        return y + bias[None, None, None, :]
    return _add_wider_bias(y, bias)


@jax.custom_vjp
def _add_wider_bias(y: Array, bias: Array) -> Array:
    return y + bias.astype(y.dtype)[None, None, None, :]


def _bias_forward(y: Array, bias: Array) -> tuple[Array, Array]:
    return _add_wider_bias(y, bias), bias


def _bias_backward(bias: Array, grad: Array) -> tuple[Array, Array]:
    return grad, grad.astype(bias.dtype).sum(axis=(0, 1, 2))


_add_wider_bias.defvjp(_bias_forward, _bias_backward)


def rounded(values: Array, dtype: Any) -> Array:
    """Round to a narrower dtype, and return the dtype of `values`.

    Args:
        values: an array, floating point.
        dtype: to whose numbers values are rounded. The gradient is not.
    """
    return _rounded(values, dtype)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _rounded(values: Array, dtype: Any) -> Array:
    return values.astype(dtype).astype(values.dtype)


_rounded.defvjp(
    lambda values, dtype: (_rounded(values, dtype), None),
    lambda dtype, _, grad: (grad,),
)


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


def _gradients(
    x: Array, kernel: Array, grad: Array, spec: ConvSpec, on_cpu: Any
) -> tuple[Array, Array]:
    """Compute `reference.gradients` in the form of the platform; `on_cpu` is the CPU's."""
    return lax.platform_dependent(
        x,
        kernel,
        grad,
        cpu=partial(on_cpu, spec=spec),
        cuda=partial(gpu.gradients, spec=spec),
        rocm=partial(gpu.gradients, spec=spec),
        default=partial(reference.gradients, spec=spec),
    )


def _backward(
    spec: ConvSpec, saved: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    return _gradients(*saved, grad, spec, cpu.gradients)


by_platform.defvjp(_forward, _backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _by_definition(x: Array, kernel: Array, spec: ConvSpec) -> Array:
    """Compute `reference.convolve` with the kernel rounded to the dtype of the map."""
    return reference.convolve(x, kernel.astype(x.dtype), spec)


def _definition_forward(
    x: Array, kernel: Array, spec: ConvSpec
) -> tuple[Array, tuple[Array, Array]]:
    return _by_definition(x, kernel, spec), (x, kernel)


def _definition_backward(
    spec: ConvSpec, saved: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    x, kernel = saved

    def gradients(x: Array, rounded: Array, grad: Array) -> tuple[Array, Array]:
        for_input, for_kernel = _gradients(x, rounded, grad, spec, reference.gradients)
        return for_input, for_kernel.astype(kernel.dtype)

    devices = jax.sharding.get_abstract_mesh().shape.get(BATCH_AXIS, 1)
    # A map that the images of a batch share, as the blank one of a frame, is not split.
    split = devices > 1 and len(x) % devices == 0
    wider = x.dtype != kernel.dtype
    form = _summed_after(gradients) if split and wider else gradients
    return form(x, kernel.astype(x.dtype), grad)


def _summed_after(gradients: Any) -> Any:
    """Sum the kernel's gradient over the devices of the batch as it is returned.

    XLA would sum it as the convolution gives it, in the narrower dtype.
    """

    def own(*arrays: Array) -> tuple[Array, Array]:
        for_input, for_kernel = gradients(*arrays)
        return for_input, lax.psum(for_kernel, BATCH_AXIS)

    images, everywhere = PartitionSpec(BATCH_AXIS), PartitionSpec()
    return jax.shard_map(
        own,
        in_specs=(images, everywhere, images),
        out_specs=(images, everywhere),
        axis_names={BATCH_AXIS},
        check_vma=False,
    )


_by_definition.defvjp(_definition_forward, _definition_backward)
