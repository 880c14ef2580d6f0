"""Initial parameters from other nets' checkpoints, strictly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax import Array

from fcn_jax.params import paths
from fcn_jax.params.adapting import ShapeMismatch, adapt_to
from fcn_jax.params.trees import dotted, flat_arrays, listed


@dataclass(frozen=True)
class PretrainedParams:
    """What one checkpoint gives to a net.

    Attributes:
        source: where it comes from, for the record.
        params: by the names that they have in the net.
        classes: class names of the parameters of its head, where they are known.
        missing: parameters that it was converted without.
        collections: what else its layers keep, as batch statistics, by the names that it
            has in the net, "batch_stats.trunk.conv1_bn.mean".
    """

    source: str
    params: Mapping[str, np.ndarray]
    classes: Mapping[str, tuple[str, ...]]
    missing: Sequence[str] = ()
    collections: Mapping[str, np.ndarray] = field(default_factory=dict)


def warm_start(
    params: Any,
    given: Sequence[PretrainedParams],
    *,
    new: Sequence[str],
    unused: Sequence[str],
    adapt: Sequence[tuple[str, str]],
    classes: Mapping[str, tuple[str, ...]],
    leading: Mapping[str, int],
) -> tuple[Any, dict[str, str]]:
    """Overwrite freshly initialised parameters by those of other nets, strictly.

    Args:
        params: the initialised parameters.
        given: parameters of the other nets; each one comes from exactly one net.
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
        ValueError: if a parameter is neither given nor new, is given twice, or has
            another shape or other classes, or if a stored one is left over; names
            them all.
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
            values[path], how = adapt_to(
                path,
                donor.params[path],
                fresh,
                there=donor.classes.get(path),
                here=classes.get(path),
                how=hows.get(path),
                leading=leading.get(path.partition(".")[0], 0),
            )
        except ShapeMismatch as error:
            problems.append(str(error))
            remedies.append(error.remedy)
        else:
            origins[path] = f"{donor.source} ({how})" if how else donor.source
    problems += _left_over(own, given, [*unused, *new])
    if problems:
        _refuse(given, problems, remedies)

    def choose(path: Any, value: Array) -> Array:
        chosen = values.get(dotted(path))
        if chosen is None:
            return value
        return jax.device_put(chosen.astype(value.dtype), value.sharding)

    return jax.tree_util.tree_map_with_path(choose, params), origins


def warm_collections(
    collections: Mapping[str, Any],
    params: Any,
    given: Sequence[PretrainedParams],
    *,
    new: Sequence[str],
) -> dict[str, Any]:
    """Take what layers keep, as batch statistics, from where their parameters came from.

    Args:
        collections: the initialised collections but "params".
        params: the initialised parameters.
        given: what `warm_start` has taken the parameters from.
        new: patterns of parameters that keep their initial value; a layer with new
            parameters alone keeps its initial statistics too.

    Returns:
        The collections.

    Raises:
        ValueError: if a checkpoint gives a layer's parameters, but not what it keeps.
    """
    modules: dict[str, PretrainedParams] = {}
    for path in flat_arrays(params):
        if paths.first_match(path, new) is None:
            modules[path.rpartition(".")[0]] = _only_donor(path, given)

    def choose(path: Any, value: Array) -> Array:
        name = dotted(path)
        donor = modules.get(name.partition(".")[2].rpartition(".")[0])
        if donor is None:
            return value
        found = donor.collections.get(name)
        if found is None or found.shape != value.shape:
            raise ValueError(
                f"{donor.source} gives the parameters of this layer, but no {name} of "
                f"the shape {list(value.shape)}; name the layer in config.init_new"
            )
        return jax.device_put(found.astype(value.dtype), value.sharding)

    return jax.tree_util.tree_map_with_path(choose, dict(collections))


def _adaptations(
    own: Mapping[str, Any], new: Sequence[str], adapt: Sequence[tuple[str, str]]
) -> tuple[dict[str, str], list[str]]:
    """Find how each parameter is adapted, and which patterns match nothing."""
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


def _only_donor(path: str, given: Sequence[PretrainedParams]) -> PretrainedParams:
    """Return the one checkpoint that has a parameter."""
    holders = [donor for donor in given if path in donor.params]
    if len(holders) == 1:
        return holders[0]
    if holders:
        raise ShapeMismatch(
            f"{path} is in both {holders[0].source} and {holders[1].source}",
            "a rule of config.init_from renames what one of two checkpoints shall not "
            "give, ('head.*', 'left.head.*'), to be named in config.init_unused",
        )
    raise ShapeMismatch(
        f"{path} is {'not in it' if len(given) == 1 else 'in none of them'}"
    )


def _left_over(
    own: Mapping[str, Any], given: Sequence[PretrainedParams], allowed: Sequence[str]
) -> list[str]:
    """List stored parameters that the net lacks and that may not be left over."""
    return [
        f"{path}{f' of {donor.source}' if len(given) > 1 else ''} is left over"
        for donor in given
        for path in donor.params
        if path not in own and paths.first_match(path, allowed) is None
    ]


def _refuse(
    given: Sequence[PretrainedParams], problems: Sequence[str], remedies: Sequence[str]
) -> None:
    """Raise one error for all that does not fit.

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
        f"{listed(problems)}{''.join(partial)}; name parameters that shall start afresh "
        "in config.init_new and stored ones without a place in config.init_unused"
        + "".join(f"; {remedy}" for remedy in dict.fromkeys(remedies) if remedy)
    )
