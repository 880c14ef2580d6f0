"""A source of one's own: NumPy arrays in memory."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fcn_jax.data.examples import Example
from fcn_jax.data.labels import Classes


@dataclass(frozen=True)
class ArraySource:
    """Images and their labels.

    Attributes:
        split: of which the names begin.
        images: `[H, W, 3] uint8` each.
        labels: `[H, W] uint8` each, ids of `classes` or 255.
        classes: what the ids mean.
    """

    split: str
    images: Sequence[np.ndarray]
    labels: Sequence[np.ndarray]
    classes: Classes

    @property
    def outputs(self) -> Mapping[str, Classes]:
        """The classes of the one output."""
        return {"semantic": self.classes}

    @property
    def fingerprint(self) -> str:
        """A digest of every pixel."""
        found = hashlib.sha256()
        for array in (*self.images, *self.labels):
            found.update(np.ascontiguousarray(array))
        return found.hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        return Example(
            self.name(index),
            {"color": self.images[index]},
            {"semantic": self.labels[index]},
        )

    def name(self, index: int) -> str:
        """The name of an example."""
        return f"{self.split}-{index}"

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32`: (height, width) of each image."""
        return np.array([image.shape[:2] for image in self.images], np.int32)
