"""Building padded batches; each batch depends on its number alone."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

import numpy as np

from fcn_jax.data.categories import DTYPE, AnyClasses, Categories
from fcn_jax.data.examples import DataError, Example, Source
from fcn_jax.data.labels import ignored
from fcn_jax.data.pipeline.buckets import Canvas, smallest_canvas
from fcn_jax.data.pipeline.order import Sampler
from fcn_jax.data.pipeline.transforms import (
    Augment,
    Augmentation,
    augmented_sizes,
    place,
)

_NAMED = 20  # images that a message names


class Batch(TypedDict):
    """A padded batch; leading axes [A, B] in training, [B] in evaluation.

    Pixels of `inputs` outside `sizes` are 0 and are masked; labels are 255 there.
    Labels of images (`Categories`) are uint16 `[..., 1, 1]`.
    """

    inputs: dict[str, np.ndarray]  # by key, [..., H, W, C]
    labels: dict[str, np.ndarray]  # by key, uint8 [..., H, W]
    sizes: np.ndarray  # int32 [..., 2], (height, width) of each image
    index: np.ndarray  # int32 [...], position in the run, or example index, or -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainBatch:
    """Builds this process's rows of a step; picklable, as workers need it."""

    source: Source
    seed: int
    batch_size: int
    accumulation: int
    sampler: Sampler
    canvases: tuple[Canvas, ...]
    augmentation: Augment
    fill: dict[str, tuple[int, ...]]
    process_index: int
    process_count: int

    def __call__(self, step: int) -> Batch:
        """This process's rows `[A, B, ...]` of a step."""
        rows = _own_rows(self.batch_size, self.process_index, self.process_count)
        first = step * self.accumulation * self.batch_size
        positions = np.array(
            [
                [first + a * self.batch_size + row for row in rows]
                for a in range(self.accumulation)
            ],
            np.int32,
        )
        examples = [self._sample(int(position)) for position in positions.flat]
        batch = _padded(examples, self._canvas(first), self.source.outputs)
        lead = positions.shape
        return Batch(
            inputs={
                k: a.reshape(lead + a.shape[1:]) for k, a in batch["inputs"].items()
            },
            labels={
                k: a.reshape(lead + a.shape[1:]) for k, a in batch["labels"].items()
            },
            sizes=batch["sizes"].reshape(*lead, 2),
            index=positions,
        )

    def describe(self, step: int) -> str:
        """What is read for a step, for a message."""
        rows = _own_rows(self.batch_size, self.process_index, self.process_count)
        first = step * self.accumulation * self.batch_size
        positions = (
            first + a * self.batch_size + row
            for a in range(self.accumulation)
            for row in rows
        )
        return _described(self.source, (self._index(own) for own in positions))

    def _canvas(self, first: int) -> Canvas:
        """That of a step whose first position is given: all processes' images fit."""
        stop = first + self.accumulation * self.batch_size
        indices = (self._index(position) for position in range(first, stop))
        return _canvas_for(self.source, indices, self.canvases, self.augmentation)

    def _index(self, position: int) -> int:
        index = self.sampler(position)
        if not 0 <= index < len(self.source):
            raise ValueError(
                f"the sampler gives example {index} at position {position}; the split "
                f"has {len(self.source)}, counted from 0"
            )
        return index

    def _sample(self, position: int) -> Example:
        index = self._index(position)
        rng = np.random.default_rng((self.seed, 1, position))
        whole = self.source[index]
        example = self.augmentation(whole, fill=self.fill, rng=rng)
        stated = self.augmentation.sizes(np.array([_size_of(whole)]))[0].tolist()
        rows, columns = _size_of(example)
        if [rows, columns] != stated:
            raise ValueError(
                f"the augmentation makes {example.name} {rows} x {columns} pixels, and "
                f"its `sizes` says {stated[0]} x {stated[1]}; make them equal"
            )
        return example


