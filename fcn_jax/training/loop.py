"""Training: the loop around one pure update (`update`), read top to bottom.

"Step" counts completed updates, everywhere. The work directory is the run: the same
command continues it, and a run that was killed continues bit for bit, because data
order, augmentation and dropout are functions of (seed, step, index) alone. A state is
saved before it is evaluated, so whatever ends the run then loses nothing.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from fcn_jax import experiment
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.config import Config, changeable_keys, to_dict
from fcn_jax.data.pipeline.batches import train_batches
from fcn_jax.evaluation.evaluate import (
    Evaluation,
    evaluate_split,
    make_evaluation_step,
    split_batches,
    spread,
)
from fcn_jax.experiment import Parts
from fcn_jax.runs import runlog
from fcn_jax.runs.workdir import (
    WorkDirectory,
    check_resume,
    run_configuration,
    store_config,
)
from fcn_jax.runtime import cli, sharding
from fcn_jax.runtime.cli import Stopped, no_program
from fcn_jax.runtime.stop import StopRequest
from fcn_jax.runtime.timing import StartClock
from fcn_jax.training import initialize
from fcn_jax.training.checks import first_updates
from fcn_jax.training.checks.labels import LabelWatch
from fcn_jax.training.follower import Follower
from fcn_jax.training.keeping import Keeper
from fcn_jax.training.state import TrainState
from fcn_jax.training.train_step import Batch, make_train_step

_LESS_MEMORY = (
    "a lower --config.batch_size (with a higher --config.accumulation), a --config.data.crop,"
    " --config.rematerialize=True and --config.dtype=bfloat16 need less, and so does a"
    " lower --config.evaluation.batch_size"
)


def train(config: Config, workdir: Path, clock: StartClock | None = None) -> None:
    """Run an experiment, or continue it, to its last update.

    Args:
        config: the experiment.
        workdir: the directory that is the run.
        clock: of the program; started here if None.

    Raises:
        ValueError: for anything wrong with configuration, data or weights.
        RunError: if the directory is in use, or an update is not finite.
        Stopped: after a signal that asks to end; the state is saved.
    """
    clock = clock or StartClock()
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        stack.enter_context(cli.remedy(_LESS_MEMORY, cli.NO_MEMORY))
        with stop.now():
            begun = _begin(config, workdir, stack)
        if begun is None:
            return
        keeper, state, unscored = begun
        result = _loop(keeper, state, stop, clock, unscored)
    if result is not None:
        keeper.show(result)


def _begin(
    config: Config, workdir: Path, stack: contextlib.ExitStack
) -> tuple[Keeper, TrainState, bool] | None:
    """What a run starts from; None where it has had its last update.

    The third is whether the evaluation of that state is still to be done.
    """
    parts = experiment.assemble(config)
    directory = stack.enter_context(WorkDirectory.acquire(workdir))
    store = CheckpointStore(directory.checkpoints, keep=config.checkpoint.keep)
    found = store.newest()
    unscored = False
    if found is not None:
        stored = to_dict(run_configuration(directory.path))
        check_resume(stored, to_dict(config), changeable_keys(config))
        unscored = found.mean_iu is None and _is_scored(config, found.step)
        if found.step >= config.steps and not unscored:
            logging.info("%s has %d updates; nothing to do", workdir, found.step)
            return None
    state, origins = initialize.initial_state(config, parts, found)
    store_config(directory.path, to_dict(config))
    initialize.write_parameter_table(directory.path, state.params, origins)
    begin = int(state.step)
    log = runlog.RunLog(
        directory.path,
        start_step=begin,
        total_steps=config.steps,
        scored=not unscored,
    )
    stack.enter_context(log)
    return Keeper(config, parts, store, log, origins, begin), state, unscored


def _loop(
    keeper: Keeper,
    state: TrainState,
    stop: StopRequest,
    clock: StartClock,
    unscored: bool,
) -> Evaluation | None:
    """Update, log, save and evaluate until the last step; returns the last evaluation."""
    config, parts, log = keeper.config, keeper.parts, keeper.log
    mesh, begin = parts.mesh, keeper.saved
    train_step = clock.first_call(
        make_train_step(
            model=parts.model,
            records=parts.records,
            optimizer=experiment.optimizer(config, state.params),
            reduction=config.loss.reduction,
            class_weights=experiment.class_weights(config, parts.outputs),
            dtype=config.dtype,
            seed=config.seed,
            mesh=mesh,
            rematerialize=config.rematerialize,
        )
    )
    evaluation_step = make_evaluation_step(
        model=parts.model, records=parts.records, dtype=config.dtype, mesh=mesh
    )

    def score(step: int) -> Evaluation:
        with stop.now():
            result = evaluate_split(
                evaluation_step,
                state.params,
                split_batches(config, parts.eval_source),
                parts.outputs,
                mesh=mesh,
                keep=spread(config.evaluation.pictures, len(parts.eval_source)),
            )
            keeper.score(step, result)
        return result

    batches = _batches(config, parts, begin)
    placement = sharding.split_images(mesh, axis=1)
    equal_scores_loss = sum(math.log(len(c)) for c in parts.outputs.values())
    probe, watch = None, LabelWatch()
    follower = Follower(
        log,
        every=config.log.every,
        images=config.batch_size * config.accumulation,
        schedule=experiment.schedule(config),
        equal_scores_loss=equal_scores_loss,
        clock=clock,
    )
    done, result = begin, None
    try:
        if unscored:
            result = score(begin)
        for step in range(begin + 1, config.steps + 1):
            with stop.now():
                given = follower.next(batches)
                watch.see(given["labels"])
                batch = sharding.put_batch(given, placement)
            with stop.now(done == begin):  # it compiles, and there is nothing to lose
                if step == 1:
                    probe = first_updates.check_first_batch(
                        config, parts, state.params, batch
                    )
                    follower.restart_clock()
                state, report = train_step(state, batch)
            done, stop.nothing_to_lose = step, False
            follower.queued(step, report)
            if first_updates.progress_is_due(config, step):
                follower.catch_up()
                first_updates.check_progress(
                    config,
                    probe or first_updates.Probe(config, parts, batch),
                    params=state.params,
                    step=step,
                    loss=follower.losses.recent,
                    equal=equal_scores_loss,
                )
                probe = None
            if _is_scored(config, step) or step % config.checkpoint.every == 0:
                follower.catch_up()
                log.flush()
                keeper.save(state, step)
                stop.nothing_to_lose = True
                if _is_scored(config, step):
                    result = score(step)
                follower.restart_clock()
    except BaseException as reason:
        sound = keeper.rescue(state, done, follower, reason)
        if sound and stop.signal is not None:
            raise Stopped(stop.signal, _standing(keeper)) from reason
        raise
    return result


def _is_scored(config: Config, step: int) -> bool:
    """Whether the state after an update is evaluated."""
    return step == config.steps or step % config.evaluation.every == 0


def _batches(config: Config, parts: Parts, begin: int) -> Iterator[Batch]:
    """The batches of all updates after `begin`."""
    augmentation = experiment.augmentation(config)
    batches = train_batches(
        parts.train_source,
        seed=config.seed,
        start=begin,
        stop=config.steps,
        batch_size=config.batch_size,
        accumulation=config.accumulation,
        order=config.data.order,
        canvases=parts.canvases,
        augmentation=augmentation,
        fill=parts.fill,
        workers=config.data.workers,
        threads=config.data.threads,
        prefetch=config.data.prefetch,
    )
    return experiment.unpadded(
        batches, parts.train_source, parts.canvases, augmentation.crop
    )


def _standing(keeper: Keeper) -> str:
    """Where a run stands that was asked to end."""
    if not keeper.saved:
        return "no update was done yet; the same command starts again"
    return (
        f"{keeper.saved} of {keeper.config.steps} updates are saved in "
        f"{keeper.log.directory}; the same command continues"
    )


if __name__ == "__main__":
    cli.run(no_program("python -m fcn_jax.main --config=NAME"))
