"""An augmentation of one's own: mirrored at random, and brighter or darker."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fcn_jax.data.examples import Example


@dataclass(frozen=True)
class Brightness:
    """Every image is mirrored in half of the cases and its pixels get a common offset.

    Attributes:
        reach: the offset is -reach..reach levels of 0..255.
    """

    reach: int

    def sizes(self, sizes: np.ndarray) -> np.ndarray:
        """Return the sizes after it: those before."""
        return sizes

    def __call__(
        self,
        example: Example,
        *,
        fill: Mapping[str, tuple[int, ...]],
        rng: np.random.Generator,
    ) -> Example:
        """Return the example that training sees."""
        del fill
        inputs, labels = example.inputs, example.labels
        if rng.integers(2):
            inputs = {name: array[:, ::-1] for name, array in inputs.items()}
            labels = {name: array[:, ::-1] for name, array in labels.items()}
        offset = int(rng.integers(-self.reach, self.reach, endpoint=True))
        inputs = {
            name: np.clip(array.astype(np.int32) + offset, 0, 255).astype(array.dtype)
            for name, array in inputs.items()
        }
        return Example(example.name, inputs, labels)