@dataclasses.dataclass(frozen=True)
class EvaluationBatch:
    """Builds this process's rows of an evaluation batch; picklable."""

    source: Source
    batch_size: int
    canvases: tuple[Canvas, ...]
    process_index: int
    process_count: int

    def describe(self, number: int) -> str:
        """What is read for a batch, for a message."""
        rows = _own_rows(self.batch_size, self.process_index, self.process_count)
        indices = (number * self.batch_size + row for row in rows)
        return _described(self.source, (i for i in indices if i < len(self.source)))

    def __call__(self, number: int) -> Batch:
        """This process's rows `[B, ...]` of a batch."""
        rows = _own_rows(self.batch_size, self.process_index, self.process_count)
        indices = [number * self.batch_size + row for row in rows]
        present = [index for index in indices if index < len(self.source)]
        # A process without a row of its own still learns shapes and dtypes from one.
        examples = [self.source[index] for index in present or [0]]
        first = number * self.batch_size
        every = range(first, min(first + self.batch_size, len(self.source)))
        canvas = _canvas_for(self.source, every, self.canvases, Augmentation())
        batch = _padded(examples, canvas, self.source.outputs, count=len(indices))
        for labels in batch["labels"].values():
            labels[len(present) :] = ignored(labels.dtype)
        batch["sizes"][len(present) :] = 1
        batch["index"][: len(present)] = present
        return batch


def _size_of(example: Example) -> tuple[int, int]:
    rows, columns = next(iter(example.inputs.values())).shape[:2]
    return rows, columns


def _described(source: Source, indices: Iterable[int]) -> str:
    names = [source.name(index) for index in indices]
    more = len(names) - _NAMED
    return (
        f"images {', '.join(names[:_NAMED])}{f' and {more} more' if more > 0 else ''}"
    )


def _canvas_for(
    source: Source,
    indices: Iterable[int],
    canvases: tuple[Canvas, ...],
    augmentation: Augment,
) -> Canvas:
    """The smallest canvas for some examples; with one canvas, sizes are not asked."""
    if len(canvases) == 1:
        return canvases[0]
    sizes = augmented_sizes(source, augmentation, list(indices))
    return smallest_canvas(sizes, canvases)


def _padded(
    examples: list[Example],
    canvas: tuple[int, int],
    outputs: Mapping[str, AnyClasses],
    count: int | None = None,
) -> Batch:
    """Stack examples on a canvas; rows beyond the examples are empty."""
    count = len(examples) if count is None else count
    first = examples[0]
    inputs = {
        key: np.zeros((count, *canvas, *array.shape[2:]), array.dtype)
        for key, array in first.inputs.items()
    }
    labels = {
        key: np.full(
            (count, *_label_size(key, outputs, canvas)),
            ignored(array.dtype),
            array.dtype,
        )
        for key, array in first.labels.items()
    }
    sizes = np.ones((count, 2), np.int32)
    for row, example in enumerate(examples):
        size = next(iter(example.inputs.values())).shape[:2]
        if size[0] > canvas[0] or size[1] > canvas[1]:
            raise too_large(example.name, size, canvas)
        sizes[row] = size
        for key, array in example.inputs.items():
            place(array, inputs[key][row])
        for key, array in example.labels.items():
            _check_image_label(example.name, key, array, outputs)
            place(array, labels[key][row])
    return Batch(
        inputs=inputs, labels=labels, sizes=sizes, index=np.full(count, -1, np.int32)
    )


def _label_size(
    key: str, outputs: Mapping[str, AnyClasses], canvas: tuple[int, int]
) -> tuple[int, int]:
    """(height, width) of the labels of an output in a batch."""
    return (1, 1) if isinstance(outputs.get(key), Categories) else canvas


def _check_image_label(
    name: str, key: str, labels: np.ndarray, outputs: Mapping[str, AnyClasses]
) -> None:
    if isinstance(outputs.get(key), Categories) and (
        labels.shape != (1, 1) or labels.dtype != DTYPE
    ):
        raise DataError(
            f"example {name}: its label of the output {key!r} is {labels.dtype} of the "
            f"shape {labels.shape}; one label an image is uint16 of the shape (1, 1)"
        )


def _own_rows(batch_size: int, process_index: int, process_count: int) -> range:
    share = batch_size // process_count
    return range(process_index * share, (process_index + 1) * share)


def too_large(name: str, size: Any, canvas: tuple[int, int]) -> DataError:
    """The error of an image of (height, width) `size` that a canvas cannot hold."""
    return DataError(
        f"example {name} is {size[0]}x{size[1]} (height x width), larger than the "
        f"canvas {canvas[0]}x{canvas[1]}; leave the canvas at the size of the largest image, or crop in training"
    )
