"""The GPU's gradients of a convolution against the library's, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers import reference
from fcn_jax.layers.gpu import convolution as gpu
from fcn_jax.layers.reference import ConvSpec

CASES = {
    # name: kernel, batch, height, width, inputs, outputs, spec
    "framed 3 x 3": (3, 2, 5, 8, 3, 4, ConvSpec(pad=2)),
    "framed, one pixel": (3, 1, 1, 1, 2, 3, ConvSpec(pad=2)),
    "framed 5 x 5": (5, 3, 4, 7, 2, 3, ConvSpec(pad=4)),
    "an even window": (4, 1, 6, 5, 2, 2, ConvSpec(pad=2)),
    "a window that grows by one": (2, 2, 5, 3, 2, 3, ConvSpec(pad=1)),
    "1 x 1 with a border": (1, 1, 4, 3, 2, 2, ConvSpec(pad=1)),
    "dilated": (3, 1, 6, 7, 2, 3, ConvSpec(pad=3, dilation=2)),
    "in groups": (3, 2, 5, 6, 4, 6, ConvSpec(pad=2, groups=2)),
    "a far border": (3, 1, 4, 4, 2, 2, ConvSpec(pad=9)),
    "of the same size": (3, 1, 6, 5, 2, 3, ConvSpec(pad=1)),
    "smaller": (3, 1, 6, 5, 2, 3, ConvSpec()),
    "strided": (3, 2, 9, 7, 2, 3, ConvSpec(stride=2, pad=2)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_the_library_s(name):
    """Oracle: the transposes of `lax.conv_general_dilated`; float64."""
    size, batch, height, width, channels, features, spec = CASES[name]
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(batch, height, width, channels)))
        shape = (size, size, channels // spec.groups, features)
        kernel = jnp.asarray(rng.normal(size=shape))
        grad = jnp.asarray(rng.normal(size=reference.convolve(x, kernel, spec).shape))
        ours = jax.jit(lambda *given: gpu.gradients(*given, spec))(x, kernel, grad)
        theirs = reference.gradients(x, kernel, grad, spec)
    for own, expected in zip(ours, theirs, strict=True):
        assert own.dtype == np.float64
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)


def test_it_is_for_maps_that_grow():
    """Oracle: by hand; 2 pad against dilation (k - 1)."""
    kernel = jnp.zeros((3, 3, 1, 1))
    assert [gpu.pays(kernel, ConvSpec(pad=pad)) for pad in range(4)] == [
        *(False, False, True, True)
    ]
    assert not gpu.pays(kernel, ConvSpec(pad=2, dilation=2))
    assert not gpu.pays(kernel, ConvSpec(pad=4, stride=2))


def test_the_map_is_padded_until_it_is_as_large_as_the_output():
    """Oracle: the shapes in the traced program; the larger of two is the filter for XLA."""
    x, kernel = jnp.zeros((1, 6, 8, 2)), jnp.zeros((3, 3, 2, 4))
    grad = jnp.zeros((1, 8, 10, 4))
    program = jax.make_jaxpr(lambda *given: gpu.gradients(*given, ConvSpec(pad=2)))(
        x, kernel, grad
    )
    barriers = [
        equation.outvars[0].aval.shape
        for equation in program.jaxpr.eqns
        if equation.primitive.name == "optimization_barrier"
    ]
    assert barriers == [(1, 8, 10, 2)]
