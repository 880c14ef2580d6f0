"""Training: the loop around one pure update (`update`), read top to bottom.

"Step" counts completed updates, everywhere. The work directory is the run: the same
command continues it, and a run that was killed continues bit for bit, because data
order, augmentation and dropout are functions of (seed, step, index) alone.
"""

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from fcn_jax import (
    assembly,
    first_updates,
    optim,
    runlog,
    scores_file,
    sharding,
    start,
)
from fcn_jax.assembly import Parts
from fcn_jax.checkpoint import CheckpointStore
from fcn_jax.clock import StartClock
from fcn_jax.config import Config, changeable_keys, to_dict
from fcn_jax.data.pipeline import train_batches
from fcn_jax.evaluate import (
    Evaluation,
    evaluate_split,
    make_evaluation_step,
    print_scores,
    split_batches,
    spread,
)
from fcn_jax.labelled import LabelWatch
from fcn_jax.program import RunError, no_program, run
from fcn_jax.progress import Losses
from fcn_jax.report.panels import panel
from fcn_jax.state import TrainState, flat_arrays
from fcn_jax.update import Batch, Report, make_train_step
from fcn_jax.workdir import WorkDirectory, check_resume, run_configuration, store_config


def check_finite(step: int, report: Report) -> float:
    """The loss of an update, on the host; the run stops if anything is not finite."""
    loss = float(report["loss"])
    broken = [module for module, finite in report["finite"].items() if not finite]
    if broken or not np.isfinite(loss):
        raise RunError(
            f"update {step} is not finite (loss {loss:g}; gradients or parameters of "
            f"{', '.join(broken[:6]) or 'no module'}): the last good checkpoint is "
            "kept; lower the learning rate, or check the preprocessing and the "
            "pretrained weights"
        )
    return loss


class Follower:
    """Reads the reports of updates one behind the device, and logs them.

    Reading the loss of an update waits for it. One behind, the next is queued
    before that wait, so the device is never idle.
    """

    def __init__(
        self,
        log: runlog.RunLog,
        *,
        every: int,
        images: int,
        schedule: optim.Schedule,
        equal_scores_loss: float,
        clock: StartClock,
    ):
        self._log, self._every, self._images = log, every, images
        self._clock, self._told = clock, False
        self._equal_scores_loss = equal_scores_loss
        self.losses = Losses()
        self._schedule = schedule
        self._pending: deque[tuple[int, Report]] = deque()
        self._waited, self._since = 0.0, time.perf_counter()

    def next(self, batches: Iterator[Batch]) -> Batch:
        """The next host batch; the time it is waited for is measured."""
        asked = time.perf_counter()
        batch = next(batches)
        self._waited += time.perf_counter() - asked
        return batch

    def queued(self, step: int, report: Report) -> None:
        """An update has been queued: read the one before it."""
        self._pending.append((step, report))
        self._read(behind=1)

    def catch_up(self) -> None:
        """Read every queued update."""
        self._read(behind=0)

    def restart_clock(self) -> None:
        """Do not count what happened since the last update as training time."""
        self._waited, self._since = 0.0, time.perf_counter()

    def _read(self, behind: int) -> None:
        while len(self._pending) > behind:
            step, report = self._pending.popleft()
            # In one transfer: one a module would be dozens of them.
            report = jax.device_get(report)
            loss = check_finite(step, report)
            if self._clock.result():
                self._log.message(self._clock.sentence(f"first update (step {step})"))
            self._log.advance(step, loss, self._images)
            self.losses.add(float(report["loss_per_pixel"]))
            if step == 1:
                self._log.message(
                    f"first loss {loss:.6g}, {float(report['loss_per_pixel']):.4f} per "
                    f"pixel; equal scores give {self._equal_scores_loss:.4f} per pixel"
                )
            if step % self._every == 0 or step == 1:
                elapsed = time.perf_counter() - self._since
                self._log.train(
                    step,
                    loss=loss,
                    loss_per_pixel=float(report["loss_per_pixel"]),
                    learning_rate=float(self._schedule(jnp.int32(step - 1))),
                    wait_share=self._waited / max(elapsed, 1e-9),
                    first_update_seconds=self._new_start_seconds(),
                )
                self.restart_clock()

    def _new_start_seconds(self) -> Mapping[str, float]:
        """What the clock says, once."""
        told, self._told = self._told, True
        return {} if told else self._clock.seconds


def train(config: Config, workdir: Path, clock: StartClock | None = None) -> None:
    """Run an experiment, or continue it, to its last update.

    Args:
        config: the experiment.
        workdir: the directory that is the run.
        clock: of the program; started here if None.

    Raises:
        ValueError: for anything wrong with configuration, data or weights.
        RunError: if the directory is in use, or an update is not finite.
    """
    clock = clock or StartClock()
    parts = assembly.assemble(config)
    with WorkDirectory.acquire(workdir) as directory:
        store = CheckpointStore(directory.checkpoints, keep=config.checkpoint.keep)
        found = store.newest()
        if found is not None:
            stored = to_dict(run_configuration(directory.path))
            check_resume(stored, to_dict(config), changeable_keys(config))
            if found.step >= config.steps:
                logging.info("%s has %d updates; nothing to do", workdir, found.step)
                return
        state, origins = start.initial_state(config, parts, found)
        store_config(directory.path, to_dict(config))
        start.write_parameter_table(directory.path, state.params, origins)
        with runlog.RunLog(
            directory.path, start_step=int(state.step), total_steps=config.steps
        ) as log:
            _loop(config, parts, state, store, log, origins, clock)


