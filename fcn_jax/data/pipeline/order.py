"""Order of training samples, as a function of the position in the run."""

import functools
import random
from dataclasses import dataclass
from typing import Protocol, get_args

import numpy as np

from fcn_jax.data.pipeline import Order


class Sampler(Protocol):
    """Maps the position of a sample in a run to an example.

    It depends on the position alone, so that a continued run has the same samples as an
    uninterrupted one. Picklable, as worker processes call it.
    """

    def __call__(self, position: int, /) -> int:
        """Return the index of an example.

        Args:
            position: samples drawn before it, over the whole run and all processes.
        """
        ...


@dataclass(frozen=True)
class Shuffle:
    """Every example once per epoch, in a new random order for each epoch.

    Attributes:
        count: examples of the split.
        seed: at least 0.
    """

    count: int
    seed: int

    def __call__(self, position: int, /) -> int:
        """Return the index of an example; see `Sampler`."""
        epoch, place_in_epoch = divmod(position, self.count)
        return int(_permutation(self.count, self.seed, epoch)[place_in_epoch])


@dataclass(frozen=True)
class Replacement:
    """The reference's sampling (voc_layers.py), with replacement.

    Python 2's `randint(0, n - 1)` on `random.Random(seed)`, which is int(random() * n).

    Attributes:
        count: examples of the split.
        seed: at least 0.
    """

    count: int
    seed: int

    def __call__(self, position: int, /) -> int:
        """Return the index of an example; see `Sampler`."""
        # Drawn in doubling blocks, so that a run draws each number about twice.
        length = 1024 << (position // 1024).bit_length()
        return int(_draws(self.count, self.seed, length)[position])


def make_sampler(order: Order, count: int, seed: int) -> Sampler:
    """Make the sampler with a name.

    Args:
        order: "shuffle" or "replacement".
        count: examples of the split.
        seed: at least 0.

    Raises:
        ValueError: for another order.
    """
    if order == "shuffle":
        return Shuffle(count, seed)
    if order == "replacement":
        return Replacement(count, seed)
    raise ValueError(f"order is {order!r}; allowed are {', '.join(get_args(Order))}")


# Four epochs, since threads and workers run ahead over the end of one.
@functools.lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)


@functools.lru_cache(maxsize=2)
def _draws(count: int, seed: int, length: int) -> np.ndarray:
    generator = random.Random(seed)
    return np.array([int(generator.random() * count) for _ in range(length)], np.int32)
