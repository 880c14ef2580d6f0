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
    """

    step: Array
    params: Any
    opt_state: Any
    collections: Mapping[str, Any] = struct.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes."""
        return {"params": self.params, **self.collections}


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
) -> TrainState:
    """Return the state before the first update.

    Args:
        variables: the network's collections; "params" is one of them.
        optimizer: the optax transform.
        sharding: where the state lives.
    """
    collections = dict(variables)
    params = collections.pop("params")
    opt_state = jax.jit(optimizer.init, out_shardings=sharding)(params)
    step = jax.device_put(jnp.zeros((), jnp.int32), sharding)
    return TrainState(step, params, opt_state, collections)
