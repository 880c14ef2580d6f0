"""A state in the compiler's order of values: the same numbers as in the stored one."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Format, Layout

from fcn_jax.runtime import sharding
from fcn_jax.runtime.layouts import LaidOutStep


def _step(state, batch):
    rows = batch["rows"]
    slope = rows.T @ (rows @ state["kernel"]) / len(rows)
    new = {"kernel": state["kernel"] - 0.01 * slope, "step": state["step"] + 1}
    return new, {"loss": (rows @ state["kernel"]).sum()}


def _placed(count):
    mesh = sharding.make_mesh(jax.devices()[:count])
    return sharding.replicated(mesh), sharding.split_images(mesh, axis=0)


def _state(everywhere):
    kernel = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    return jax.device_put({"kernel": kernel, "step": np.int32(0)}, everywhere)


def _batch(images, length):
    rows = np.random.default_rng(length).normal(size=(length, 6)).astype(np.float32)
    return jax.device_put({"rows": rows}, images)


def test_updates_equal_those_of_a_jitted_step():
    """Oracle: `jax.jit` of the same function, bit by bit; two shapes of batches."""
    for count in (1, 2):
        everywhere, images = _placed(count)
        step = LaidOutStep(_step, state=everywhere, batch=images, compiler_options={})
        plain = jax.jit(_step)
        ours, theirs = _state(everywhere), _state(everywhere)
        for length in (4, 4, 8, 4):
            batch = _batch(images, length)
            ours, report = step(ours, batch)
            theirs, expected = plain(theirs, batch)
            jax.tree.map(np.testing.assert_array_equal, report, expected)
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
        assert len(step._programs) == 2


def test_a_state_in_another_order_is_brought_into_the_program_s():
    """Oracle: the same state in the usual order; values do not change."""
    everywhere, images = _placed(1)
    step = LaidOutStep(_step, state=everywhere, batch=images, compiler_options={})
    batch = _batch(images, 4)
    expected, _ = step(_state(everywhere), batch)
    state = _state(everywhere)
    by_columns = Format(Layout((1, 0)), everywhere)
    state["kernel"] = jax.device_put(state["kernel"], by_columns)
    assert state["kernel"].format.layout.major_to_minor == (1, 0)
    found, _ = step(state, batch)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_program_in_a_chosen_order():
    """Oracle: the jitted step; this compiler would not choose that order by itself."""
    everywhere, images = _placed(1)
    step = LaidOutStep(_step, state=everywhere, batch=images, compiler_options={})
    step._formats = {
        "kernel": Format(Layout((1, 0)), everywhere),
        "step": _state(everywhere)["step"].format,
    }
    batch = _batch(images, 4)
    found, _ = step(_state(everywhere), batch)
    found, _ = step(found, batch)
    assert found["kernel"].format.layout.major_to_minor == (1, 0)
    plain = jax.jit(_step)
    expected, _ = plain(plain(_state(everywhere), batch)[0], batch)
    np.testing.assert_allclose(found["kernel"], expected["kernel"], rtol=1e-6)
    # As a checkpoint reads it.
    stored = np.asarray(jax.device_get(found["kernel"]), order="C")
    np.testing.assert_array_equal(stored, jnp.asarray(found["kernel"]))


def test_a_step_is_lowered_from_shapes():
    """Oracle: the state is donated, and its results have its shapes."""
    everywhere, images = _placed(1)
    step = LaidOutStep(_step, state=everywhere, batch=images, compiler_options={})
    lowered = step.lower(jax.eval_shape(lambda: _state(everywhere)), _batch(images, 4))
    (state, _), _ = lowered.args_info
    assert all(leaf.donated for leaf in jax.tree.leaves(state))
    assert lowered.out_info[0]["kernel"].shape == (6, 4)
