"""Optimisers against NumPy loops of Caffe's formulas and optax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fcn_jax.optim.optimizers import CaffeSGDState, make_optimizer, make_schedule

SHAPES = {
    "trunk": {"conv1": {"kernel": (3, 2), "bias": (2,)}, "fc6": {"kernel": (2, 2)}},
    "head": {"upscore2": (4,)},
}
MULTIPLIERS = (
    ("head.upscore*", 0.0, 1.0),
    ("*.fc6.*", 0.1, 3.0),
    ("*.bias", 2.0, 0.0),
    ("*", 1.0, 1.0),
)
RATES = (0.1, 0.1, 0.003, 0.05, 0.05, 0.001, 0.2)


def _tree(seed, dtype=jnp.float64):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.normal(size=shape), dtype),
        SHAPES,
        is_leaf=lambda node: isinstance(node, tuple),
    )


def _rates(count):
    return jnp.asarray(RATES)[count]


def _constant(count):
    del count
    return jnp.asarray(0.05)


def _run(optimizer, params):
    """Parameters after every update by gradients drawn from the step's number."""
    state, history = optimizer.init(params), []
    for step in range(len(RATES)):
        updates, state = optimizer.update(_tree(100 + step), state, params)
        params = optax.apply_updates(params, updates)
        history.append(params)
    return history, state


def _make(name, schedule, params, *, decay=0.01, multipliers=MULTIPLIERS):
    return make_optimizer(
        name,
        schedule,
        params=params,
        momentum=0.9,
        weight_decay=decay,
        multipliers=multipliers,
    )


def caffe_by_numpy(w, gradients, rates, momentum, decay, rate_factor, decay_factor):
    """SGDSolver, one parameter: regularise, then the rate inside the buffer."""
    h, path = np.zeros_like(w), []
    for g, rate in zip(gradients, rates, strict=True):
        g = g + decay * decay_factor * w
        h = momentum * h + rate * rate_factor * g
        w = w - h
        path.append(w)
    return path


def test_caffe_sgd_equals_the_loop():
    """Oracle: NumPy loop of Caffe's rule, the rate changing, multipliers, decay."""
    with jax.enable_x64(True):
        params = _tree(0)
        history, state = _run(_make("caffe_sgd", _rates, params), params)
        gradients = [_tree(100 + step) for step in range(len(RATES))]
        assert isinstance(state, CaffeSGDState)
        assert int(state.count) == len(RATES)
    for path, factors in (
        (("trunk", "conv1", "kernel"), (1.0, 1.0)),
        (("trunk", "conv1", "bias"), (2.0, 0.0)),
        (("trunk", "fc6", "kernel"), (0.1, 3.0)),
        (("head", "upscore2"), (0.0, 1.0)),
    ):

        def leaf(tree, path=path):
            for name in path:
                tree = tree[name]
            return np.asarray(tree)

        expected = caffe_by_numpy(
            leaf(params), [leaf(g) for g in gradients], RATES, 0.9, 0.01, *factors
        )
        for ours, theirs in zip(history, expected, strict=True):
            np.testing.assert_allclose(leaf(ours), theirs, rtol=1e-12, atol=1e-14)


def test_multiplier_zero_never_moves_a_parameter():
    """Oracle: the start, bit by bit, with decay and momentum on."""
    with jax.enable_x64(True):
        params = _tree(0)
        for name in ("caffe_sgd", "sgd", "adam", "adamw"):
            history, _ = _run(_make(name, _rates, params), params)
            np.testing.assert_array_equal(
                history[-1]["head"]["upscore2"], params["head"]["upscore2"]
            )
            moved = history[-1]["trunk"]["conv1"]["kernel"]
            assert (moved != params["trunk"]["conv1"]["kernel"]).all()


