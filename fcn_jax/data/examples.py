"""Examples of a data set, and the checks of each example before training.

JAX reports no error for a label outside the classes: -1 trains the last class, 200
makes the loss NaN. So every label map is checked here, on the host.
"""

import dataclasses
import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np

from fcn_jax.data.categories import AnyClasses
from fcn_jax.data.labels import IGNORE, Classes, id_counts

MANY = 8
"""Number of values without a class from which on resampling is the likely cause."""


class DataError(ValueError):
    """A data set that cannot be used; names the data set, the file and the remedy."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One image with its labels.

    Attributes:
        name: unique in its split.
        inputs: input key to pixels, "color" (RGB) and "hha" `[H, W, 3] uint8`, "depth"
            `[H, W, 1] uint16` in millimetres.
        labels: output key to `[H, W] uint8`, ids 0..K-1 or 255; `{"semantic": ...}`.
            Of an output with one label an image (`Categories`) `[1, 1] uint16`, 0..K-1
            or 65,535.
    """

    name: str
    inputs: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


class Source(Protocol):
    """One split of a data set: random access, deterministic by index, picklable."""

    @property
    def outputs(self) -> Mapping[str, AnyClasses]:
        """The classes of each output, `{"semantic": Classes}`."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hexadecimal digest of the split's content."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...

    def name(self, index: int) -> str:
        """The name of the example at `index`."""
        ...

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32`: (height, width) of each image, without decoding pixels."""
        ...


def digest(record: Any) -> str:
    """The SHA-256 of a JSON-able record, in hexadecimal."""
    text = json.dumps(record, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def check_index(index: int, count: int, where: str) -> None:
    """Refuse an index outside 0..count-1.

    Raises:
        IndexError: with the index, the count and what `where` names.
    """
    if not 0 <= index < count:
        raise IndexError(f"{where} has no example {index}; it has {count}, from 0")


def outside_ids(labels: np.ndarray, count: int) -> dict[int, int]:
    """Return the ids outside 0..count-1 and 255, with their numbers of pixels.

    Args:
        labels: `[H, W]` integers.
        count: number of classes.
    """
    if labels.dtype == np.uint8:  # needs less memory
        counts = id_counts(labels)
        counts[[*range(count), IGNORE]] = 0
        return {int(i): int(counts[i]) for i in np.flatnonzero(counts)}
    outside = labels[(labels < 0) | ((labels >= count) & (labels != IGNORE))]
    ids, pixels = np.unique(outside, return_counts=True)
    return {int(i): int(n) for i, n in zip(ids, pixels, strict=True)}


def describe_counts(pixels: Mapping[Any, int], limit: int = 8) -> str:
    """`12 (34 pixels), 200 (5 pixels)` for ids or colours and their pixels."""
    parts = [f"{key} ({n} pixels)" for key, n in list(pixels.items())[:limit]]
    more = len(pixels) - limit
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")


def blurred(values: Collection[int]) -> str:
    """Return the remedy if resampling is the likely cause of so many values, else "".

    Args:
        values: values of a label map without a class.
    """
    if len(values) <= MANY:
        return ""
    return (
        f"; {len(values)} values come of JPEG or of resizing, rather than of classes: take "
        "the masks as they were drawn, or `python -m fcn_jax.data import` with --map and "
        "--nearest"
    )


def label_problems(
    labels: np.ndarray, *, size: tuple[int, int] | None, classes: Classes | None
) -> list[str]:
    """Return the problems of a label map, a sentence each; empty if it is valid.

    Args:
        labels: the label map that was read.
        size: (height, width) of its image; None where that is not known.
        classes: whose ids are allowed, besides 255; None allows every id.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        return [f"labels are {labels.dtype}; they must be integer class ids"]
    if labels.ndim != 2:
        return [
            f"labels have the shape {labels.shape}; "
            "one id a pixel, (height, width), is needed"
        ]
    problems = []
    if size is not None and labels.shape != size:
        problems.append(
            f"the image is {size[0]}x{size[1]} pixels (height x width) and its label "
            f"{labels.shape[0]}x{labels.shape[1]}; "
            "give both the same size, without resampling ids"
        )
    bad = outside_ids(labels, len(classes)) if classes is not None else {}
    if classes is not None and bad:
        problems.append(
            f"label ids {describe_counts(bad)} are outside the classes; "
            f"allowed are 0..{len(classes) - 1} and 255 (ignore), so repaint these "
            "pixels, add their classes, or say in the classes.txt of a folder what they "
            f"are (`{next(iter(bad))}: NAME` or `{next(iter(bad))}: ignore`, and so in "
            f"each line){blurred(bad)}"
        )
    return problems


def checked_example(
    example: Example, *, outputs: Mapping[str, Classes], where: str
) -> Example:
    """Check the label maps of an example and convert them to uint8.

    Args:
        example: what was read.
        outputs: the classes of each label map.
        where: names data set, split and example in the message.

    Raises:
        DataError: for labels that are no integers, of another size than the image, or
            with ids outside the classes, each with its number of pixels.
    """
    height, width = next(iter(example.inputs.values())).shape[:2]
    labels = {}
    for key, classes in outputs.items():
        problems = label_problems(
            example.labels[key], size=(height, width), classes=classes
        )
        if problems:
            raise DataError(f"{where}: {problems[0]}")
        labels[key] = example.labels[key].astype(np.uint8, copy=False)
    return dataclasses.replace(example, labels=labels)


def spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` of the indices 0..count-1 at equal distances, or all if fewer."""
    number = min(count, wanted)
    return [(2 * i + 1) * count // (2 * number) for i in range(number)]
