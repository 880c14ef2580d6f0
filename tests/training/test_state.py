"""Building, storing, restoring and warm-starting the state of a run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import SingleDeviceSharding

from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.optim.optimizers import make_optimizer, make_schedule
from fcn_jax.params.paths import flatten
from fcn_jax.params.trees import flat_arrays, restore_tree
from fcn_jax.training.state import create_state, init_variables
from tests.narrow_params import NARROW, RGB, drawn_arrays, drawn_params


def _sharding():
    return SingleDeviceSharding(jax.devices()[0])


@pytest.mark.slow
def test_initial_parameters():
    """Oracle: He-normal deviations sqrt(2 / fan-in), zero scores, the seed alone."""
    model = build_fcn(**{**NARROW, "width": 1 / 8}, stride=16)
    shapes = parameter_shapes(model, RGB)
    params = init_variables(model, RGB, seed=3, sharding=_sharding())["params"]
    same = jax.tree.map(
        lambda s, p: (s.shape, s.dtype) == (p.shape, p.dtype), shapes, params
    )
    assert all(jax.tree.leaves(same))
    for path, value in flatten(params).items():
        assert value.dtype == jnp.float32
        if path.startswith("head.") or path.endswith(".bias"):
            assert not value.any(), path
        else:
            fan_in = np.prod(value.shape[:-1])
            tolerance = 4 / value.size**0.5
            assert value.std() == pytest.approx((2 / fan_in) ** 0.5, rel=tolerance)
    again = init_variables(model, RGB, seed=3, sharding=_sharding())["params"]
    other = init_variables(model, RGB, seed=4, sharding=_sharding())["params"]
    first, second, third = (
        np.asarray(p["trunk"]["fc6"]["kernel"]) for p in (params, again, other)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


def test_state_before_the_first_update():
    """Oracle: step 0 as int32, momentum buffers of zero."""
    params = drawn_params()
    optimizer = make_optimizer(
        "caffe_sgd",
        make_schedule("fixed", learning_rate=0.1, total_steps=1),
        params=params,
        momentum=0.9,
        weight_decay=0.0,
        multipliers=(("*", 1.0, 1.0),),
    )
    state = create_state({"params": params}, optimizer, sharding=_sharding())
    assert state.step.dtype == jnp.int32
    assert int(state.step) == int(state.opt_state.count) == 0
    shapes = jax.tree.map(jnp.shape, params)
    assert jax.tree.map(jnp.shape, state.opt_state.history) == shapes
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.opt_state.history))


def test_paths_of_parameters_are_those_of_the_rule_tables():
    """Oracle: paths.flatten."""
    params = drawn_params()
    assert flat_arrays(params).keys() == flatten(params).keys()
    assert "trunk.conv1_1.kernel" in flat_arrays(params)


@pytest.mark.parametrize("name", ["caffe_sgd", "sgd", "adam", "adamw"])
def test_round_trip_of_an_optimiser_state(name):
    """Oracle: the state itself, and the next update that it leads to."""
    params = {"trunk": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "bias": jnp.ones(2)}
    optimizer = make_optimizer(
        name,
        make_schedule("poly", learning_rate=0.1, total_steps=9),
        params=params,
        momentum=0.9,
        weight_decay=0.1,
        multipliers=(("*", 1.0, 1.0),),
    )
    state = optimizer.init(params)
    _, state = optimizer.update(params, state, params)
    stored = {path: np.asarray(leaf) for path, leaf in flat_arrays(state).items()}
    assert all(not set("[]'\"") & set(path) for path in stored)
    assert len(stored) == len(jax.tree.leaves(state))
    restored = restore_tree(optimizer.init(params), stored, "optimiser state")
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    ours, _ = optimizer.update(params, restored, params)
    expected, _ = optimizer.update(params, state, params)
    jax.tree.map(np.testing.assert_array_equal, ours, expected)


def test_round_trip_of_a_chain_by_name():
    """Oracle: optax's own field names, positions of the chain in front."""
    chain = optax.chain(optax.trace(0.9), optax.scale_by_adam())
    state = chain.init({"w": jnp.ones(2)})
    assert set(flat_arrays(state)) == {"0.trace.w", "1.count", "1.mu.w", "1.nu.w"}


def test_fill_replaces_every_leaf():
    """Oracle: the stored arrays."""
    params = drawn_params()
    stored = drawn_arrays(params, seed=1)
    filled = flat_arrays(restore_tree(params, stored, "net"))
    assert filled.keys() == stored.keys()
    assert all(filled[path] is stored[path] for path in stored)


def test_fill_refuses_and_names_everything_that_differs():
    """Oracle: a missing, an extra, a reshaped and a retyped array, all named."""
    params = drawn_params()
    stored = drawn_arrays(params)
    del stored["trunk.fc6.bias"]
    stored["head.score_pool4.bias"] = np.zeros(3, np.float32)
    stored["head.score_fr.bias"] = np.zeros(4, np.float32)
    stored["trunk.fc7.bias"] = stored["trunk.fc7.bias"].astype(np.float16)
    with pytest.raises(ValueError, match="the stored net does not fit") as error:
        restore_tree(params, stored, "net")
    for part in (
        "trunk.fc6.bias is missing",
        "head.score_pool4.bias is not part of it",
        "head.score_fr.bias is float32[4] instead of float32[3]",
        "trunk.fc7.bias is float16[128] instead of float32[128]",
    ):
        assert part in str(error.value)


def test_long_lists_of_differences_are_cut():
    """Oracle: nothing stored; 12 parameters named, the rest counted."""
    params = drawn_params()
    more = len(flat_arrays(params)) - 12
    with pytest.raises(ValueError, match=f"and {more} more"):
        restore_tree(params, {}, "net")
