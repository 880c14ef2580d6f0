"""What happens before the first update: where the parameters come from.

This run's checkpoint, else `init_from`, else chance; and the table that says so.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging

from fcn_jax import experiment as assembly
from fcn_jax.checkpoints import store
from fcn_jax.checkpoints.record import required
from fcn_jax.checkpoints.store import Checkpoint
from fcn_jax.config import Config, from_dict, initial_checkpoints
from fcn_jax.experiment import Parts
from fcn_jax.launch import experiment_files
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.params.paths import flatten
from fcn_jax.params.surgery import Rules, classes_of, new_names
from fcn_jax.runtime import sharding
from fcn_jax.training.checks import trunk
from fcn_jax.training.checks.labels import check_labels
from fcn_jax.training.checks.same_data import check_same_data
from fcn_jax.training.state import (
    Given,
    TrainState,
    create_state,
    fill,
    init_params,
    warm_start,
)

INITIALISED = "initialised"
FARTHEST_MEAN = 40.0
"""Grey levels by which a mean may differ from that of a warm start."""
FARTHEST_LOGARITHM = 1.0
"""The same of logarithms, a factor of 2.7: metres are not millimetres."""
SAME_MEAN = 5.0
"""Grey levels within which two means are taken for the same, one of them reversed."""


def initial_state(
    config: Config, parts: Parts, found: Checkpoint | None
) -> tuple[TrainState, dict[str, str]]:
    """The state to start from, and where each parameter came from.

    Args:
        config: the experiment.
        parts: what the run is made of.
        found: this run's own newest checkpoint, if there is one.

    Raises:
        ValueError: if what is stored does not fit the network or the data.
    """
    if found is None:
        _refuse_missing_weights(config)
        if config.checks.labels:
            data = config.data
            scored = f"{data.eval_name} {data.eval_split}".strip()
            check_labels(
                {data.train_split: parts.train_source, scored: parts.eval_source}
            )
    everywhere = sharding.replicated(parts.mesh)
    channels = assembly.channels(parts.records)
    params = init_params(parts.model, channels, seed=config.seed, sharding=everywhere)
    optimizer = assembly.optimizer(config, params)
    if found is not None:
        return _resumed(
            config, parts, found, create_state(params, optimizer, sharding=everywhere)
        )
    origins = dict.fromkeys(flatten(params), INITIALISED)
    if config.init_from:
        params, origins = _warm(config, parts, params)
    if config.checks.untrained_trunk:
        trunk.check_trunk(config.recipe, origins)
    return create_state(params, optimizer, sharding=everywhere), origins


def _resumed(
    config: Config, parts: Parts, found: Checkpoint, state: TrainState
) -> tuple[TrainState, dict[str, str]]:
    here = data_position(config, parts, found.step)
    where = str(found.directory)
    stored = required(found.record, "data", where)
    check_same_data(stored, here, parts.train_source, where)
    _say_unread_start(config, found)
    params = fill(state.params, found.params, "net")
    optimizer = fill(state.opt_state, found.optimizer or {}, "optimiser state")
    logging.info("continuing %s after step %d", found.directory.parent, found.step)
    everywhere = sharding.replicated(parts.mesh)
    restored = TrainState(jnp.int32(found.step), params, optimizer)
    return jax.device_put(restored, everywhere), required(
        found.record, "origins", where
    )


def _say_unread_start(config: Config, found: Checkpoint) -> None:
    """Initial parameters may move once they have been read; others are not read."""
    where = str(found.directory)
    stored = from_dict(required(found.record, "config", where), where)
    if _sources(stored) != _sources(config):
        logging.warning(
            "config.init_from is %s and was %s: this run goes on from its own checkpoint "
            "%s, and reads neither",
            config.init_from or "empty",
            stored.init_from or "empty",
            where,
        )


def _sources(config: Config) -> list[tuple[str, Rules]]:
    """What a run starts from, as absolute paths."""
    return [(os.path.abspath(path), own) for path, own in initial_checkpoints(config)]


def _refuse_missing_weights(config: Config) -> None:
    """Before the net is initialised, which takes a while."""
    for path, _ in initial_checkpoints(config):
        if not Path(path).exists():
            raise ValueError(missing_weights(path))


def _warm(config: Config, parts: Parts, params: Any) -> tuple[Any, dict[str, str]]:
    given = []
    for path, rules in initial_checkpoints(config):
        found = store.load(path)
        replace = config.init_preprocessing == "replace"
        check_preprocessing(found, parts.records, replace=replace)
        given.append(_given(found, rules))
    outputs = {name: classes.names for name, classes in parts.outputs.items()}
    counts = assembly.channels(parts.records)
    return warm_start(
        params,
        given,
        new=config.init_new,
        unused=config.init_unused,
        adapt=config.init_adapt,
        classes=classes_of(flatten(params), outputs),
        leading={name: counts[own[0]] for name, own in config.model.streams.items()},
    )


def _given(found: Checkpoint, rules: Rules) -> Given:
    """What a checkpoint gives, under the names that it has in the net."""
    outputs = found.record.get("outputs") or {}
    classes = classes_of(
        found.params, {name: stored["names"] for name, stored in outputs.items()}
    )
    try:
        names = new_names(found.params, rules)
    except ValueError as error:
        raise ValueError(f"config.init_from, {found.directory}: {error}") from error
    return Given(
        source=str(found.directory),
        params={names[path]: value for path, value in found.params.items()},
        classes={names[path]: own for path, own in classes.items()},
        missing=found.record.get("missing") or (),
    )


def check_preprocessing(
    found: Checkpoint, records: Mapping[str, Preprocessing], *, replace: bool
) -> None:
    """The experiment's preprocessing may replace a checkpoint's mean, not its scale.

    A data set's own mean moves the image by a few grey levels, and is logged. What
    would hand the weights another kind of image is refused.

    Args:
        found: the checkpoint.
        records: the experiment's, by input; inputs of other names are not compared.
        replace: whether any change is meant; then it is only logged.

    Raises:
        ValueError: unless it is meant, if scale or logarithm differ, a mean is far off, or reversed.
    """
    stored = required(found.record, "preprocessing", str(found.directory))
    for name in sorted(records.keys() & stored.keys()):
        before = Preprocessing.from_dict(stored[name])
        now = records[name]
        problem = _other_kind(before, now)
        if problem and not replace:
            raise ValueError(
                f"config.preprocessing.{name} does not suit the weights of "
                f"{found.directory}: {problem}; take the checkpoint's preprocessing "
                f"({before.to_dict()}), or insist with "
                "--config.init_preprocessing=replace"
            )
        if problem or before.mean != now.mean:
            logging.warning(
                "the preprocessing of %s replaces that of %s: mean %s instead of %s%s",
                name,
                found.directory,
                now.mean,
                before.mean,
                f"; {problem}" if problem else "",
            )


def _other_kind(before: Preprocessing, now: Preprocessing) -> str:
    """What makes it another kind of image than before; "" if nothing does."""
    if before.logarithm != now.logarithm:
        return f"logarithm is {now.logarithm} here, {before.logarithm} there"
    if not math.isclose(before.scale, now.scale, rel_tol=1e-6):
        return f"scale is {now.scale:g} here, {before.scale:g} there"
    if len(before.mean) != len(now.mean):
        return ""
    means = f"the mean is {now.mean} here, {before.mean} there"
    limit = FARTHEST_LOGARITHM if now.logarithm else FARTHEST_MEAN
    if _distance(before.mean, now.mean) > limit:
        return f"{means}, more than {limit:g} apart"
    turned = _distance(before.mean, now.mean[::-1])
    if turned < SAME_MEAN < _distance(before.mean, now.mean):
        return f"{means}, which is the same in the order BGR; colours are RGB here"
    return ""


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def missing_weights(init_from: str) -> str:
    """The sentence for an `init_from` that is not there: what makes it."""
    parent, name = Path(init_from).parent.name, Path(init_from).name
    if parent == "runs" and name in experiment_files.names():
        remedy = f"train it: python -m fcn_jax.main --config={name}"
    elif parent == "third_party_weights":
        remedy = (
            "convert the pretrained weights into it, python -m fcn_jax.convert FILE "
            f"{init_from} --net={name}; third_party_weights/README.md lists the files"
        )
    else:
        remedy = "check the path"
    return (
        f"config.init_from is {init_from}, which does not exist; {remedy}, or give "
        "another checkpoint with --config.init_from=DIR"
    )


def data_position(config: Config, parts: Parts, step: int) -> dict[str, Any]:
    """How much of which data a run has seen after `step` updates."""
    return {
        "images": step * config.batch_size * config.accumulation,
        "train": parts.train_source.fingerprint,
        "length": len(parts.train_source),
        "evaluation": parts.eval_source.fingerprint,
    }


def write_parameter_table(
    directory: Path, params: Any, origins: Mapping[str, str]
) -> None:
    """Write parameters.txt: path, shape, count and origin of every parameter."""
    flat = flatten(params)
    width = max(len(path) for path in flat)
    total = sum(math.prod(value.shape) for value in flat.values())
    lines = [
        f"{path:<{width}}  {'x'.join(map(str, value.shape)):>16}  "
        f"{math.prod(value.shape):>12,}  {origins[path]}"
        for path, value in flat.items()
    ]
    lines.append(f"{'total':<{width}}  {'':>16}  {total:>12,}")
    file = directory / "parameters.txt"
    file.write_text("\n".join(lines) + "\n")
    logging.info("%d parameters; %s lists where each came from", total, file)
    for origin in sorted(set(origins.values())):
        own = [path for path in flat if origins[path] == origin]
        count = sum(math.prod(flat[path].shape) for path in own)
        logging.info("%d parameters in %d arrays: %s", count, len(own), origin)