def test_caffe_sgd_equals_optax_at_a_constant_rate_only():
    """Oracle: optax.sgd behind decay; by hand, one gradient 1, then the rate falls."""
    everywhere = (("*", 1.0, 1.0),)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        params = _tree(0)
        for schedule, equal in ((_constant, True), (_rates, False)):
            theirs = optax.chain(
                optax.add_decayed_weights(0.01), optax.sgd(schedule, momentum=0.9)
            )
            expected, _ = _run(theirs, params)
            ours, _ = _run(
                _make("caffe_sgd", schedule, params, multipliers=everywhere), params
            )
            close = [
                np.allclose(a, b, rtol=1e-10, atol=1e-13)
                for a, b in zip(
                    jax.tree.leaves(ours[-1]),
                    jax.tree.leaves(expected[-1]),
                    strict=True,
                )
            ]
            assert all(close) if equal else not any(close)

        w, one, none = {"w": jnp.zeros(())}, {"w": jnp.ones(())}, {"w": jnp.zeros(())}

        def falling(count):
            return jnp.where(count == 0, 1.0, 0.01)

        second = {}
        for name in ("caffe_sgd", "sgd"):
            optimizer = _make(name, falling, w, decay=0.0, multipliers=everywhere)
            _, state = optimizer.update(one, optimizer.init(w), w)
            updates, _ = optimizer.update(none, state, w)
            second[name] = float(updates["w"])
    assert second["caffe_sgd"] == pytest.approx(-0.9, rel=1e-12)
    assert second["sgd"] == pytest.approx(-0.9 * 0.01, rel=1e-12)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_other_optimisers_equal_optax(name):
    """Oracle: optax's own, with a rate that changes and decay everywhere."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        params = _tree(0)
        decay = optax.add_decayed_weights(0.01)
        theirs = {
            "sgd": optax.chain(decay, optax.sgd(_rates, momentum=0.9)),
            "adam": optax.chain(decay, optax.adam(_rates)),
            "adamw": optax.adamw(_rates, weight_decay=0.01),
        }[name]
        expected, _ = _run(theirs, params)
        optimizer = _make(name, _rates, params, multipliers=(("*", 1.0, 1.0),))
        ours, _ = _run(optimizer, params)
        for a, b in zip(ours, expected, strict=True):
            jax.tree.map(
                lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-13),
                a,
                b,
            )


@pytest.mark.parametrize("name", ["caffe_sgd", "sgd", "adam", "adamw"])
def test_multipliers_scale_the_update_of_every_optimiser(name):
    """Oracle: the first update is proportional to the rate multiplier."""
    with jax.enable_x64(True):
        params = _tree(0)
        first = {}
        for factor in (1.0, 2.0):
            rules = (("*.bias", factor, 0.0), ("*", 1.0, 1.0))
            optimizer = _make(name, _constant, params, multipliers=rules)
            updates, _ = optimizer.update(_tree(100), optimizer.init(params), params)
            first[factor] = updates["trunk"]["conv1"]
        np.testing.assert_allclose(
            first[2.0]["bias"], 2 * first[1.0]["bias"], rtol=1e-12
        )
        np.testing.assert_array_equal(first[2.0]["kernel"], first[1.0]["kernel"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["caffe_sgd", "sgd", "adam", "adamw"])
def test_update_runs_jitted_in_float32_under_strict_promotion(name):
    """Oracle: dtypes of the parameters; values of the same update without jit."""
    params = _tree(0, jnp.float32)
    schedule = make_schedule("poly", learning_rate=0.1, total_steps=10, warmup_steps=2)
    optimizer = _make(name, schedule, params)
    state, gradients = optimizer.init(params), _tree(1, jnp.float32)
    jitted, new_state = jax.jit(optimizer.update)(gradients, state, params)
    plain, _ = optimizer.update(gradients, state, params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), jitted, plain
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(jitted)} == {np.dtype("float32")}
    same = jax.tree.map(lambda a, b: a.dtype == b.dtype, new_state, state)
    assert all(jax.tree.leaves(same))


@pytest.mark.parametrize("name", ["caffe_sgd", "sgd"])
def test_updates_keep_the_type_of_the_parameters(name):
    """Oracle: by hand; minus 0.5 times a gradient of 3, in bfloat16."""
    params = {"w": jnp.zeros(2, jnp.bfloat16)}
    rules = (("*", 0.5, 0.0),)
    schedule = make_schedule("fixed", learning_rate=1.0, total_steps=1)
    optimizer = _make(name, schedule, params, multipliers=rules)
    gradients = {"w": jnp.full(2, 3, jnp.bfloat16)}
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    assert updates["w"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(updates["w"], np.float32), [-1.5, -1.5])


def test_state_is_made_of_optax_s_own():
    """Oracle: optax's tuples; a stored run is read back into the same ones."""
    params = _tree(0, jnp.float32)
    decay, trace, count = _make("sgd", _rates, params).init(params)
    assert decay == optax.EmptyState()
    assert isinstance(trace, optax.TraceState)
    assert int(count) == 0


