"""Training: the loop around one pure update (`train_step`), read top to bottom.

"Step" counts completed updates, everywhere. The work directory is the run: the same
command continues it, and a run that was killed continues bit for bit, because data
order, augmentation and dropout are functions of (seed, step, index) alone. A state is
saved before it is evaluated, so whatever ends the run then loses nothing.
"""

import contextlib
import os
from collections.abc import Callable

from absl import logging

from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.data.examples import spread
from fcn_jax.evaluation.evaluate import evaluate_split, make_evaluation_step
from fcn_jax.evaluation.result import Evaluation
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.runs import runlog
from fcn_jax.runs.workdir import CONFIG, WorkDirectory, read_config, store_config
from fcn_jax.runtime import messages, sharding
from fcn_jax.runtime.cli import Stopped
from fcn_jax.runtime.stop import StopRequest
from fcn_jax.runtime.timing import StartupTimer
from fcn_jax.training import initialize
from fcn_jax.training.async_metrics import AsyncMetrics
from fcn_jax.training.checks import first_updates
from fcn_jax.training.checks.labels import LabelWatch
from fcn_jax.training.checks.padding import warn_of_padding
from fcn_jax.training.keeping import Keeper
from fcn_jax.training.parameter_table import write_parameter_table
from fcn_jax.training.state import TrainState
from fcn_jax.training.train_step import make_train_step, step_parts

_LESS_MEMORY = (
    "a lower config.batch_size (with a higher config.accumulation), a config.data.crop,"
    " config.rematerialize=True and config.dtype=bfloat16 need less, and so does a"
    " lower config.evaluation.batch_size"
)


def train(
    experiment: Experiment,
    workdir: str | os.PathLike,
    timer: StartupTimer | None = None,
) -> Evaluation | None:
    """Run an experiment, or continue it, to its last update.

    Args:
        experiment: the run.
        workdir: the directory that is the run.
        timer: of the program; started here if None.

    Returns:
        The last evaluation; None where the run had had its last update before.

    Raises:
        ValueError: for anything wrong with data or weights, or a directory that holds a
            run of another configuration.
        RunError: if the directory is in use, or an update is not finite.
        Stopped: after a signal that asks to end; the state is saved.
    """
    timer = timer or StartupTimer()
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        stack.enter_context(messages.remedy(_LESS_MEMORY, messages.NO_MEMORY))
        with stop.now():
            begun = _begin(experiment, workdir, stack)
        if begun is None:
            return None
        keeper, state, unscored = begun
        result = _loop(keeper, state, stop, timer, unscored)
    if result is not None:
        keeper.show(result)
    return result


def _begin(
    run: Experiment, workdir: str | os.PathLike, stack: contextlib.ExitStack
) -> tuple[Keeper, TrainState, bool] | None:
    """Prepare what a run starts from; None where it has had its last update.

    The third is whether the evaluation of that state is still to be done.
    """
    if not run.spec.is_classifier:  # whose windows are resized to one size
        warn_of_padding(run.train_source, run.canvases, run.crop)
    directory = stack.enter_context(WorkDirectory.acquire(workdir))
    store = CheckpointStore(
        directory.checkpoints, keep=run.keep, snapshots=run.snapshots
    )
    found = store.newest()
    unscored = False
    if found is not None:
        run.check_resume(read_config(directory.path), str(directory.path / CONFIG))
        unscored = found.score is None and run.is_scored(found.step)
        if found.step >= run.steps and not unscored:
            logging.info("%s has %d updates; nothing to do", workdir, found.step)
            return None
    state, origins = initialize.initial_state(run, found)
    store_config(directory.path, run.config)
    write_parameter_table(directory.path, state.params, origins)
    begin = int(state.step)
    log = runlog.RunLog(
        directory.path,
        start_step=begin,
        total_steps=run.steps,
        scored=not unscored,
    )
    stack.enter_context(log)
    return Keeper(run, store, log, origins, begin), state, unscored


def _loop(
    keeper: Keeper,
    state: TrainState,
    stop: StopRequest,
    timer: StartupTimer,
    unscored: bool,
) -> Evaluation | None:
    """Update, log, save and evaluate until the last step; return the last evaluation."""
    run, log, begin = keeper.experiment, keeper.log, keeper.saved
    train_step = timer.first_call(make_train_step(**step_parts(run, state.params)))
    score = _scorer(keeper, stop)
    batches = run.batches(begin)
    placement = sharding.split_images(run.mesh, axis=1)
    equal_scores_loss = sum(own.value for own in run.zero_loss.values())
    probe, watch = None, LabelWatch()
    metrics = AsyncMetrics(
        log,
        every=run.log_every,
        images=run.batch_size * run.accumulation,
        schedule=run.schedule,
        equal_scores_loss=equal_scores_loss,
        timer=timer,
    )
    done, result = begin, None
    try:
        if unscored:
            result = score(begin, state)
        for step in range(begin + 1, run.steps + 1):
            with stop.now():
                given = metrics.next(batches)
                watch.see(given["labels"])
                batch = sharding.put_batch(given, placement)
            with stop.now(done == begin):  # it compiles, and there is nothing to lose
                if step == 1:
                    probe = first_updates.check_first_batch(run, state.variables, batch)
                    metrics.restart_timer()
                state, report = train_step(state, batch)
            done, stop.nothing_to_lose = step, False
            metrics.queued(step, report)
            if first_updates.progress_is_due(run, step):
                metrics.catch_up()
                first_updates.check_progress(
                    run,
                    probe or first_updates.Probe(run, batch),
                    variables=state.variables,
                    step=step,
                    loss=metrics.losses.recent,
                    equal=equal_scores_loss,
                )
                probe = None
            if run.is_saved(step):
                metrics.catch_up()
                log.flush()
                keeper.save(state, step)
                stop.nothing_to_lose = True
                if run.is_scored(step):
                    result = score(step, state)
                metrics.restart_timer()
    except BaseException as reason:
        sound = keeper.rescue(state, done, metrics, reason)
        if sound and stop.signal is not None:
            raise Stopped(stop.signal, _standing(keeper)) from reason
        raise
    return result


def _scorer(
    keeper: Keeper, stop: StopRequest
) -> Callable[[int, TrainState], Evaluation]:
    """Build a function that scores a state after an update and keeps the scores."""
    run, scoring = keeper.experiment, keeper.experiment.scoring
    evaluation_step = make_evaluation_step(
        model=run.model,
        records=run.preprocessing,
        loss=scoring.loss,
        dtype=run.dtype,
        mesh=run.mesh,
        tf32=run.tf32,
    )

    def score(step: int, state: TrainState) -> Evaluation:
        with stop.now():
            result = evaluate_split(
                evaluation_step,
                state.variables,
                scoring.batches(),
                run.outputs,
                mesh=run.mesh,
                keep=spread(len(scoring.source), run.pictures),
            )
            keeper.score(step, result)
        return result

    return score


def _standing(keeper: Keeper) -> str:
    """Return where a run stands that was asked to end."""
    if not keeper.saved:
        return "no update was done yet; the same command starts again"
    return (
        f"{keeper.saved} of {keeper.experiment.steps} updates are saved in "
        f"{keeper.log.directory}; the same command continues"
    )
