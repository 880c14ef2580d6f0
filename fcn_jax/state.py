"""The state of a run: parameters, optimiser state, number of completed updates.

Built abstractly first, then initialised where it will live, then overwritten by
what a run starts from: its own checkpoint, else `init_from`, else nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import Array
from jax.sharding import Sharding

from fcn_jax import paths
from fcn_jax.models.fcn import FCN


@struct.dataclass
class TrainState:
    """Everything that one update changes.

    Attributes:
        step: scalar int32, completed updates.
        params: nested parameters, float32.
        opt_state: state of the optax transform.
    """

    step: Array
    params: Any
    opt_state: Any


def parameter_shapes(model: FCN, channels: Mapping[str, int]) -> dict[str, Any]:
    """Shapes of the parameters, without computing any.

    Args:
        model: the network.
        channels: channels of each input by name.
    """
    return jax.eval_shape(lambda: _init_params(model, channels, jax.random.key(0)))


def init_params(
    model: FCN, channels: Mapping[str, int], *, seed: int, sharding: Sharding
) -> dict[str, Any]:
    """Parameters as the reference starts them: He-normal trunk, zero scores."""
    init = jax.jit(
        lambda key: _init_params(model, channels, key), out_shardings=sharding
    )
    return init(jax.random.key(seed))


def _init_params(model: FCN, channels: Mapping[str, int], key: Array) -> Any:
    inputs = {
        name: jnp.zeros((1, 64, 64, count), jnp.float32)
        for name, count in channels.items()
    }
    return model.init(key, inputs, train=False)["params"]


def create_state(
    params: Any, optimizer: optax.GradientTransformation, *, sharding: Sharding
) -> TrainState:
    """The state before the first update."""
    opt_state = jax.jit(optimizer.init, out_shardings=sharding)(params)
    step = jax.device_put(jnp.zeros((), jnp.int32), sharding)
    return TrainState(step, params, opt_state)


def flat_arrays(tree: Any) -> dict[str, Any]:
    """Any tree as one mapping from dotted paths to arrays, for a checkpoint."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {_dotted(path): leaf for path, leaf in leaves}


def fill(tree: Any, arrays: Mapping[str, np.ndarray], what: str) -> Any:
    """A tree of the same structure with stored arrays as its leaves.

    Raises:
        ValueError: if a leaf is missing, extra, or of another shape or dtype; all
            of them are named.
    """
    expected = flat_arrays(tree)
    problems = [f"{path} is missing" for path in expected if path not in arrays]
    problems += [f"{path} is not part of it" for path in arrays if path not in expected]
    for path in expected.keys() & arrays.keys():
        have, want = arrays[path], expected[path]
        if have.shape != want.shape or have.dtype != want.dtype:
            problems.append(
                f"{path} is {have.dtype}{list(have.shape)} instead of "
                f"{want.dtype}{list(want.shape)}"
            )
    if problems:
        raise ValueError(
            f"the stored {what} does not fit this net: {_list(sorted(problems))}"
        )
    return jax.tree_util.tree_map_with_path(lambda path, _: arrays[_dotted(path)], tree)


def warm_start(
    params: Any,
    stored: Mapping[str, np.ndarray],
    *,
    source: str,
    new: Sequence[str],
    unused: Sequence[str],
) -> tuple[Any, dict[str, str]]:
    """Overwrite freshly initialised parameters by another net's, strictly.

    Args:
        params: the initialised parameters.
        stored: the other net's, by dotted path.
        source: where they come from, for the record.
        new: patterns of parameters that keep their initial value.
        unused: patterns of stored parameters that may be left over.

    Returns:
        The parameters, and where each of them came from: `source`, or
        "initialised".

    Raises:
        ValueError: if a parameter is neither stored nor new, has another shape, or
            a stored one is left over; all of them are named.
    """
    origins, problems = {}, []
    own = flat_arrays(params)
    for path, value in own.items():
        if paths.first_match(path, new) is not None:
            origins[path] = "initialised"
        elif path not in stored:
            problems.append(f"{path} is not in it")
        elif stored[path].shape != value.shape:
            problems.append(
                f"{path} is {list(stored[path].shape)} there, {list(value.shape)} here"
            )
        else:
            origins[path] = source
    problems += [
        f"the pattern {pattern!r} of new parameters matches none"
        for pattern in new
        if not any(paths.first_match(path, [pattern]) for path in own)
    ]
    taken = {path for path, origin in origins.items() if origin == source}
    for path in stored:
        if path not in taken and paths.first_match(path, [*unused, *new]) is None:
            problems.append(f"{path} is left over")
    if problems:
        raise ValueError(
            f"{source} does not initialise this net: {_list(problems)}; name "
            "parameters that shall start afresh in config.init_new and stored ones "
            "without a place in config.init_unused"
        )

    def choose(path: Any, value: Array) -> Array:
        name = _dotted(path)
        if origins[name] != source:
            return value
        return jax.device_put(stored[name].astype(value.dtype), value.sharding)

    return jax.tree_util.tree_map_with_path(choose, params), origins


def _dotted(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _list(problems: Sequence[str], limit: int = 12) -> str:
    shown = "; ".join(problems[:limit])
    left = len(problems) - limit
    return shown if left <= 0 else f"{shown}; and {left} more"