def test_table_must_cover_the_net_and_nothing_else():
    """Oracle: the messages name the parameter or the rule."""
    params = _tree(0, jnp.float32)
    with pytest.raises(ValueError, match=r"learning rate.*'trunk.conv1.kernel'"):
        _make(
            "caffe_sgd",
            _rates,
            params,
            multipliers=(("*.bias", 2, 0), ("head.*", 1, 1)),
        )
    with pytest.raises(ValueError, match=r"\['\*.fc8.\*'\].*apply to no parameter"):
        _make("caffe_sgd", _rates, params, multipliers=(("*.fc8.*", 2, 0), ("*", 1, 1)))


def test_unknown_names_and_missing_parameters_are_refused():
    """Oracle: the messages name the value and what is allowed."""
    params = _tree(0, jnp.float32)
    with pytest.raises(ValueError, match="optimizer is 'lion'; it must be one of"):
        _make("lion", _rates, params)
    with pytest.raises(ValueError, match="schedule is 'stop'; it must be one of fixed"):
        make_schedule("stop", learning_rate=1.0, total_steps=1)
    optimizer = _make("caffe_sgd", _rates, params)
    with pytest.raises(ValueError, match="pass them to update"):
        optimizer.update(params, optimizer.init(params))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fixed", [0.2, 0.2, 0.2, 0.2, 0.2]),
        ("poly", [0.2, 0.2 * 0.75**0.9, 0.2 * 0.5**0.9, 0.2 * 0.25**0.9, 0.0]),
        ("cosine", [0.2, 0.2 * 0.8535534, 0.1, 0.2 * 0.1464466, 0.0]),
    ],
)
def test_schedules_by_hand(name, expected):
    """Oracle: (1 - t)^0.9 and (1 + cos(pi t)) / 2 at quarters of the run; 0 after it."""
    schedule = make_schedule(name, learning_rate=0.2, total_steps=40)
    counts = [jnp.asarray(count, jnp.int32) for count in (0, 10, 20, 30, 40)]
    ours = [float(schedule(count)) for count in counts]
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-8)
    beyond = float(schedule(jnp.asarray(50, jnp.int32)))
    assert beyond == pytest.approx(expected[-1], abs=1e-8)


def test_warm_up_by_hand():
    """Oracle: 1/4, 2/4, 3/4, 1 of the rate, and the rate from then on."""
    schedule = make_schedule(
        "fixed", learning_rate=1e-14, total_steps=9, warmup_steps=4
    )
    ours = [float(schedule(jnp.asarray(count, jnp.int32))) for count in range(6)]
    np.testing.assert_allclose(
        ours, [0.25e-14, 0.5e-14, 0.75e-14, *[1e-14] * 3], rtol=1e-6
    )


def test_the_steps_of_the_rate_by_hand():
    """Oracle: Caffe's "step" policy, base_lr * gamma ^ floor(iter / stepsize)."""
    schedule = make_schedule(
        "step", learning_rate=0.01, total_steps=9, decay_every=3, decay_factor=0.1
    )
    counts = (0, 1, 2, 3, 5, 6, 8, 9, 100_000)
    ours = [float(schedule(jnp.asarray(count, jnp.int32))) for count in counts]
    expected = [1e-2, 1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 0.0]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
