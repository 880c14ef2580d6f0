"""The parts of one update: what it reports as finite, and what it copies."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fcn_jax.optim.optimizers import make_optimizer, make_schedule
from fcn_jax.runtime.compiled_programs import compiler_options
from fcn_jax.training.train_step import finite_by_module

MULTIPLIERS = (("head.frozen.*", 0.0, 0.0), ("*.bias", 2.0, 0.0), ("*", 1.0, 1.0))
SHAPES = {
    "trunk": {
        "conv1_1": {"kernel": (3, 3, 3, 5), "bias": (5,)},
        "fc6": {"kernel": (2, 2, 40, 300), "bias": (300,)},
    },
    "head": {"frozen": {"kernel": (1, 1, 30, 7)}},
}
MODULES = ("trunk.conv1_1", "trunk.fc6", "head.frozen")


def _tree(seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: rng.normal(size=shape).astype(np.float32),
        SHAPES,
        is_leaf=lambda node: isinstance(node, tuple),
    )


@pytest.mark.parametrize("name", ["caffe_sgd", "sgd", "adam", "adamw"])
def test_a_gradient_that_is_not_finite_marks_its_module(name):
    """Oracle: the planted value, at the first, a middle and the last place; rate 0 too."""
    params = _tree(0)
    schedule = make_schedule("poly", learning_rate=0.1, total_steps=1)
    optimizer = make_optimizer(
        name,
        schedule,
        params=params,
        momentum=0.9,
        weight_decay=5e-4,
        multipliers=MULTIPLIERS,
    )

    @jax.jit
    def flags(gradients, count):
        state = optimizer.init(params)
        if name == "caffe_sgd":
            state = state._replace(count=count)
        updates, _ = optimizer.update(gradients, state, params)
        return finite_by_module(optax.apply_updates(params, updates))

    assert all(flags(_tree(1), jnp.int32(0)).values())
    for value in (np.nan, np.inf, -np.inf):
        for module in MODULES:
            for place in (0, 10, -1):
                gradients = _tree(1)
                node = gradients
                for part in module.split("."):
                    node = node[part]
                node["kernel"].reshape(-1)[place] = value
                for count in (0, 1):  # at 1 the poly schedule has come to zero
                    finite = flags(gradients, jnp.int32(count))
                    assert [m for m in finite if not finite[m]] == [module]


def test_parameters_that_are_not_finite_mark_their_module():
    """Oracle: the planted value, in every column of a row, and in a bias."""
    for place in range(300):
        params = _tree(0)
        params["trunk"]["fc6"]["kernel"][1, 0, 7, place] = np.nan
        finite = finite_by_module(params)
        assert not finite["trunk.fc6"]
        assert finite["trunk.conv1_1"]
    params = _tree(0)
    params["trunk"]["conv1_1"]["bias"][2] = np.inf
    assert not finite_by_module(params)["trunk.conv1_1"]


def test_a_donated_kernel_is_not_copied_before_its_update():
    """Oracle: copies of its shape in the compiled program, without the option one."""
    options = compiler_options("cpu")
    if not options:
        pytest.skip("this XLA has no such option")

    def step(kernels, x):
        def loss(kernels):
            return ((jnp.tanh(x @ kernels[0]) @ kernels[1]) ** 2).sum()

        return jax.tree.map(lambda w, g: w - 0.1 * g, kernels, jax.grad(loss)(kernels))

    kernels, x = [jnp.full((96, 96), 0.01), jnp.full((96, 96), 0.02)], jnp.ones((8, 96))
    copies, results = [], []
    for given in ({}, options):
        compiled = jax.jit(step, donate_argnums=0, compiler_options=given)
        text = compiled.lower(kernels, x).compile().as_text()
        assert text is not None
        copies.append(len(re.findall(r"= f32\[96,96\]\S* copy\(", text)))
        results.append(compiled([kernel.copy() for kernel in kernels], x))
    assert copies == [1, 0]
    jax.tree.map(np.testing.assert_array_equal, *results)
