"""The GPU's bilinear upsampling against the matrices and the dense kernel, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.gpu import bilinear
from fcn_jax.layers.upsample import (
    bilinear_kernel,
    bilinear_taps,
    matrix_upsample,
    reference_transposed_convolution,
)

CASES = [
    # stride, kernel, rows, columns, start, size; the nets' own first
    (2, 4, 5, 7, 0, (12, 16)),
    (2, 4, 5, 7, 5, (6, 9)),
    (8, 16, 6, 5, 31, (20, 17)),
    (32, 64, 3, 4, 19, (70, 90)),
    (16, 32, 4, 3, 27, (41, 33)),
    (3, 5, 4, 4, 2, (9, 8)),
    (2, 3, 4, 5, 0, (9, 11)),
    (1, 1, 3, 2, 0, (3, 2)),
    (8, 16, 9, 9, 4, (60, 1)),
    (8, 16, 1, 1, 0, (16, 16)),
    (2, 8, 4, 5, 3, (7, 9)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients(case):
    """Oracle: the dense transposed convolution, and the product of matrices; float64."""
    stride, kernel, height, width, start, size = case
    rng = np.random.default_rng(0)
    window = {"stride": stride, "start": start, "size": size}
    taps = bilinear_taps(kernel)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(3, height, width, 2)))
        dense = jnp.asarray(bilinear_kernel(kernel, 2))
        grad = jnp.asarray(rng.normal(size=(3, *size, 2)))
        forms = (
            lambda x: bilinear.upsample(x, taps, **window),
            lambda x: matrix_upsample(x, kernel=kernel, **window),
            lambda x: reference_transposed_convolution(x, dense, **window),
        )
        found = [jax.vjp(form, x) for form in forms]
        values = [y for y, _ in found]
        gradients = [pull(grad)[0] for _, pull in found]
    for other in (1, 2):
        np.testing.assert_allclose(values[0], values[other], rtol=0, atol=1e-12)
        np.testing.assert_allclose(gradients[0], gradients[other], rtol=0, atol=1e-11)
    assert np.abs(gradients[0]).max() > 0


def test_dtypes():
    """Oracle: the matrices; the result has the dtype of the map."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 4, 3)), jnp.float32)
    taps, window = bilinear_taps(4), {"stride": 2, "start": 1, "size": (8, 8)}
    y = jax.jit(lambda x: bilinear.upsample(x, taps, **window))(x)
    assert y.dtype == jnp.float32
    expected = matrix_upsample(x, kernel=4, **window)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)


def test_there_is_no_matrix_product():
    """Oracle: the traced program and its gradient: XLA for GPUs refused some products."""
    x = jnp.zeros((1, 4, 4, 3))
    taps, window = bilinear_taps(4), {"stride": 2, "start": 1, "size": (8, 8)}
    text = str(
        jax.make_jaxpr(jax.grad(lambda x: bilinear.upsample(x, taps, **window).sum()))(
            x
        )
    )
    assert "dot_general" not in text
    assert "scatter" not in text