def _loop(
    config: Config,
    parts: Parts,
    state: TrainState,
    store: CheckpointStore,
    log: runlog.RunLog,
    origins: Mapping[str, str],
    clock: StartClock,
) -> None:
    """Update, log, evaluate and save until the last step."""
    mesh, begin = parts.mesh, int(state.step)
    train_step = clock.first_call(
        make_train_step(
            model=parts.model,
            records=parts.records,
            optimizer=assembly.optimizer(config, state.params),
            reduction=config.loss.reduction,
            class_weights=assembly.class_weights(config, parts.outputs),
            dtype=config.dtype,
            seed=config.seed,
            mesh=mesh,
            rematerialize=config.rematerialize,
        )
    )
    evaluation_step = make_evaluation_step(
        model=parts.model, records=parts.records, dtype=config.dtype, mesh=mesh
    )
    batches = train_batches(
        parts.train_source,
        seed=config.seed,
        start=begin,
        stop=config.steps,
        batch_size=config.batch_size,
        accumulation=config.accumulation,
        order=config.data.order,
        canvases=parts.canvases,
        augmentation=assembly.augmentation(config),
        fill=parts.fill,
        workers=config.data.workers,
        threads=config.data.threads,
        prefetch=config.data.prefetch,
    )
    crop = assembly.augmentation(config).crop
    batches = assembly.unpadded(batches, parts.train_source, parts.canvases, crop)
    placement = sharding.split_images(mesh, axis=1)
    equal_scores_loss = sum(math.log(len(c)) for c in parts.outputs.values())
    probe, watch = None, LabelWatch()
    follower = Follower(
        log,
        every=config.log.every,
        images=config.batch_size * config.accumulation,
        schedule=assembly.schedule(config),
        equal_scores_loss=equal_scores_loss,
        clock=clock,
    )
    for step in range(begin + 1, config.steps + 1):
        given = follower.next(batches)
        watch.see(given["labels"])
        batch = sharding.put_batch(given, placement)
        if step == 1:
            probe = first_updates.check_first_batch(config, parts, state.params, batch)
            follower.restart_clock()
        state, report = train_step(state, batch)
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
        score_now = step == config.steps or step % config.evaluation.every == 0
        if not score_now and step % config.checkpoint.every:
            continue
        follower.catch_up()
        result = None
        if score_now:
            result = evaluate_split(
                evaluation_step,
                state.params,
                split_batches(config, parts.eval_source),
                parts.outputs,
                mesh=mesh,
                keep=spread(config.evaluation.pictures, len(parts.eval_source)),
            )
            _log_evaluation(config, parts, log, step, result)
            _write_scores(config, parts, log, step, result)
        log.flush()
        _save(config, parts, store, state, origins, result)
        follower.restart_clock()


def _log_evaluation(
    config: Config, parts: Parts, log: runlog.RunLog, step: int, result: Evaluation
) -> None:
    """One line of metrics, one picture."""
    scores = result.scores(config.evaluation.absent)
    split = config.data.eval_split
    if split == "train":
        split = "train_evaluation"  # "train" is the name of the updates' rows
    log.evaluation(step, split, scores)
    for line, caution in result.sentences(parts.outputs, config.evaluation.absent):
        log.message(f"step {step}, {split}: loss {result.loss:.4f}, {line}")
        if caution:
            logging.warning("step %d, %s: %s", step, split, caution)
    if result.examples:
        classes = next(iter(parts.outputs.values()))
        title = f"step {step}   mean IU {scores['mean_iu']:.3f}"
        log.picture(step, split, panel(result.examples, classes, title=title))


def _write_scores(
    config: Config, parts: Parts, log: runlog.RunLog, step: int, result: Evaluation
) -> None:
    """scores.json holds the last evaluation; the last one is printed too."""
    record = result.record(parts.outputs, config.evaluation.absent)
    own = scores_file.question(config, config.data.eval_split, log.directory)
    about = {"step": step, **own.about(parts.eval_source.fingerprint)}
    runlog.write_scores(log.directory / scores_file.OWN, {**about, **record})
    if step == config.steps:
        print_scores(result, parts.outputs, config.evaluation.absent)


def _save(
    config: Config,
    parts: Parts,
    store: CheckpointStore,
    state: TrainState,
    origins: Mapping[str, str],
    result: Evaluation | None,
) -> None:
    """Save the state with all that is needed to continue, evaluate or predict."""
    step = int(state.step)
    mean_iu = None
    if result is not None:
        mean_iu = result.scores(config.evaluation.absent)["mean_iu"]
    store.save(
        step,
        params=flat_arrays(state.params),
        optimizer=flat_arrays(state.opt_state),
        record={
            "config": to_dict(config),
            "outputs": {name: c.to_dict() for name, c in parts.outputs.items()},
            "preprocessing": {n: r.to_dict() for n, r in parts.records.items()},
            "data": start.data_position(config, parts, step),
            "origins": dict(origins),
        },
        mean_iu=mean_iu,
    )


if __name__ == "__main__":
    run(no_program("python -m fcn_jax.main --config=NAME"))
