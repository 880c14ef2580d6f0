"""A data set reduced to some of its examples, drawn at random."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fcn_jax.data.categories import AnyClasses
from fcn_jax.data.examples import Example, Source, check_index, digest


@dataclass(frozen=True)
class LimitedSource:
    """Some examples of a split, in its order; a `Source`. Made by `limited`.

    Attributes:
        source: the whole split.
        indices: of the examples that are left, ascending.
    """

    source: Source
    indices: tuple[int, ...]

    @property
    def outputs(self) -> Mapping[str, AnyClasses]:
        """Classes of each label map."""
        return self.source.outputs

    @property
    def fingerprint(self) -> str:
        """Digest of the whole split and of the examples that are left."""
        return digest([self.source.fingerprint, self.indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        check_index(index, len(self), f"the part of {len(self)} examples")
        return self.source[self.indices[int(index)]]

    def name(self, index: int) -> str:
        """The name of the example."""
        return self.source.name(self.indices[index])

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width)."""
        return self.source.sizes()[np.array(self.indices)]


def limited(source: Source, count: int, seed: int) -> Source:
    """Keep some examples of a split, drawn without replacement.

    With one seed a smaller draw is part of a larger one: the 10 examples are among the
    30, so that curves over the number of examples compare like with like.

    Args:
        source: the split.
        count: examples to keep; 0 keeps all.
        seed: of the draw, at least 0.

    Raises:
        ValueError: for a negative number, or more examples than there are.
    """
    if not count:
        return source
    if not 0 < count <= len(source):
        raise ValueError(
            f"config.data.limit is {count}, and the split has {len(source)} examples; "
            f"give 1 to {len(source)}, or 0 for all of them"
        )
    drawn = np.random.default_rng(seed).permutation(len(source))[:count]
    return LimitedSource(source, tuple(sorted(drawn.tolist())))
