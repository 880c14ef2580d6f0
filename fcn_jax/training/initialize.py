"""Find where the parameters come from, before the first update.

They are read from this run's checkpoint, else from `init_from`, else drawn at random.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging

from fcn_jax.checkpoints.load_model import read_checkpoint
from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.stored import Checkpoint
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.models.fcn import channels
from fcn_jax.params.paths import Rules, flatten, pretrained_sources
from fcn_jax.params.surgery import classes_of, new_names
from fcn_jax.params.trees import restore_tree
from fcn_jax.params.warm_start import PretrainedParams, warm_collections, warm_start
from fcn_jax.runtime import sharding, shipped
from fcn_jax.runtime.shipped import is_packaged
from fcn_jax.training.checks.labels import check_labels
from fcn_jax.training.checks.preprocessing import check_preprocessing
from fcn_jax.training.checks.same_data import check_same_data
from fcn_jax.training.checks.trunk import check_trunk
from fcn_jax.training.state import (
    TrainState,
    create_state,
    init_variables,
    restored_state,
)

INITIALISED = "initialised"


def initial_state(
    run: Experiment, found: Checkpoint | None
) -> tuple[TrainState, dict[str, str]]:
    """Return the state to start from, and where each parameter came from.

    Args:
        run: the experiment.
        found: this run's own newest checkpoint, if there is one.

    Raises:
        ValueError: if what is stored does not fit the network or the data.
    """
    if found is None:
        _refuse_missing_weights(run)
        if run.checks.labels and not run.spec.is_classifier:
            _check_labels(run)
    everywhere = sharding.replicated(run.mesh)
    counts = channels(run.preprocessing)
    variables = init_variables(run.model, counts, seed=run.seed, sharding=everywhere)
    params = variables["params"]
    optimizer, averaged = run.make_optimizer(params), run.average_decay > 0

    def created(variables: Mapping[str, Any]) -> TrainState:
        return create_state(
            variables, optimizer, sharding=everywhere, averaged=averaged
        )

    if found is not None:
        return _resumed(run, found, created(variables))
    origins = dict.fromkeys(flatten(params), INITIALISED)
    if run.start.checkpoints:
        variables, origins = _warm(run, variables)
    if run.checks.untrained_trunk:
        check_trunk(run.start.recipe, origins)
    return created(variables), origins


def _check_labels(run: Experiment) -> None:
    scored = run.scoring.split
    if run.scoring.data != run.data:
        scored = f"{run.scoring.data} {scored}"
    check_labels({run.train_split: run.train_source, scored: run.scoring.source})


def _resumed(
    run: Experiment, found: Checkpoint, state: TrainState
) -> tuple[TrainState, dict[str, str]]:
    where = str(found.directory)
    record = Record.from_dict(found.record, where)
    if record.data is None:
        raise ValueError(
            f"the record of {where} has no data, so it was not made by a run; give "
            "another --workdir"
        )
    here = data_position(run, found.step)
    check_same_data(record.data, here, run.train_source, where)
    _say_unread_start(run, record, where)
    logging.info("continuing %s after step %d", found.directory.parent, found.step)
    collections = dict(state.variables)
    params = collections.pop("params")
    variables = {
        "params": restore_tree(params, found.params, "net"),
        **restore_tree(collections, found.collections, "collections"),
    }
    rest = restore_tree(state.rest, found.optimizer or {}, "optimiser state")
    restored = restored_state(state, jnp.int32(found.step), variables, rest)
    everywhere = sharding.replicated(run.mesh)
    return jax.device_put(restored, everywhere), dict(record.origins)


def _say_unread_start(run: Experiment, record: Record, where: str) -> None:
    """Warn that a continued run does not read a changed `init_from`."""
    stored = pretrained_sources(record.config.get("init_from", ""))
    if _absolute(stored) != _absolute(run.start.checkpoints):
        here, there = (
            " and ".join(path for path, _ in own) or "empty"
            for own in (run.start.checkpoints, stored)
        )
        logging.warning(
            "config.init_from is %s and was %s: this run goes on from its own checkpoint "
            "%s, and reads neither",
            here,
            there,
            where,
        )


def _absolute(sources: Sequence[tuple[str, Rules]]) -> list[tuple[str, Rules]]:
    return [
        (path if is_packaged(path) else os.path.abspath(path), rules)
        for path, rules in sources
    ]


def _refuse_missing_weights(run: Experiment) -> None:
    """Refuse missing weights before the net is initialised, which takes a while."""
    for path, _ in run.start.checkpoints:
        if is_packaged(path):
            shipped.trunk(path)
        elif not Path(path).exists():
            raise ValueError(missing_weights(path))


def _warm(
    run: Experiment, variables: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    start, given = run.start, []
    for path, rules in start.checkpoints:
        found = read_checkpoint(path)
        record = Record.from_dict(found.record, str(found.directory))
        check_preprocessing(
            record.preprocessing,
            run.preprocessing,
            str(found.directory),
            replace=start.replace_preprocessing,
        )
        given.append(_given(found, record, rules))
    collections = dict(variables)
    params = collections.pop("params")
    outputs = {name: classes.names for name, classes in run.outputs.items()}
    counts = channels(run.preprocessing)
    warm, origins = warm_start(
        params,
        given,
        new=start.new,
        unused=start.unused,
        adapt=start.adapt,
        classes=classes_of(flatten(params), outputs),
        leading={own.name: counts[own.inputs[0]] for own in run.spec.streams},
    )
    kept = warm_collections(collections, params, given, new=start.new)
    return {"params": warm, **kept}, origins


def _given(found: Checkpoint, record: Record, rules: Rules) -> PretrainedParams:
    """Return what a checkpoint gives, under the names that it has in the net."""
    classes = classes_of(
        found.params, {name: own.names for name, own in record.outputs.items()}
    )
    try:
        names = new_names(found.params, rules)
    except ValueError as error:
        raise ValueError(f"config.init_from, {found.directory}: {error}") from error
    return PretrainedParams(
        source=str(found.directory),
        params={names[path]: value for path, value in found.params.items()},
        classes={names[path]: own for path, own in classes.items()},
        missing=record.missing,
        collections=_renamed_collections(found.collections, names),
    )


def _renamed_collections(
    collections: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, Any]:
    """Rename what layers keep as their parameters are renamed.

    Args:
        collections: "<collection>.<layer>.<name>" -> array.
        names: of the parameters, there and in the net.
    """
    layers = {
        old.rpartition(".")[0]: new.rpartition(".")[0] for old, new in names.items()
    }
    renamed = {}
    for path, value in collections.items():
        collection, _, own = path.partition(".")
        layer, _, name = own.rpartition(".")
        renamed[f"{collection}.{layers.get(layer, layer)}.{name}"] = value
    return renamed


def missing_weights(init_from: str) -> str:
    """Return the sentence for an `init_from` that is not there: what would make it."""
    parent, name = Path(init_from).parent.name, Path(init_from).name
    parts = Path(init_from).parts
    run = parts[parts.index("runs") + 1 :][:1] if "runs" in parts else ()
    experiment, _, argument = "".join(run).partition("-")
    if experiment in shipped.experiments():
        named = f"{experiment}:{argument}" if argument else experiment
        remedy = f"train it: python -m fcn_jax.main --config={named}"
    elif parent == "third_party_weights":
        remedy = (
            "convert the pretrained weights into it, python -m fcn_jax.convert FILE "
            f"{init_from} --net={name}; third_party_weights/README.md lists the files"
        )
    else:
        remedy = "check the path"
    return (
        f"config.init_from is {init_from}, which does not exist; {remedy}, or give "
        "another checkpoint with config.init_from=DIR"
    )


def data_position(run: Experiment, step: int) -> dict[str, Any]:
    """Return how many images, and of which data, a run has seen after `step` updates."""
    return {
        "images": step * run.batch_size * run.accumulation,
        "train": run.train_source.fingerprint,
        "length": len(run.train_source),
        "evaluation": run.scoring.source.fingerprint,
    }
