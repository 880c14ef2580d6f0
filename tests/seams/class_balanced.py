"""A sampler of one's own: every class has its turn."""

from dataclasses import dataclass

import numpy as np

from fcn_jax.data.examples import Source


@dataclass(frozen=True)
class ClassBalanced:
    """Position p of a run has an image in which class p modulo K occurs.

    Attributes:
        members: for each class, the images in which it occurs.
        seed: of the choice among them.
    """

    members: tuple[tuple[int, ...], ...]
    seed: int = 0

    def __call__(self, position: int, /) -> int:
        """Return the index of an example."""
        own = self.members[position % len(self.members)]
        return int(np.random.default_rng((self.seed, position)).choice(own))


def class_balanced(source: Source) -> ClassBalanced:
    """Return the sampler of a split, which is read once."""
    (name,) = source.outputs
    labels = [source[index].labels[name] for index in range(len(source))]
    members = (
        tuple(index for index, own in enumerate(labels) if (own == label).any())
        for label in range(len(source.outputs[name]))
    )
    return ClassBalanced(tuple(own for own in members if own))
