"""The state of a run: parameters, optimiser state, number of completed updates.

Built abstractly first, then initialised where it will live, then overwritten by
what a run starts from: its own checkpoint, else `init_from`, else nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import Array
from jax.sharding import Sharding

from fcn_jax.models.fcn import FCN
from fcn_jax.params import paths
from fcn_jax.params.adapting import Misfit, fit


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


def parameter_shapes(
    model: FCN, channels: Mapping[str, int], size: int = 64
) -> dict[str, Any]:
    """Shapes of the parameters, without computing any.

    Args:
        model: the network.
        channels: channels of each input by name.
        size: rows and columns of an image that the network takes.
    """
    return jax.eval_shape(
        lambda: _init_params(model, channels, jax.random.key(0), size)
    )


def init_params(
    model: FCN, channels: Mapping[str, int], *, seed: int, sharding: Sharding
) -> dict[str, Any]:
    """Parameters as the reference starts them: He-normal trunk, zero scores."""
    init = jax.jit(
        lambda key: _init_params(model, channels, key), out_shardings=sharding
    )
    return init(jax.random.key(seed))


def _init_params(
    model: FCN, channels: Mapping[str, int], key: Array, size: int = 64
) -> Any:
    inputs = {
        name: jnp.zeros((1, size, size, count), jnp.float32)
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


@dataclass(frozen=True)
class Given:
    """What one checkpoint gives to a net.

    Attributes:
        source: where it comes from, for the record.
        params: by the names that they have in the net.
        classes: class names of the parameters of its head, where they are known.
        missing: parameters that it was converted without.
    """

    source: str
    params: Mapping[str, np.ndarray]
    classes: Mapping[str, tuple[str, ...]]
    missing: Sequence[str] = ()


def warm_start(
    params: Any,
    given: Sequence[Given],
    *,
    new: Sequence[str],
    unused: Sequence[str],
    adapt: Sequence[tuple[str, str]],
    classes: Mapping[str, tuple[str, ...]],
    leading: Mapping[str, int],
) -> tuple[Any, dict[str, str]]:
    """Overwrite freshly initialised parameters by other nets', strictly.

    Args:
        params: the initialised parameters.
        given: the other nets'; each parameter comes from exactly one of them.
        new: patterns of parameters that keep their initial value.
        unused: patterns of stored parameters that may be left over.
        adapt: ordered (pattern, how), first match wins: "classes" matches a layer of
            the head class by class, "channels" fits an input kernel to other channels.
        classes: class names of the parameters of this net's head.
        leading: channels of the first input of each stream.

    Returns:
        The parameters, and where each of them came from: a source, with what was done
        to it in brackets, or "initialised".

    Raises:
        ValueError: if a parameter is neither given nor new, or given twice, has another
            shape or other classes, or a stored one is left over; all are named.
    """
    own = flat_arrays(params)
    hows, problems = _adaptations(own, new, adapt)
    origins, values, remedies = {}, {}, []
    for path, fresh in own.items():
        if paths.first_match(path, new) is not None:
            origins[path] = "initialised"
            continue
        try:
            donor = _only_donor(path, given)
            values[path], how = fit(
                path,
                donor.params[path],
                fresh,
                there=donor.classes.get(path),
                here=classes.get(path),
                how=hows.get(path),
                leading=leading.get(path.partition(".")[0], 0),
            )
        except Misfit as error:
            problems.append(str(error))
            remedies.append(error.remedy)
        else:
            origins[path] = f"{donor.source} ({how})" if how else donor.source
    problems += _left_over(own, given, [*unused, *new])
    if problems:
        _refuse(given, problems, remedies)

    def choose(path: Any, value: Array) -> Array:
        chosen = values.get(_dotted(path))
        if chosen is None:
            return value
        return jax.device_put(chosen.astype(value.dtype), value.sharding)

    return jax.tree_util.tree_map_with_path(choose, params), origins


def _adaptations(
    own: Mapping[str, Any], new: Sequence[str], adapt: Sequence[tuple[str, str]]
) -> tuple[dict[str, str], list[str]]:
    """How each parameter is adapted, and the patterns that match nothing."""
    problems = [
        f"the pattern {pattern!r} of new parameters matches none"
        for pattern in new
        if not any(paths.first_match(path, [pattern]) for path in own)
    ]
    hows, used = {}, set()
    for path in own:
        if paths.first_match(path, new) is not None:
            continue
        for index, (pattern, how) in enumerate(adapt):
            if paths.first_match(path, [pattern]):
                hows[path] = how
                used.add(index)
                break
    problems += [
        f"the pattern {pattern!r} of config.init_adapt applies to no parameter"
        for index, (pattern, _) in enumerate(adapt)
        if index not in used
    ]
    return hows, problems


def _only_donor(path: str, given: Sequence[Given]) -> Given:
    """The one checkpoint that has a parameter."""
    holders = [donor for donor in given if path in donor.params]
    if len(holders) == 1:
        return holders[0]
    if holders:
        raise Misfit(
            f"{path} is in both {holders[0].source} and {holders[1].source}",
            "a rule of config.init_from renames what one of two checkpoints shall not "
            "give, ('head.*', 'left.head.*'), to be named in config.init_unused",
        )
    raise Misfit(f"{path} is {'not in it' if len(given) == 1 else 'in none of them'}")


def _left_over(
    own: Mapping[str, Any], given: Sequence[Given], allowed: Sequence[str]
) -> list[str]:
    """Stored parameters without a place that are not allowed to be without."""
    return [
        f"{path}{f' of {donor.source}' if len(given) > 1 else ''} is left over"
        for donor in given
        for path in donor.params
        if path not in own and paths.first_match(path, allowed) is None
    ]


def _refuse(
    given: Sequence[Given], problems: Sequence[str], remedies: Sequence[str]
) -> None:
    """One sentence for all that does not fit.

    Raises:
        ValueError: always.
    """
    names = " and ".join(donor.source for donor in given)
    partial = [
        f"; {donor.source} is partial: it was converted without "
        + ", ".join(donor.missing)
        for donor in given
        if donor.missing
    ]
    raise ValueError(
        f"{names} {'does' if len(given) == 1 else 'do'} not initialise this net: "
        f"{_list(problems)}{''.join(partial)}; name parameters that shall start afresh "
        "in config.init_new and stored ones without a place in config.init_unused"
        + "".join(f"; {remedy}" for remedy in dict.fromkeys(remedies) if remedy)
    )


def _dotted(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _list(problems: Sequence[str], limit: int = 12) -> str:
    shown = "; ".join(problems[:limit])
    left = len(problems) - limit
    return shown if left <= 0 else f"{shown}; and {left} more"
