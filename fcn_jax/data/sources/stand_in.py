"""A split of which only the sizes and the classes are known, without a single image."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from fcn_jax.data.categories import AnyClasses
from fcn_jax.data.examples import DataError, Example, digest


@dataclasses.dataclass(frozen=True)
class StandIn:
    """A `Source` without images, for plans of runs whose data are not there.

    Attributes:
        split: its name, of which the names of examples are made.
        outputs: classes of each output.
        shapes: (height, width) of each example.
    """

    split: str
    outputs: Mapping[str, AnyClasses]
    shapes: tuple[tuple[int, int], ...]

    @property
    def fingerprint(self) -> str:
        """Digest of its sizes."""
        return digest(["stand-in", self.split, self.shapes])

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> Example:
        raise DataError(f"example {index} of a stand-in for data has no pixels")

    def name(self, index: int) -> str:
        """A name that no other split has."""
        return f"{self.split} {index}"

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width)."""
        return np.array(self.shapes, np.int32).reshape(-1, 2)
