"""Many picture files through a network: read, computed in batches, and written.

The next pictures are read, and the last ones written, while the device computes. A
picture that cannot be read, computed or written has a sentence of its own, and never
harms another.
"""

import contextlib
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from rich.progress import track

from fcn_jax.data.decoding.images import PICTURE_FORMATS, image_size, read_color
from fcn_jax.inference.batching import group
from fcn_jax.inference.picture_folders import Picture
from fcn_jax.runtime import terminal
from fcn_jax.runtime.concurrency import in_order, in_threads
from fcn_jax.runtime.memory import refuse_more
from fcn_jax.runtime.messages import error_sentence
from fcn_jax.runtime.processors import usable_cores
from fcn_jax.runtime.timing import StartupTimer

BYTES_A_PIXEL = 16  # at most, while one is read


class Threads(NamedTuple):
    """How many threads read and write, beside the device.

    Attributes:
        readers: threads that read and decode.
        writers: threads that wait for the device, encode and write.
        ahead: pictures that are read ahead, at least.
    """

    readers: int
    writers: int
    ahead: int


def threads_for(platform: str) -> Threads:
    """Return the threads that keep a device of a platform busy.

    On a CPU the network needs the cores; for an accelerator all of them read and write.
    """
    if platform == "cpu":
        return Threads(readers=2, writers=1, ahead=4)
    cores = min(max(usable_cores(), 2), 16)
    return Threads(readers=cores, writers=max(2, cores // 2), ahead=2 * cores)


Image = tuple[Picture, np.ndarray]
"""A picture with its pixels `[H, W, 3] uint8`."""


class Stages(NamedTuple):
    """What is done with pictures between reading them and telling of them.

    Attributes:
        check: raises what is wrong with an image, before it joins a batch.
        begin: queues images as one batch of so many rows on the device; the result for
            each goes to `finish`.
        finish: waits for the device and writes; returns what is printed.
        verb: what the pictures then are.
        fits: of each picture, what only those of one batch share; None computes it
            alone.
        rows: of the batches with these fits; 1 where one is missing.
    """

    check: Callable[[Picture, np.ndarray], None]
    begin: Callable[[Sequence[Image], int], Sequence[Any]]
    finish: Callable[[Picture, np.ndarray, Any], list[str]]
    verb: str
    fits: Sequence[Hashable]
    rows: Mapping[Any, int]


class Failure(NamedTuple):
    """Why a picture has no result."""

    sentence: str


class Begun(NamedTuple):
    """A picture that the device computes, alone or in a batch."""

    picture: Picture
    pixels: np.ndarray
    result: Any
    alone: bool


def results(
    pictures: Sequence[Picture], stages: Stages, threads: Threads, timer: StartupTimer
) -> Iterator[list[str] | Failure]:
    """Yield what came of each picture, in order, under a progress bar.

    No more pictures than those of a few batches are in memory at a time.

    Args:
        pictures: the files.
        stages: what is done with them.
        threads: that read and write.
        timer: of the program.
    """
    rows = {fit: stages.rows.get(fit, 1) for fit in stages.fits}
    batches = list(group(stages.fits, rows))
    order = [position for batch in batches for position in batch]
    largest = max(rows.values(), default=1)
    read = in_threads(
        _attempt(_reader(stages)),
        (pictures[position] for position in order),
        threads=threads.readers,
        ahead=max(threads.ahead, 2 * largest if largest > 1 else 1),
    )
    sizes = [(len(batch), rows[stages.fits[batch[0]]]) for batch in batches]
    begin = timer.first_call(stages.begin)
    begun = _begun(read, sizes, stages._replace(begin=begin))

    def finish(item: Begun) -> list[str]:
        lines = _finished(item, stages)
        timer.result()
        return lines

    # So far ahead, the next batch is queued before a result of the last is waited for.
    done = in_threads(
        _attempt(finish), begun, threads=threads.writers, ahead=max(1, largest)
    )
    console = terminal.console(stderr=True)
    with contextlib.closing(read), contextlib.closing(done):
        yield from in_order(
            order,
            track(
                done,
                total=len(pictures),
                description="predicting",
                console=console,
                disable=not console.is_terminal,
            ),
        )


def _reader(stages: Stages) -> Callable[[Picture], Image]:
    def read(picture: Picture) -> Image:
        height, width = size_of(picture)
        refuse_more(BYTES_A_PIXEL * height * width, "it")
        pixels = read_color(
            picture.file,
            where=str(picture.file),
            rotate=True,
            formats=PICTURE_FORMATS,
        )
        stages.check(picture, pixels)
        return picture, pixels

    return read


def size_of(picture: Picture) -> tuple[int, int]:
    """Height and width of a picture turned upright, from its header."""
    return image_size(
        picture.file, where=str(picture.file), rotate=True, formats=PICTURE_FORMATS
    )


def _begun(
    read: Iterator[Image | Failure], batches: Sequence[tuple[int, int]], stages: Stages
) -> Generator[Begun | Failure, None, None]:
    """Queue batch after batch; yield its pictures in order.

    Args:
        read: the pictures of all batches, or why there is none.
        batches: pictures and rows of each.
        stages: what is done with them.
    """
    for count, rows in batches:
        given = list(islice(read, count))
        images = [image for image in given if not isinstance(image, Failure)]
        found = iter(_queued(images, rows, stages))
        for image in given:
            yield image if isinstance(image, Failure) else next(found)


def _queued(
    images: Sequence[Image], rows: int, stages: Stages
) -> Sequence[Begun | Failure]:
    """Queue a batch; if that fails, each of its pictures alone."""
    if rows > 1 and images:
        try:
            found = stages.begin(images, rows)
            return [
                Begun(*image, result, alone=False)
                for image, result in zip(images, found, strict=True)
            ]
        except Exception as error:
            _tell_of_batch(rows, error)
    return [_attempt(lambda image: _alone(image, stages))(image) for image in images]


def _alone(image: Image, stages: Stages) -> Begun:
    (found,) = stages.begin([image], 1)
    return Begun(*image, found, alone=True)


def _finished(item: Begun, stages: Stages) -> list[str]:
    """Write the result; a picture whose batch failed on the device is computed alone."""
    try:
        return stages.finish(item.picture, item.pixels, item.result)
    except (ValueError, OSError):  # of writing
        raise
    except Exception as error:
        if item.alone:
            raise
        _tell_of_batch(0, error)
    alone = _alone((item.picture, item.pixels), stages)
    return stages.finish(alone.picture, alone.pixels, alone.result)


def _tell_of_batch(rows: int, error: Exception) -> None:
    logging.log_first_n(
        logging.WARNING,
        "a batch%s failed (%s); its pictures are computed one by one: a lower --batch "
        "may be faster",
        1,
        f" of {rows}" if rows else "",
        error_sentence(error)[:200],
    )


def _attempt(stage: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The stage for one picture; what went wrong with one is no reason to stop."""

    def attempted(given: Any) -> Any:
        if isinstance(given, Failure):
            return given
        try:
            return stage(given)
        except Exception as error:
            picture = given if isinstance(given, Picture) else given[0]
            return Failure(_sentence(picture.file, error))

    return attempted


def _sentence(file: Path, error: Exception) -> str:
    """What went wrong with a picture; a defect of the package shows its traceback."""
    text = error_sentence(error)
    if "RESOURCE_EXHAUSTED" in text or str(error) == "":
        text = "there is too little memory for it; make it smaller or cut it into tiles"
    elif not isinstance(error, (ValueError, OSError, MemoryError)):
        logging.error("%s", file, exc_info=error)
        text = f"{type(error).__name__}: {text}"
    return text if str(file) in text else f"{file}: {text}"
