"""The state of a run: what one update changes."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array
from jax.sharding import Sharding

from fcn_jax.models.fcn import FCN, blank_inputs


@struct.dataclass
class TrainState:
    """Everything that one update changes.

    Attributes:
        step: scalar int32, completed updates.
        params: nested parameters, float32.
        opt_state: state of the optax transform.
        collections: what else the network's layers keep, by Flax collection, as
            "batch_stats"; empty for the nets of the papers.
        average: exponential moving average of the parameters and of the floating-point
            collections, by collection; None where a run keeps none.
    """

    step: Array
    params: Any
    opt_state: Any
    collections: Mapping[str, Any] = struct.field(default_factory=dict)
    average: Mapping[str, Any] | None = None

    @property
    def trained(self) -> dict[str, Any]:
        """What updates change: the parameters and the collections."""
        return {"params": self.params, **self.collections}

    @property
    def variables(self) -> dict[str, Any]:
        """The network that is scored and saved, as `model.apply` takes it."""
        return self.trained if self.average is None else dict(self.average)

    @property
    def rest(self) -> Any:
        """What a continued run needs beside `variables`."""
        if self.average is None:
            return self.opt_state
        return {"optimizer": self.opt_state, "trained": self.trained}


def restored_state(
    fresh: TrainState, step: Array, variables: Any, rest: Any
) -> TrainState:
    """Return the state whose `variables` and `rest` were stored.

    Args:
        fresh: a state of the same run; whether it has an average is read.
        step: scalar int32, completed updates.
        variables: see `TrainState.variables`.
        rest: see `TrainState.rest`.
    """
    average, trained, opt_state = None, dict(variables), rest
    if fresh.average is not None:
        average, trained, opt_state = (
            variables,
            dict(rest["trained"]),
            rest["optimizer"],
        )
    params = trained.pop("params")
    return TrainState(step, params, opt_state, trained, average)


def init_variables(
    model: FCN, channels: Mapping[str, int], *, seed: int, sharding: Sharding
) -> dict[str, Any]:
    """Initialise a network as the reference does: He-normal trunk, zero scores.

    Args:
        model: the network.
        channels: channels of each input by name.
        seed: of the random numbers.
        sharding: where the variables live.

    Returns:
        The collections; "params" is one of them.
    """

    def init(key: Array) -> Any:
        return dict(
            model.init(key, blank_inputs(channels, model.probe_size), train=False)
        )

    return jax.jit(init, out_shardings=sharding)(jax.random.key(seed))


def create_state(
    variables: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    *,
    sharding: Sharding,
    averaged: bool = False,
) -> TrainState:
    """Return the state before the first update.

    Args:
        variables: the network's collections; "params" is one of them.
        optimizer: the optax transform.
        sharding: where the state lives.
        averaged: whether a moving average of the variables is kept.
    """
    collections = dict(variables)
    params = collections.pop("params")
    opt_state = jax.jit(optimizer.init, out_shardings=sharding)(params)
    step = jax.device_put(jnp.zeros((), jnp.int32), sharding)
    # A copy: the step consumes every array of the state once.
    average = jax.tree.map(jnp.copy, dict(variables)) if averaged else None
    return TrainState(step, params, opt_state, collections, average)
