"""The log of a run: metrics.jsonl, TensorBoard events, images and a progress bar.

metrics.jsonl is the record of a run, one JSON object a line; TensorBoard shows the same
numbers. A run that is continued first drops every row after the step that it continues
from, so that step, split and loss read as if it had never been interrupted.
"""

import contextlib
import datetime
import io
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import rich.console
import rich.progress
from absl import logging
from PIL import Image

from fcn_jax.report import event_file
from fcn_jax.runtime import atomic, terminal

_PLAIN_SECONDS = 30.0


class RunLog:
    """The log of one run, in its work directory; a context manager.

    Attributes:
        directory: the work directory.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        start_step: int,
        total_steps: int,
        scored: bool = True,
        console: rich.console.Console | None = None,
    ):
        """Continue what is in `directory` after `start_step` completed updates.

        Args:
            directory: the work directory; gets metrics.jsonl, tensorboard/ and
                pictures/.
            start_step: later rows of an earlier start are dropped.
            total_steps: the last step, for the bar and the time left.
            scored: whether the evaluation after `start_step` was finished, where one
                was due; else its rows are dropped too.
            console: where the bar goes; standard error where None.
        """
        self.directory = pathlib.Path(directory)
        path = self.directory / "metrics.jsonl"
        _cut(path, start_step, scored)
        self._rows = path.open("ab", buffering=0)
        events = self.directory / "tensorboard"
        self._events = event_file.EventFile(events, start_step)
        self._rate = _Rate()
        self._bar = _Bar(start_step, total_steps, console)

    def advance(self, step: int, loss: float, images: int) -> None:
        """Move the bar after an update; costs nothing else, so call it every step.

        Args:
            step: completed updates.
            loss: the loss of this update.
            images: number of images in this update.
        """
        self._rate.add(images)
        rate = self._rate.recent()
        speed = "" if rate is None else f", {rate:.1f} images/s"
        self._bar.move(step, f"loss {loss:.4g}{speed}")

    def train(
        self,
        step: int,
        *,
        loss: float,
        learning_rate: float,
        wait_share: float,
        loss_per_pixel: float | None = None,
        first_update_seconds: Mapping[str, float] | None = None,
    ) -> None:
        """Write one row of training.

        Args:
            step: completed updates.
            loss: the loss of this update; null where it is not finite, with `"finite":
                false`.
            learning_rate: the learning rate of this update.
            wait_share: share of the time since the last row spent on waiting for data.
            loss_per_pixel: the loss divided by the labelled pixels, where it is a sum.
            first_update_seconds: in the first row after a start, seconds from the start
                of the program to the first update, in parts.
        """
        rate = self._rate.since_row()
        row: dict[str, Any] = {"loss": loss, "learning_rate": learning_rate}
        if loss_per_pixel is not None:
            row["loss_per_pixel"] = loss_per_pixel
        row |= {"images_per_second": rate, "wait_share": wait_share}
        if first_update_seconds:
            row["first_update_seconds"] = first_update_seconds
        if not math.isfinite(loss):
            row["finite"] = False
        self._rate.row()
        self._write(step, "train", row)

    def evaluation(self, step: int, split: str, scores: Mapping[str, Any]) -> None:
        """Write one row of metrics: numbers, lists or mappings; NaN becomes null."""
        self._rate = _Rate()
        self._write(step, split, scores)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Write `pictures/<name>_<step>.png`, and the same to TensorBoard.

        Args:
            step: completed updates.
            name: what it shows; "/" becomes "_" in the file's name.
            image: `[H, W, 3] uint8` RGB.

        Raises:
            ValueError: if the image has another type or shape.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"picture {name!r} is {image.dtype}{list(image.shape)}; it must be"
                " uint8[H, W, 3]"
            )
        encoded = io.BytesIO()
        Image.fromarray(image).save(encoded, format="PNG")
        folder = self.directory / "pictures"
        folder.mkdir(exist_ok=True)
        file = folder / f"{name.replace('/', '_')}_{step:08d}.png"
        atomic.write(file, encoded.getvalue())
        height, width, _ = image.shape
        shown = event_file.picture(name, height, width, encoded.getvalue())
        self._events.add(int(step), [shown])

    def message(self, text: str) -> None:
        """Log a message; on a terminal it appears above the progress bar."""
        logging.info("%s", text)

    def flush(self) -> None:
        """Flush the rows to the disk (fsync)."""
        with atomic.naming(self._rows.name):
            os.fsync(self._rows.fileno())

    def close(self) -> None:
        """Remove the progress bar and close the files; may be called twice."""
        self._bar.close()
        self._events.close()
        self._rows.close()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        row = _plain({"step": step, "split": split, **values})
        line = json.dumps(row, allow_nan=False) + "\n"
        atomic.write_all(self._rows, line.encode())
        numbers = (
            event_file.scalar(f"{split}/{name}", value)
            for name, value in _numbers(values)
        )
        self._events.add(int(step), numbers)


class _Rate:
    """Images per second of training, without evaluations.

    The first update after a start or an evaluation is not counted: it includes
    compilation or the wait for the evaluation.
    """

    def __init__(self) -> None:
        self._since: float | None = None  # the last row
        self._images = 0
        self._before = (0.0, 0)  # seconds and images of the row before it

    def add(self, images: int) -> None:
        """An update is done."""
        if self._since is None:
            self._since = time.perf_counter()
        else:
            self._images += images

    def since_row(self) -> float | None:
        """The rate since the last row; None before the second update."""
        return self._of(0.0, 0)

    def recent(self) -> float | None:
        """The rate since the row before the last, so that it covers enough updates."""
        return self._of(*self._before)

    def row(self) -> None:
        """A row begins."""
        if self._since is not None:
            now = time.perf_counter()
            if self._images:
                self._before = (now - self._since, self._images)
            self._since, self._images = now, 0

    def _of(self, seconds: float, images: int) -> float | None:
        if self._since is None or not images + self._images:
            return None
        seconds += time.perf_counter() - self._since
        return (images + self._images) / max(seconds, 1e-9)


class _Bar:
    """A progress bar on a terminal; elsewhere a log line at intervals."""

    def __init__(self, start: int, total: int, console: rich.console.Console | None):
        console = console or terminal.console(stderr=True)
        self._total = total
        self._plain = not console.is_terminal
        self._said: float | None = None
        self._first = (0.0, start)  # when the first update was done, and which it was
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[note]}", markup=False),
            rich.progress.TimeRemainingColumn(),
            console=console,
            disable=self._plain,
            redirect_stdout=sys.stdout.isatty(),
        )
        fields = {"completed": start, "total": total, "note": ""}
        self._task = self._progress.add_task("step", **fields)
        self._handler = logging.get_absl_handler().python_handler
        self._stream = self._handler.stream
        before = sys.stderr
        self._progress.start()
        if self._stream is before:
            # absl keeps the old stream; rich moves the bar only for its own stream.
            self._handler.setStream(sys.stderr)

    def move(self, completed: int, note: str) -> None:
        self._progress.update(self._task, completed=completed, note=note)
        if not self._plain:
            return
        now = time.perf_counter()
        if self._said is None:
            # No remaining time yet: so far only the time of compilation is known.
            self._first = (now, completed)
            self._say(now, completed, note)
        elif completed == self._total or now - self._said >= _PLAIN_SECONDS:
            began, first = self._first
            left = (self._total - completed) * (now - began) / max(completed - first, 1)
            rest = datetime.timedelta(seconds=round(left))
            self._say(now, completed, f"{note}, {rest} left")

    def _say(self, now: float, completed: int, note: str) -> None:
        self._said = now
        logging.info("step %d/%d, %s", completed, self._total, note)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a terminal that was closed
            self._progress.stop()
        self._handler.setStream(self._stream)


def write_scores(path: str | os.PathLike, scores: Mapping[str, Any]) -> None:
    """Write a JSON file of metrics atomically; NaN becomes null."""
    text = json.dumps(_plain(scores), indent=2, allow_nan=False)
    atomic.write(path, f"{text}\n".encode())


def _cut(path: pathlib.Path, last_step: int, scored: bool) -> None:
    """Drop the rows after `last_step`, and an incomplete last row of a killed run.

    Where the evaluation of the last step was not finished, its rows are dropped too.
    """
    if not path.exists():
        return
    *lines, unfinished = path.read_bytes().split(b"\n")
    read = [_step_and_split(line) for line in lines]
    unreadable = read.count(None)
    if unreadable:
        logging.warning("%s: %d unreadable rows are dropped", path, unreadable)
    kept = []
    pairs = zip([*lines, unfinished], [*read, _step_and_split(unfinished)], strict=True)
    for line, found in pairs:
        if found is None:
            continue
        step, split = found
        if step < last_step or (step == last_step and (scored or split == "train")):
            kept.append(line)
    atomic.write(path, b"".join(line + b"\n" for line in kept))


def _step_and_split(line: bytes) -> tuple[int, Any] | None:
    try:
        row = json.loads(line)
        return int(row["step"]), row.get("split")
    except (*(ValueError, KeyError, TypeError), OverflowError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    """Convert to JSON values: arrays to lists, numbers that are not finite to None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every finite number of a nested mapping, under its path with slashes."""
    for name, value in values.items():
        plain = _plain(value)
        if isinstance(value, Mapping):
            for inner, number in _numbers(value):
                yield f"{name}/{inner}", number
        elif isinstance(plain, int | float) and not isinstance(plain, bool):
            yield name, float(plain)
