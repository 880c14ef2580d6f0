"""What a run says: metrics.jsonl, TensorBoard events, pictures and a progress bar.

metrics.jsonl is the record of a run, one JSON object a line; TensorBoard shows the same
numbers. A run that is continued first drops every row after the step that it continues
from, so that step, split and loss read as if it had never been interrupted.
"""

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

from fcn_jax import files
from fcn_jax.report import event_file

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
        console: rich.console.Console | None = None,
    ):
        """Continues what is in `directory` after `start_step` completed updates.

        Args:
          directory: the work directory; gets metrics.jsonl, tensorboard/ and pictures/.
          start_step: later rows of an earlier start are dropped.
          total_steps: the last step, for the bar and the time left.
          console: where the bar goes; standard error where None.
        """
        self.directory = pathlib.Path(directory)
        path = self.directory / "metrics.jsonl"
        _cut(path, start_step)
        self._rows = path.open("a", encoding="utf-8", buffering=1)
        events = self.directory / "tensorboard"
        self._events = event_file.EventFile(events, start_step)
        self._images = 0
        self._since: float | None = None
        self._bar = _Bar(start_step, total_steps, console)

    def advance(self, step: int, loss: float, images: int) -> None:
        """Moves the bar after an update; costs nothing else, so call it every step.

        Args:
          step: completed updates.
          loss: of this update.
          images: processed in this update.
        """
        if self._since is None:
            # Not counted: the first update compiles, and one after an evaluation waits.
            self._since = time.perf_counter()
        else:
            self._images += images
        rate = self._images_per_second()
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
        """Writes one row of training.

        Args:
          step: completed updates.
          loss: of this update; null where it is not finite, with `"finite": false`.
          learning_rate: of this update.
          wait_share: share of the time since the last row spent on waiting for data.
          loss_per_pixel: the loss divided by the labelled pixels, where it is a sum.
          first_update_seconds: in the first row after a start, what its first update
            took since the program began.
        """
        rate = self._images_per_second()
        row: dict[str, Any] = {"loss": loss, "learning_rate": learning_rate}
        if loss_per_pixel is not None:
            row["loss_per_pixel"] = loss_per_pixel
        row |= {"images_per_second": rate, "wait_share": wait_share}
        if first_update_seconds:
            row["first_update_seconds"] = first_update_seconds
        if not math.isfinite(loss):
            row["finite"] = False
        if self._since is not None:
            self._since, self._images = time.perf_counter(), 0
        self._write(step, "train", row)

    def evaluation(self, step: int, split: str, scores: Mapping[str, Any]) -> None:
        """Writes one row of scores: numbers, lists or mappings; NaN becomes null."""
        self._since, self._images = None, 0
        self._write(step, split, scores)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes `pictures/<name>_<step>.png`, and the same to TensorBoard.

        Args:
          step: completed updates.
          name: what it shows; "/" becomes "_" in the file's name.
          image: [H, W, 3] uint8 RGB.

        Raises:
          ValueError: another type or shape.
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
        files.write(file, encoded.getvalue())
        height, width, _ = image.shape
        shown = event_file.picture(name, height, width, encoded.getvalue())
        self._events.add(int(step), [shown])

    def message(self, text: str) -> None:
        """Says something to whoever watches; above the bar."""
        logging.info("%s", text)

    def flush(self) -> None:
        """Returns when the rows are on the disk, and not only with the system."""
        self._rows.flush()
        os.fsync(self._rows.fileno())

    def close(self) -> None:
        """Takes the bar away and closes the files; may be called twice."""
        self._bar.close()
        self._events.close()
        self._rows.close()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _images_per_second(self) -> float | None:
        if self._since is None or not self._images:
            return None
        return self._images / max(time.perf_counter() - self._since, 1e-9)

    def _write(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        row = _plain({"step": step, "split": split, **values})
        self._rows.write(json.dumps(row, allow_nan=False) + "\n")
        numbers = (
            event_file.scalar(f"{split}/{name}", value)
            for name, value in _numbers(values)
        )
        self._events.add(int(step), numbers)


class _Bar:
    """A progress bar on a terminal; elsewhere a line in the log now and then."""

    def __init__(self, start: int, total: int, console: rich.console.Console | None):
        console = console or rich.console.Console(stderr=True)
        self._start, self._total = start, total
        self._plain = not console.is_terminal
        self._began = self._said = time.perf_counter()
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[note]}"),
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
            # absl keeps the first stream; rich lifts the bar for its own alone.
            self._handler.setStream(sys.stderr)

    def move(self, completed: int, note: str) -> None:
        self._progress.update(self._task, completed=completed, note=note)
        now = time.perf_counter()
        first, last = self._said == self._began, completed == self._total
        if self._plain and (first or last or now - self._said >= _PLAIN_SECONDS):
            self._said = now
            done = max(completed - self._start, 1)
            left = (self._total - completed) * (now - self._began) / done
            text = f"step {completed}/{self._total}, {note}"
            logging.info("%s, %s left", text, datetime.timedelta(seconds=round(left)))

    def close(self) -> None:
        self._progress.stop()
        self._handler.setStream(self._stream)


def write_scores(path: str | os.PathLike, scores: Mapping[str, Any]) -> None:
    """Writes a JSON file of scores, whole or not at all; NaN becomes null."""
    text = json.dumps(_plain(scores), indent=2, allow_nan=False)
    files.write(path, f"{text}\n".encode())


def _cut(path: pathlib.Path, last_step: int) -> None:
    """Drops the rows after `last_step`, and a last one that a kill left unfinished."""
    if not path.exists():
        return
    *lines, unfinished = path.read_bytes().split(b"\n")
    steps = [_step(line) for line in lines]
    unreadable = steps.count(None)
    if unreadable:
        logging.warning("%s: %d unreadable rows are dropped", path, unreadable)
    pairs = zip([*lines, unfinished], [*steps, _step(unfinished)], strict=True)
    kept = [line for line, step in pairs if step is not None and step <= last_step]
    files.write(path, b"".join(line + b"\n" for line in kept))


def _step(line: bytes) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (*(ValueError, KeyError, TypeError), OverflowError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    """What JSON can hold: arrays become lists, numbers that are not finite None."""
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
