"""Metrics of the updates, read one update behind the device, and logged."""

import time
from collections import deque
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.optim.optimizers import Schedule
from fcn_jax.runs import runlog
from fcn_jax.runtime.messages import RunError
from fcn_jax.runtime.timing import StartupTimer
from fcn_jax.training.checks.progress import Losses
from fcn_jax.training.train_step import Batch, Report


class NotFinite(RunError):
    """An update whose loss, gradients or parameters are not finite."""


def check_finite(step: int, report: Report) -> float:
    """Return the loss of an update, on the host; refuse what is not finite.

    Raises:
        NotFinite: if the loss, a gradient or a parameter is not finite.
    """
    loss = float(report["loss"])
    broken = [module for module, finite in report["finite"].items() if not finite]
    if broken or not np.isfinite(loss):
        raise NotFinite(
            f"update {step} is not finite (loss {loss:g}; gradients or parameters of "
            f"{', '.join(broken[:6]) or 'no module'}): the last good checkpoint is "
            "kept; lower the learning rate, or check the preprocessing and the "
            "pretrained weights"
        )
    return loss


class AsyncMetrics:
    """Reads the reports of updates one behind the device, and logs them.

    Reading the loss of an update waits for that update. The next one is queued before
    that wait, so the device is never idle.

    Attributes:
        losses: per pixel, of the updates that were read.
    """

    def __init__(
        self,
        log: runlog.RunLog,
        *,
        every: int,
        images: int,
        schedule: Schedule,
        equal_scores_loss: float,
        timer: StartupTimer,
    ):
        self._log, self._every, self._images = log, every, images
        self._timer, self._told = timer, False
        self._equal_scores_loss = equal_scores_loss
        self.losses = Losses()
        self._schedule = schedule
        self._pending: deque[tuple[int, Report]] = deque()
        self._waited, self._since = 0.0, time.perf_counter()

    def next(self, batches: Iterator[Batch]) -> Batch:
        """Return the next host batch, and measure the wait for it."""
        asked = time.perf_counter()
        batch = next(batches)
        self._waited += time.perf_counter() - asked
        return batch

    def queued(self, step: int, report: Report) -> None:
        """Take the report of an update just queued, and read the one before it."""
        self._pending.append((step, report))
        self._read(behind=1)

    def catch_up(self) -> None:
        """Read every queued update."""
        self._read(behind=0)

    def restart_timer(self) -> None:
        """Do not count what happened since the last update as training time."""
        self._waited, self._since = 0.0, time.perf_counter()

    def _read(self, behind: int) -> None:
        while len(self._pending) > behind:
            step, report = self._pending.popleft()
            # In one transfer, not dozens (one a module).
            report = jax.device_get(report)
            loss = check_finite(step, report)
            if self._timer.result():
                self._log.message(self._timer.sentence(f"first update (step {step})"))
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
                self.restart_timer()

    def _new_start_seconds(self) -> Mapping[str, float]:
        """Return what the timer says, once."""
        told, self._told = self._told, True
        return {} if told else self._timer.seconds
