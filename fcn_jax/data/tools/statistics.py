"""Statistics of a split: sizes, classes and their weights, channels.

The weights are the median frequency balancing of Eigen and Fergus, "Predicting depth,
surface normals and semantic labels with a common multi-scale convolutional
architecture" (ICCV 2015): median(f) / f, where f(c) is the pixels of class c as a share
of all pixels of the images that contain it.

Pixels are counted in integers, so that no order of summation changes a number.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcn_jax.data.categories import pixel_classes
from fcn_jax.data.examples import Source
from fcn_jax.data.labels import IGNORE, Classes
from fcn_jax.data.pipeline.buckets import choose_canvases, waste
from fcn_jax.data.tools.census import Census
from fcn_jax.data.tools.scan import Progress, scan

CANVAS_LIMITS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Channels:
    """The values of an input over all pixels that were read.

    Attributes:
        mean: of each channel.
        std: of each channel, of the whole population.
        least: smallest value of each channel.
        greatest: largest value of each channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    least: tuple[float, ...]
    greatest: tuple[float, ...]


@dataclass(frozen=True)
class ClassCounts:
    """The ids of a label map over all pixels that were read.

    Attributes:
        classes: names of the ids.
        pixels: of each class.
        images: that contain the class.
        extent: all pixels, ignored ones too, of the images that contain the class.
        ignored: pixels of id 255.
    """

    classes: Classes
    pixels: tuple[int, ...]
    images: tuple[int, ...]
    extent: tuple[int, ...]
    ignored: int

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Share of each class in the labelled pixels; 0 where there are none."""
        total = max(1, sum(self.pixels))
        return tuple(pixels / total for pixels in self.pixels)

    @property
    def weights(self) -> tuple[float | None, ...]:
        """Median frequency balancing; None for a class that does not occur."""
        own = [
            pixels / extent if pixels else None
            for pixels, extent in zip(self.pixels, self.extent, strict=True)
        ]
        present = [frequency for frequency in own if frequency is not None]
        if not present:
            return tuple(own)
        median = float(np.median(present))
        return tuple(None if f is None else median / f for f in own)


@dataclass(frozen=True)
class Statistics:
    """The statistics of a split.

    Attributes:
        fingerprint: of the split, see `Source`.
        read: number of images that were read.
        names: of all images of the split.
        sizes: `[n, 2]` (height, width) of all images of the split.
        inputs: by input key; of "depth" (millimetres) "ln(depth)" as well, which is
            what a network is given.
        outputs: by output key.
    """

    fingerprint: str
    read: int
    names: tuple[str, ...]
    sizes: np.ndarray
    inputs: Mapping[str, Channels]
    outputs: Mapping[str, ClassCounts]

    @property
    def census(self) -> Census:
        """The ids, as what is wrong with them is told from."""
        return Census(
            outputs={key: own.classes for key, own in self.outputs.items()},
            read=self.read,
            total=len(self.sizes),
            pixels={key: np.array(own.pixels) for key, own in self.outputs.items()},
            ignored={key: own.ignored for key, own in self.outputs.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """All statistics as a JSON-able record, with class names and colours."""
        return {
            "fingerprint": self.fingerprint,
            "images": len(self.sizes),
            "images_read": self.read,
            "sizes": size_summary(self.sizes),
            "inputs": {key: vars(channels) for key, channels in self.inputs.items()},
            "outputs": {key: _record(own) for key, own in self.outputs.items()},
            "canvases": canvas_choices(self.sizes),
        }


def measure(
    source: Source, indices: Sequence[int], report: Progress | None = None
) -> Statistics:
    """Read examples of a split and count what is in them.

    Args:
        source: the split.
        indices: of the examples to read, at least one; the sizes are of all.
        report: called after each example.

    Raises:
        ValueError: if the labels are of whole images.
        DataError: for an example that cannot be read.
    """
    outputs = pixel_classes(source.outputs, "counting pixels by class")
    levels: dict[str, np.ndarray] = {}
    counts = {key: np.zeros((3, 256), np.int64) for key in outputs}
    for inputs, labels in scan(lambda i: _counted(source, i), indices, report):
        for key, histogram in inputs.items():
            levels[key] = levels.get(key, 0) + histogram
        for key, pixels in labels.items():
            present = pixels > 0
            counts[key] += (pixels, present, present * pixels.sum())
    return Statistics(
        fingerprint=source.fingerprint,
        read=len(indices),
        names=tuple(source.name(index) for index in range(len(source))),
        sizes=source.sizes(),
        inputs=_all_channels(levels),
        outputs={
            key: _class_counts(counts[key], classes) for key, classes in outputs.items()
        },
    )


def size_summary(sizes: np.ndarray) -> dict[str, Any]:
    """Least, median and greatest height and width, and the size that is most frequent.

    Args:
        sizes: `[n, 2]` (height, width), n at least 1.
    """
    table = Counter((int(height), int(width)) for height, width in sizes)
    size, count = max(table.items(), key=lambda item: (item[1], item[0]))
    return {
        "least": [int(v) for v in sizes.min(axis=0)],
        "median": [float(v) for v in np.median(sizes, axis=0)],
        "greatest": [int(v) for v in sizes.max(axis=0)],
        "different": len(table),
        "most_frequent": list(size),
        "images_of_it": count,
    }


def canvas_choices(sizes: np.ndarray) -> list[dict[str, Any]]:
    """What 1, 2, 4 and 8 canvases waste; fewer where fewer hold all sizes exactly."""
    choices: list[dict[str, Any]] = []
    for limit in CANVAS_LIMITS:
        canvases = choose_canvases(sizes, limit)
        if choices and len(canvases) == len(choices[-1]["canvases"]):
            break
        choices.append(
            {
                "canvases": [list(canvas) for canvas in canvases],
                "waste": waste(sizes, canvases),
            }
        )
    return choices


def _counted(
    source: Source, index: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Pixels by value, `[C, levels]` of each input and `[256]` of each label map."""
    example = source[index]
    inputs = {
        key: np.stack(
            [
                np.bincount(channel.ravel(), minlength=np.iinfo(pixels.dtype).max + 1)
                for channel in np.moveaxis(pixels, -1, 0)
            ]
        )
        for key, pixels in example.inputs.items()
    }
    labels = {
        key: np.bincount(ids.ravel(), minlength=256)
        for key, ids in example.labels.items()
    }
    return inputs, labels


