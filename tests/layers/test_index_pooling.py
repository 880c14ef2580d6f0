"""Max pooling by index against the library's: values and gradients, bit by bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fcn_jax.layers import index_pooling, pool
from fcn_jax.layers.geometry import Window
from fcn_jax.layers.pool import max_pool, reference_max_pool
from tests.gpu_forms import take_gpu_forms

WINDOWS = [
    Window("pooling", *numbers)
    for numbers in (
        # kernel, stride, pad: the nets' own, then overlaps, gaps and wide borders
        (2, 2, 0),
        (3, 2, 0),
        (3, 1, 1),
        (2, 2, 1),
        (5, 4, 2),
        (2, 3, 0),
    )
]
SHAPES = [(1 + size % 3, size, 10 - size, 2) for size in range(1, 10)]
"""Every size from 1 to 9, along both axes, in batches of 1, 2 and 3."""


@pytest.fixture(autouse=True)
def _small_maps_too(monkeypatch):
    """The layer's choice is by size on a CPU; here every map has the form by index."""
    monkeypatch.setattr(pool, "SMALL_MAP", 0)


def _both(function, maps, cotangents):
    """Value and gradient of every map."""
    results = []
    for x, cotangent in zip(maps, cotangents, strict=True):
        y, pull = jax.vjp(function, x)
        results.append((y, pull(cotangent)[0]))
    return results


def _assert_equal(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_values_and_gradients_equal_the_library_s_at_every_size(window):
    """Oracle: reduce_window and its own gradient; three values, so ties everywhere."""
    rng = np.random.default_rng(0)
    shapes = [s for s in SHAPES if min(map(window.size, s[1:3])) > 0]
    maps = [rng.integers(-1, 2, shape).astype(np.float32) for shape in shapes]
    maps[-1][:] = 0
    cotangents = [
        rng.normal(size=(n, *map(window.size, (h, w)), c)).astype(np.float32)
        for n, h, w, c in shapes
    ]
    assert all(index_pooling.applies(jnp.asarray(x), window) for x in maps)
    ours = jax.jit(
        lambda *given: _both(lambda x: index_pooling.max_pool(x, window), *given)
    )(maps, cotangents)
    theirs = jax.jit(
        lambda *given: _both(lambda x: reference_max_pool(x, window), *given)
    )(maps, cotangents)
    _assert_equal(ours, theirs)


def test_the_layer_takes_this_form_on_a_cpu_and_no_other():
    """Oracle: the compiled program has no windowed operation and no branch."""
    x = jnp.ones((1, 6, 6, 2))
    gradient = jax.jit(jax.grad(lambda x: max_pool(x, kernel=2, stride=2).sum()))
    compiled = gradient.lower(x).compile().as_text()
    assert compiled is not None
    for operation in ("reduce-window", "select-and-scatter", "conditional"):
        assert operation not in compiled


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_other_dtypes(dtype, platform, monkeypatch):
    """Oracle: the library's operation, which bfloat16 uses on a CPU."""
    if platform == "cuda":
        take_gpu_forms(monkeypatch)
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 7, 3)), dtype)
        window = Window("pooling", 3, 2)
        cotangent = jnp.ones_like(reference_max_pool(x, window))
        _assert_equal(
            _both(lambda x: max_pool(x, kernel=3, stride=2), [x], [cotangent]),
            _both(lambda x: reference_max_pool(x, window), [x], [cotangent]),
        )
        assert max_pool(x, kernel=3, stride=2).dtype == dtype


def test_a_map_that_no_window_fits_is_empty():
    """Oracle: Caffe's size rule; a 3 x 3 window needs two pixels."""
    assert max_pool(jnp.ones((1, 1, 4, 2)), kernel=3, stride=2).shape == (1, 0, 2, 2)


def test_not_a_number_is_not_hidden():
    """Oracle: the library; the gradient of such a window is not lost either."""
    x = jnp.arange(16.0).reshape(1, 4, 4, 1).at[0, 0, 1].set(jnp.nan)
    y, pull = jax.vjp(lambda x: max_pool(x, kernel=2, stride=2), x)
    np.testing.assert_array_equal(y, reference_max_pool(x, Window("pooling", 2, 2)))
    assert np.isnan(y[0, 0, 0, 0])
    assert float(pull(jnp.ones_like(y))[0].sum()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("window", [WINDOWS[0], WINDOWS[1]], ids=str)
def test_maps_along_another_axis(window):
    """Oracle: one map at a time, values and gradients."""
    x = np.random.default_rng(0).integers(-1, 2, (3, 2, 7, 6, 2)).astype(np.float32)

    def total(x):
        y = max_pool(x, kernel=window.kernel, stride=window.stride)
        return (y * jnp.arange(1.0, y.size + 1).reshape(y.shape)).sum()

    ours = jax.jit(jax.vmap(jax.value_and_grad(total)))(jnp.asarray(x))
    apart = [jax.value_and_grad(total)(jnp.asarray(each)) for each in x]
    _assert_equal(ours, jax.tree.map(lambda *rows: jnp.stack(rows), *apart))


def test_gradient_of_the_gradient():
    """Oracle: the library's; of sum(max ** 3) it is 6 max on the diagonal."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 7, 2)), jnp.float32)
    window = Window("pooling", 3, 2)

    def curvature(function):
        def slope(x):
            return jax.grad(lambda x: (function(x) ** 3).sum())(x)

        return jax.jit(jax.grad(lambda x: (slope(x) * jnp.cos(x)).sum()))(x)

    ours = curvature(lambda x: max_pool(x, kernel=3, stride=2))
    theirs = curvature(lambda x: reference_max_pool(x, window))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_images_split_over_devices():
    """Oracle: the same batch on one device; no image travels."""
    x = np.random.default_rng(0).integers(-1, 2, (8, 7, 6, 3)).astype(np.float32)

    def both(x):
        y, pull = jax.vjp(lambda x: max_pool(x, kernel=3, stride=2), x)
        return y, pull(jnp.cos(y))[0]

    place = NamedSharding(
        Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")
    )
    split = jax.jit(both, in_shardings=place)
    compiled = split.lower(x).compile().as_text()
    assert compiled is not None
    assert "all-gather" not in compiled
    ours = split(x)
    assert ours[1].sharding.is_equivalent_to(place, 4)
    _assert_equal(ours, jax.jit(both)(x))
