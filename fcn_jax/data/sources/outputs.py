"""A data set reduced to some of its label maps: one task of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fcn_jax.data.categories import AnyClasses
from fcn_jax.data.examples import Example, Source, digest


@dataclass(frozen=True)
class OutputSubset:
    """A split with fewer label maps; a `Source`. Made by `with_outputs`.

    Attributes:
        source: the split with all of them.
        names: those that are left.
    """

    source: Source
    names: tuple[str, ...]

    @property
    def outputs(self) -> Mapping[str, AnyClasses]:
        """Classes of each label map that is left."""
        return {name: self.source.outputs[name] for name in self.names}

    @property
    def fingerprint(self) -> str:
        """Digest of the whole split and of what is left."""
        return digest([self.source.fingerprint, self.names])

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        example = self.source[index]
        return replace(example, labels={n: example.labels[n] for n in self.names})

    def name(self, index: int) -> str:
        """The name of the example."""
        return self.source.name(index)

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width)."""
        return self.source.sizes()


def with_outputs(source: Source, names: Sequence[str]) -> Source:
    """Reduce a split to some of its label maps.

    Args:
        source: the split.
        names: of the label maps to keep; () keeps all.

    Raises:
        ValueError: for a name that the split does not have, or one given twice.
    """
    unknown = [name for name in names if name not in source.outputs]
    if unknown or len(set(names)) < len(names):
        raise ValueError(
            f"data.outputs is {tuple(names)}; name each label map once, of "
            f"{', '.join(source.outputs)}"
        )
    if not names or tuple(names) == tuple(source.outputs):
        return source
    return OutputSubset(source, tuple(names))
