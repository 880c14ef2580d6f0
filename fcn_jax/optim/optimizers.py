"""Caffe's SGD as an optax transform, and the usual optimisers by name.

One update of a parameter w with learning-rate multiplier m_l and decay multiplier
m_d (Caffe's SGDSolver):

    g = g + weight_decay * m_d * w
    h = momentum * h + learning_rate * m_l * g
    w = w - h

The learning rate is inside the buffer h: where it changes, past gradients keep the
rate they came with. (`optax.sgd` keeps it outside, equal only at a constant rate.)
Gradients of `iter_size` accumulated batches are divided by `iter_size` before all
this, in the train step.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax
from jax import Array

from fcn_jax.optim import OptimizerName, ScheduleName
from fcn_jax.params import paths

Schedule = Callable[[Array], Array]
Multipliers = Sequence[tuple[str, float, float]]
"""Ordered (pattern, learning-rate multiplier, decay multiplier)."""


class CaffeSGDState(NamedTuple):
    """Number of completed updates, and the momentum buffer of each parameter."""

    count: Array
    history: Any


def caffe_sgd(
    schedule: Schedule,
    *,
    momentum: float,
    weight_decay: float,
    learning_rate_multipliers: Any,
    decay_multipliers: Any,
) -> optax.GradientTransformation:
    """Build Caffe's SGD with momentum; see the module's docstring.

    Args:
        schedule: learning rate by number of completed updates.
        momentum: factor on the buffer, in [0, 1).
        weight_decay: factor on the parameter, added to the gradient.
        learning_rate_multipliers: tree of floats like the parameters; 0 freezes a
            parameter entirely, decay included.
        decay_multipliers: tree of floats like the parameters.
    """

    def init(params: Any) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return CaffeSGDState(jnp.zeros((), jnp.int32), zeros)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("caffe_sgd decays the parameters: pass them to update")
        rate = schedule(state.count)

        def step(g: Array, h: Array, w: Array, m_l: float, m_d: float) -> Array:
            own_rate = (rate * m_l).astype(w.dtype)
            return momentum * h + own_rate * (g + (weight_decay * m_d) * w)

        history = jax.tree.map(
            step,
            updates,
            state.history,
            params,
            learning_rate_multipliers,
            decay_multipliers,
        )
        state = CaffeSGDState(state.count + 1, history)
        return jax.tree.map(jnp.negative, history), state

    return optax.GradientTransformation(init, update)


def make_schedule(
    name: ScheduleName,
    *,
    learning_rate: float,
    total_steps: int,
    warmup_steps: int = 0,
    decay_every: int = 100_000,
    decay_factor: float = 0.1,
) -> Schedule:
    """Build the learning rate as a function of the number of completed updates.

    Args:
        name: "fixed" (every run of the papers), "poly" (linear in the remaining
            steps to the power 0.9), "cosine", or "step" (Caffe's: multiplied by
            `decay_factor` after every `decay_every` updates).
        learning_rate: the base rate.
        total_steps: where "poly" and "cosine" reach zero.
        warmup_steps: updates over which the rate rises linearly to its value.
        decay_every: updates between the steps of "step".
        decay_factor: factor on the rate at each of them.
    """
    if name not in get_args(ScheduleName):
        allowed = ", ".join(get_args(ScheduleName))
        raise ValueError(f"schedule is {name!r}; it must be one of {allowed}")

    def schedule(count: Array) -> Array:
        steps = count.astype(jnp.float32)
        left = jnp.clip(1 - steps / total_steps, 0, 1)
        factor = {
            "fixed": jnp.ones((), jnp.float32),
            "poly": left**0.9,
            "cosine": 0.5 * (1 - jnp.cos(jnp.pi * left)),
            "step": decay_factor ** (count // decay_every).astype(jnp.float32),
        }[name]
        if warmup_steps:
            factor = factor * jnp.minimum(1, (steps + 1) / warmup_steps)
        return learning_rate * factor

    return schedule


def make_optimizer(
    name: OptimizerName,
    schedule: Schedule,
    *,
    params: Any,
    momentum: float,
    weight_decay: float,
    multipliers: Multipliers,
) -> optax.GradientTransformation:
    """Build an optimiser by name, with per-parameter multipliers.

    Args:
        name: "caffe_sgd" (the papers), or optax's "sgd" (momentum outside the
            rate), "adam" or "adamw", for work beyond the paper.
        schedule: learning rate by number of completed updates.
        params: parameters, or their shapes; only the paths are read.
        momentum: momentum of the two SGDs; the others ignore it.
        weight_decay: added to the gradient by the SGDs and "adam", decoupled in
            "adamw".
        multipliers: ordered rules; every parameter must match one.

    Raises:
        ValueError: for an unknown name or a table that does not cover the net.
    """
    rules = [(pattern, (rate, decay)) for pattern, rate, decay in multipliers]
    table = paths.match_all(
        list(paths.flatten(params)), rules, "the learning rate and decay"
    )
    rates = paths.unflatten({path: values[0] for path, values in table.items()})
    decays = paths.unflatten({path: values[1] for path, values in table.items()})
    if name == "caffe_sgd":
        return caffe_sgd(
            schedule,
            momentum=momentum,
            weight_decay=weight_decay,
            learning_rate_multipliers=rates,
            decay_multipliers=decays,
        )
    decay = _decay(weight_decay, decays)
    direction = {
        "sgd": [decay, optax.trace(momentum)],
        "adam": [decay, optax.scale_by_adam()],
        "adamw": [optax.scale_by_adam(), decay],
    }
    if name not in direction:
        allowed = ", ".join(get_args(OptimizerName))
        raise ValueError(f"optimizer is {name!r}; it must be one of {allowed}")
    return promoting(optax.chain(*direction[name], _scale_by_schedule(schedule, rates)))


def promoting(chain: optax.GradientTransformation) -> optax.GradientTransformation:
    """Let optax mix integer step counts with floats, even if jax is set to refuse it."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):
            return chain.update(updates, state, params)

    return optax.GradientTransformation(chain.init, update)


def _decay(weight_decay: float, multipliers: Any) -> optax.GradientTransformation:
    """Add each parameter, times its own decay, to its update."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        decayed = jax.tree.map(
            lambda u, w, m: u + (weight_decay * m) * w, updates, params, multipliers
        )
        return decayed, state

    return optax.GradientTransformation(_stateless, update)


def _stateless(params: Any) -> Any:
    del params
    return optax.EmptyState()


def _scale_by_schedule(schedule: Schedule, rates: Any) -> optax.GradientTransformation:
    """Multiply each update by minus its own learning rate."""

    def init(params: Any) -> Any:
        del params
        return jnp.zeros((), jnp.int32)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        rate = schedule(state)
        scaled = jax.tree.map(
            lambda u, m: -(rate * m).astype(u.dtype) * u, updates, rates
        )
        return scaled, state + 1

    return optax.GradientTransformation(init, update)
