"""The CPU's transposed convolution against the library's, values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fcn_jax.layers.cpu import polyphase
from fcn_jax.layers.upsample import (
    reference_transposed_convolution,
    transposed_convolution,
)

CASES = [
    # kernel, stride, rows, columns, channels, features, batch: the nets' own first
    (4, 2, 5, 4, 3, 3, 2),
    (3, 2, 4, 7, 3, 2, 1),
    (16, 8, 3, 4, 2, 3, 3),
    (15, 8, 2, 3, 3, 2, 2),
    (32, 16, 2, 2, 2, 2, 1),
    (63, 32, 2, 1, 2, 1, 1),
    (64, 32, 1, 2, 1, 2, 2),
    # and others: three windows over a pixel, gaps, no overlap, one pixel
    (5, 2, 4, 3, 2, 3, 1),
    (2, 3, 3, 4, 2, 2, 1),
    (3, 3, 2, 3, 2, 2, 1),
    (3, 1, 5, 4, 2, 3, 2),
    (4, 2, 1, 1, 2, 2, 1),
]


def _draw(case, dtype):
    kernel, _, rows, columns, channels, features, batch = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, rows, columns, channels))
    weights = rng.normal(size=(kernel, kernel, channels, features))
    return jnp.asarray(x, dtype), jnp.asarray(weights, dtype)


def _windows(case):
    """(start, size) of the whole result, of an inner part and of its last pixel."""
    kernel, stride, rows, columns = case[:4]
    full = [stride * (length - 1) + kernel for length in (rows, columns)]
    start = min(full) // 3
    return [
        (0, (full[0], full[1])),
        (start, (full[0] - start - full[0] // 5, full[1] - start)),
        (min(full) - 1, (1, 1)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)]
)
def test_values_and_gradients_equal_the_library_s(case, dtype, tolerance):
    """Oracle: conv_general_dilated and its own gradients, relative to the largest."""

    def results(function, x, weights):
        outcome = []
        for start, size in _windows(case):
            window = {"stride": case[1], "start": start, "size": size}
            y, pull = jax.vjp(partial(function, **window), x, weights)
            rng = np.random.default_rng(1)
            cotangent = jnp.asarray(rng.normal(size=y.shape), y.dtype)
            outcome += [y, *pull(cotangent)]
        return outcome

    with jax.enable_x64(dtype == "float64"):
        x, weights = _draw(case, dtype)
        ours = jax.jit(partial(results, polyphase.transposed_convolution))(x, weights)
        theirs = jax.jit(partial(results, reference_transposed_convolution))(x, weights)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype == dtype
        scale = np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(scale, 1))


def test_the_layer_takes_this_form_on_a_cpu():
    """Oracle: the compiled program and its gradients have no convolution."""
    x, weights = _draw(CASES[0], "float32")
    gradient = jax.jit(
        jax.grad(lambda *a: transposed_convolution(*a, stride=2).sum(), (0, 1))
    )
    compiled = gradient.lower(x, weights).compile().as_text()
    assert compiled is not None
    assert "convolution(" not in compiled
    assert "conditional" not in compiled


def test_gradient_of_the_gradient():
    """Oracle: the library's, of a function that is not linear."""

    def curvature(function):
        def total(x, weights):
            y = function(x, weights, stride=2, start=1, size=(7, 6))
            return (y**3).sum()

        def slopes(x, weights):
            by_x, by_weights = jax.grad(total, (0, 1))(x, weights)
            return (by_x * jnp.cos(x)).sum() + (by_weights * jnp.sin(weights)).sum()

        return jax.jit(jax.grad(slopes, (0, 1)))

    with jax.enable_x64(True):
        x, weights = _draw(CASES[0], "float64")
        ours = curvature(transposed_convolution)(x, weights)
        theirs = curvature(reference_transposed_convolution)(x, weights)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_maps_along_another_axis():
    """Oracle: one map at a time, with one kernel for all."""
    x, weights = _draw(CASES[0], "float32")
    stack = jnp.stack([x, 2 * x[::-1], -x])
    function = partial(transposed_convolution, stride=2, start=1, size=(6, 5))
    ours = jax.jit(jax.vmap(function, in_axes=(0, None)))(stack, weights)
    expected = jnp.stack([function(each, weights) for each in stack])
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_images_split_over_devices():
    """Oracle: the same batch on one device; no image travels."""
    x, weights = _draw((16, 8, 3, 4, 2, 3, 8), "float32")

    def both(x, weights):
        y, pull = jax.vjp(
            lambda *a: transposed_convolution(*a, stride=8, start=5, size=(20, 21)),
            x,
            weights,
        )
        return y, *pull(jnp.cos(y))

    mesh = Mesh(np.array(jax.devices()), ("data",))
    place = NamedSharding(mesh, PartitionSpec("data"))
    split = jax.jit(both, in_shardings=(place, NamedSharding(mesh, PartitionSpec())))
    compiled = split.lower(x, weights).compile().as_text()
    assert compiled is not None
    assert "all-gather" not in compiled
    for a, b in zip(split(x, weights), jax.jit(both)(x, weights), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
