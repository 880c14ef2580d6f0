"""Batches of padded uint8 images from a source, with Grain.

The batch of step s depends on (seed, s) alone: the examples and their augmentation
follow from the position of a sample in the whole run. So the number of workers, threads
and processes, and a restart, do not change it. Images stay uint8; mean subtraction and
masking of the padding happen on the device.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fcn_jax.data.categories import Categories
from fcn_jax.data.examples import Source
from fcn_jax.data.pipeline.buckets import Canvas
from fcn_jax.data.pipeline.building import Batch as Batch
from fcn_jax.data.pipeline.building import EvaluationBatch, TrainBatch, too_large
from fcn_jax.data.pipeline.order import Sampler
from fcn_jax.data.pipeline.transforms import (
    Augment,
    Augmentation,
    augmented_sizes,
)
from fcn_jax.data.pipeline.workers import prefetch_batches


def train_batches(
    source: Source,
    *,
    sampler: Sampler,
    seed: int,
    start: int,
    stop: int,
    batch_size: int,
    accumulation: int,
    canvases: tuple[Canvas, ...],
    augmentation: Augment,
    fill: Mapping[str, tuple[int, ...]],
    process_index: int = 0,
    process_count: int = 1,
    workers: int = 0,
    threads: int,
    prefetch: int,
) -> Iterator[Batch]:
    """The batches of steps start..stop-1 of a training run.

    Args:
        source: the training split.
        sampler: which example the sample at a position of the run is.
        seed: of augmentation, at least 0.
        start: first step, where a run is continued.
        stop: the step after the last.
        batch_size: images of an accumulation step over all processes.
        accumulation: accumulation steps of an update.
        canvases: (height, width) to which images are padded, at the bottom and right; a
            step takes the first that holds all of its images.
        augmentation: random changes of the examples.
        fill: for each input key, channel values where jitter exposes no image.
        process_index: this process builds its own contiguous rows of every batch.
        process_count: processes that train together.
        workers: processes that read; 0 reads in this one.
        threads: threads that read in each of these processes; 0 reads when asked.
        prefetch: batches held ready in each of these processes.

    Yields:
        Batches `[A, B, ...]`, A = accumulation, B = batch_size / process_count.

    Raises:
        ValueError: for a number outside its range, or an `Augmentation` with a crop or
            jitter for one label an image.
        DataError: where an image is larger than the canvas, or the source refuses an
            example; the latter on the step that needs it.
    """
    _check_counts(batch_size, process_index, process_count, threads, workers, prefetch)
    if not 0 <= start <= stop:
        raise ValueError(f"start {start} and stop {stop} must be 0 <= start <= stop")
    if accumulation < 1 or seed < 0:
        raise ValueError(
            f"accumulation is {accumulation} and seed {seed}; they must be at least 1 "
            "and 0"
        )
    if isinstance(augmentation, Augmentation) and (
        augmentation.jitter or augmentation.enlarges
    ):
        _check_fill(fill, source)
    _check_kind(source, augmentation)
    _check_canvas(source, canvases, augmentation)
    build = TrainBatch(
        source=source,
        seed=seed,
        batch_size=batch_size,
        accumulation=accumulation,
        sampler=sampler,
        canvases=canvases,
        augmentation=augmentation,
        fill=dict(fill),
        process_index=process_index,
        process_count=process_count,
    )
    return prefetch_batches(
        build,
        start,
        stop,
        workers=workers,
        threads=threads,
        prefetch=prefetch,
        describe=build.describe,
    )


def evaluation_batches(
    source: Source,
    *,
    batch_size: int,
    canvases: tuple[Canvas, ...],
    process_index: int = 0,
    process_count: int = 1,
    workers: int = 0,
    threads: int,
    prefetch: int,
) -> Iterator[Batch]:
    """Yield every example of a split once, in order; empty rows fill the last batch.

    Args:
        source: the split.
        batch_size: images of a batch over all processes.
        canvases: (height, width) to which images are padded, at the bottom and right; a
            batch takes the first that holds all of its images.
        process_index: this process builds its own contiguous rows of every batch.
        process_count: processes that evaluate together; all get as many batches.
        workers: processes that read; 0 reads in this one.
        threads: threads that read in each of these processes; 0 reads when asked.
        prefetch: batches held ready in each of these processes.

    Yields:
        Batches `[B, ...]`, B = batch_size / process_count. Rows that fill up have index
        -1, size (1, 1) and labels 255, or 65,535 where an image has one label.

    Raises:
        ValueError: for a number outside its range.
        DataError: as `train_batches`.
    """
    _check_counts(batch_size, process_index, process_count, threads, workers, prefetch)
    _check_canvas(source, canvases, Augmentation())
    build = EvaluationBatch(source, batch_size, canvases, process_index, process_count)
    stop = -(-len(source) // batch_size)
    return prefetch_batches(
        build,
        0,
        stop,
        workers=workers,
        threads=threads,
        prefetch=prefetch,
        describe=build.describe,
    )


def unpadded(
    batches: Iterator[Batch], sizes: np.ndarray, canvases: Sequence[Canvas]
) -> Iterator[Mapping[str, Any]]:
    """Return the batches of a split, without sizes if every image fills its canvas.

    There is no padding then, and without sizes the network applies no masks.

    Args:
        batches: of the split.
        sizes: `[N, 2] int`, (height, width) of its images after augmentation.
        canvases: of the batches.
    """
    if are_padded(sizes, canvases):
        return iter(batches)
    return ({**batch, "sizes": None} for batch in batches)


def are_padded(sizes: np.ndarray, canvases: Sequence[Canvas]) -> bool:
    """Tell whether some image does not fill its canvas; see `unpadded`."""
    return len(canvases) > 1 or bool((sizes != canvases[0]).any())


def _check_counts(
    batch_size: int,
    process_index: int,
    process_count: int,
    threads: int,
    workers: int,
    prefetch: int,
) -> None:
    if not 0 <= process_index < process_count:
        raise ValueError(
            f"process_index is {process_index}; with {process_count} processes it must "
            f"be 0..{process_count - 1}"
        )
    if batch_size < 1 or batch_size % process_count:
        raise ValueError(
            f"batch_size is {batch_size}; it must be a positive multiple of the "
            f"{process_count} processes"
        )
    if min(threads, workers, prefetch) < 0:
        raise ValueError(
            f"threads {threads}, workers {workers} and prefetch {prefetch} must each "
            "be 0 or more"
        )


def _check_fill(fill: Mapping[str, tuple[int, ...]], source: Source) -> None:
    for key in source[0].inputs:
        if key not in fill:
            raise ValueError(
                f"fill has no value for the input {key}, which jitter and scale need; it has "
                f"{sorted(fill)}"
            )
    for key, levels in fill.items():
        highest = int(np.iinfo(source[0].inputs[key].dtype).max)
        if not all(0 <= level <= highest for level in levels):
            raise ValueError(f"fill of {key} is {levels}; levels are 0..{highest}")


def _check_kind(source: Source, augmentation: Augment) -> None:
    """Refuse windows and shifts of label maps that are 1x1."""
    if not any(isinstance(own, Categories) for own in source.outputs.values()):
        return
    if isinstance(augmentation, Augmentation) and (
        augmentation.crop is not None or augmentation.jitter
    ):
        raise ValueError(
            f"the augmentation has crop {augmentation.crop} and jitter "
            f"{augmentation.jitter}, which cut label maps as they cut images, and the "
            "data set has one label an image; give an ImageAugmentation"
        )


def _check_canvas(
    source: Source, canvases: tuple[Canvas, ...], augmentation: Augment
) -> None:
    """Refuse canvases too small for some image, before the first step."""
    sizes = augmented_sizes(source, augmentation)
    largest = canvases[-1]
    outside = (sizes > largest).any(axis=1)
    if outside.any():
        index = int(np.argmax(outside))
        raise too_large(source.name(index), sizes[index], largest)
