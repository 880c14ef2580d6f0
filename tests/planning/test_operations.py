"""Operations of functions; oracle: numbers by hand, or by a loop over pixels."""

import itertools

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from fcn_jax.layers import reference
from fcn_jax.layers.reference import ConvSpec
from fcn_jax.planning.operations import Operations, count

IMAGE, KERNEL = jnp.ones((2, 5, 7, 4)), jnp.ones((3, 3, 4, 6))


def _taps(size, kernel, stride, pad, dilation):
    """(output, tap) pairs that fall on a pixel, one by one."""
    outputs = (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
    return sum(
        0 <= out * stride - pad + tap * dilation < size
        for out, tap in itertools.product(range(outputs), range(kernel))
    )


@pytest.mark.parametrize(
    ("stride", "pad", "dilation", "groups"),
    [(1, 0, 1, 1), (1, 1, 1, 1), (2, 1, 1, 1), (1, 2, 2, 1), (1, 1, 1, 2)],
)
def test_a_convolution_and_its_gradients(stride, pad, dilation, groups):
    """Oracle: pairs counted one by one; each gradient costs what the values cost."""
    spec = ConvSpec(stride, pad, dilation, groups)
    kernel = KERNEL[:, :, : 4 // groups]

    def convolve(x, k):
        return reference.convolve(x, k, spec)

    rows, columns = (_taps(size, 3, stride, pad, dilation) for size in (5, 7))
    values = 2 * 2 * rows * columns * (4 // groups) * 6
    assert count(convolve, IMAGE, kernel) == Operations(values, 0)

    def loss(x, k):
        return convolve(x, k).sum()

    # Of a sum the values themselves are not needed.
    assert count(jax.grad(loss, (0, 1)), IMAGE, kernel).total == 2 * values
    assert count(jax.value_and_grad(loss, 1), IMAGE, kernel).total == 2 * values


def test_products_loops_and_branches():
    """Oracle: 2 x rows x columns x depth; loops multiply, the larger branch counts."""
    a, b = jnp.ones((3, 5)), jnp.ones((5, 7))
    one = 2 * 3 * 7 * 5
    assert count(jnp.matmul, a, b) == Operations(0, one)
    square = jnp.ones((4, 4))

    def repeated(x):
        return lax.scan(lambda own, _: (own @ own, None), x, length=6)[0]

    assert count(repeated, square).products == 6 * 2 * 4**3

    def either(x):
        return lax.cond(x.sum() > 0, lambda own: own @ own, lambda own: own, x)

    assert count(jax.jit(either), square).products == 2 * 4**3


def test_what_no_result_needs_is_not_counted():
    """Oracle: one of two products, within a compiled function and outside."""

    @jax.jit
    def both(x):
        return x @ x, x @ (x + 1)

    assert count(lambda x: both(x)[0], jnp.ones((4, 4))).products == 2 * 4**3


def test_the_form_of_a_platform_is_counted():
    """Oracle: a function with two products on a CPU, one elsewhere."""

    def function(x):
        return lax.platform_dependent(
            x, cpu=lambda own: own @ own @ own, default=lambda own: own @ own
        )

    square, one = jnp.ones((4, 4)), 2 * 4**3
    assert count(function, square).products == one
    assert count(function, square, platform="cuda").products == one
    assert count(function, square, platform="cpu").products == 2 * one
