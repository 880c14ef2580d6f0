"""Convolution in bfloat16 with parameters in float32: what is summed in float32."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fcn_jax.layers import reference
from fcn_jax.layers.conv import BATCH_AXIS, convolution, rounded
from fcn_jax.layers.reference import ConvSpec


def _drawn(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def _gradients(x, kernel, bias, grad, **options):
    def y(kernel, bias):
        return convolution(x, kernel, bias, **options)

    value, pull = jax.vjp(y, kernel, bias)
    return value, *pull(grad)


def test_values_are_those_of_rounded_parameters():
    """Oracle: the definition with parameters rounded before, bit by bit."""
    x, kernel, bias = (
        _drawn(2, 5, 6, 3).astype(jnp.bfloat16),
        _drawn(3, 3, 3, 4),
        _drawn(4),
    )
    y = convolution(x, kernel, bias, pad=1)
    plain = reference.convolve(x, kernel.astype(jnp.bfloat16), ConvSpec(pad=1))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(
        y, plain + bias.astype(jnp.bfloat16)[None, None, None, :]
    )


def test_the_gradient_of_a_bias_is_a_sum_in_float32():
    """Oracle: NumPy's sum in float64; bfloat16 would stop counting ones at 256."""
    x = jnp.zeros((1, 40, 50, 1), jnp.bfloat16)
    grad = jnp.ones((1, 40, 50, 2), jnp.bfloat16)
    _, _, for_bias = _gradients(x, _drawn(1, 1, 1, 2), _drawn(2), grad)
    assert for_bias.dtype == jnp.float32
    np.testing.assert_array_equal(for_bias, [2000, 2000])


@pytest.mark.parametrize("pad", [1, 2])
def test_the_gradient_of_a_kernel_is_summed_over_devices_in_float32(pad):
    """Oracle: float64; and the sum over devices in the lowered program.

    Each device may round its own sum to bfloat16, as cuDNN does; on a CPU XLA does not.
    """
    count = 4
    x = _drawn(2 * count, 5, 6, 3).astype(jnp.bfloat16)
    kernel, bias = _drawn(3, 3, 3, 4), _drawn(4)
    y = convolution(x, kernel, bias, pad=pad)
    grad = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
    grad = grad.astype(jnp.bfloat16)
    mesh = Mesh(np.array(jax.devices()[:count]), (BATCH_AXIS,))
    split = NamedSharding(mesh, PartitionSpec(BATCH_AXIS))
    whole = NamedSharding(mesh, PartitionSpec())

    def on_mesh(x, kernel, bias, grad):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return _gradients(x, kernel, bias, grad, pad=pad)[1:]

    program = jax.jit(
        on_mesh, in_shardings=(split, whole, whole, split), out_shardings=whole
    )
    for_kernel, for_bias = program(x, kernel, bias, grad)
    with jax.enable_x64(True):
        wide = [values.astype(jnp.float64) for values in (x, kernel, grad)]
        parts = [
            np.abs(
                np.asarray(reference.gradients(own, wide[1], its, ConvSpec(pad=pad))[1])
            )
            for own, its in zip(
                jnp.split(wide[0], count), jnp.split(wide[2], count), strict=True
            )
        ]
        exact = reference.gradients(*wide, ConvSpec(pad=pad))[1]
    assert for_kernel.dtype == jnp.float32
    assert np.all(
        np.abs(np.asarray(for_kernel, np.float64) - np.asarray(exact))
        <= 2**-8 * sum(parts) + 1e-6
    )
    lowered = program.lower(x, kernel, bias, grad).as_text()
    sums = re.findall(r"all_reduce.*?-> tensor<([^>]*)>", lowered, flags=re.DOTALL)
    assert sums == ["3x3x3x4xf32"]
    expected = np.asarray(grad, np.float64).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(for_bias, expected, rtol=0, atol=1e-4)


def test_a_rounded_value_has_the_gradient_of_the_value():
    """Oracle: by hand; 1.001 is 1 in bfloat16, its square's slope there is 2."""
    assert float(rounded(jnp.float32(1.001), jnp.bfloat16)) == 1
    slope = jax.grad(lambda v: rounded(v, jnp.bfloat16) * 1.001)(jnp.float32(1.001))
    assert float(slope) == np.float32(1.001)


def test_float32_has_no_other_program():
    """Oracle: the traced program of a small layer is the definition's alone."""
    x, kernel = _drawn(1, 5, 6, 3), _drawn(3, 3, 3, 4)
    text = str(jax.make_jaxpr(lambda x: convolution(x, kernel, pad=1))(x))
    assert "custom_vjp" not in text
    assert text.count("conv_general_dilated") == 1