def _all_channels(levels: Mapping[str, np.ndarray]) -> dict[str, Channels]:
    channels = {}
    for key, histogram in levels.items():
        values = np.arange(histogram.shape[1], dtype=np.float64)
        channels[key] = _channels(histogram, values)
        if key == "depth":  # no pixel of it is 0
            logarithms = np.log(np.maximum(values, 1))
            channels[f"ln({key})"] = _channels(histogram, logarithms)
    return channels


def _channels(histogram: np.ndarray, values: np.ndarray) -> Channels:
    moments = [_moments(counts, values) for counts in histogram]
    occurring = [values[counts > 0] for counts in histogram]
    return Channels(
        mean=tuple(mean for mean, _ in moments),
        std=tuple(std for _, std in moments),
        least=tuple(float(own[0]) for own in occurring),
        greatest=tuple(float(own[-1]) for own in occurring),
    )


def _moments(counts: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of values that occur `counts` times."""
    total = int(counts.sum())
    mean = math.fsum(counts * values) / total
    return mean, math.sqrt(math.fsum(counts * (values - mean) ** 2) / total)


def _class_counts(counts: np.ndarray, classes: Classes) -> ClassCounts:
    pixels, images, extent = (tuple(row[: len(classes)].tolist()) for row in counts)
    return ClassCounts(classes, pixels, images, extent, int(counts[0, IGNORE]))


def _record(counts: ClassCounts) -> dict[str, Any]:
    return {
        **counts.classes.to_dict(),
        "pixels": counts.pixels,
        "frequencies": counts.frequencies,
        "images": counts.images,
        "median_frequency_weights": counts.weights,
        "ignored": counts.ignored,
    }
