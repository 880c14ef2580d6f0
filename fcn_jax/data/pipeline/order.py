"""The order of training samples: a function of the position in the run alone."""

import functools
import random

import numpy as np

ORDERS = ("shuffle", "replacement")


def draw_index(position: int, *, count: int, seed: int, order: str) -> int:
    """Which example the sample at a position of the run is.

    Args:
      position: samples drawn before it, over the whole run and all processes.
      count: examples of the split.
      seed: at least 0.
      order: "shuffle" visits every example once an epoch, in an order of its own;
        "replacement" is the reference's sampling, Python 2's `randint(0, n - 1)` on
        `random.Random(seed)`, which is int(random() * n) (voc_layers.py).

    Raises:
      ValueError: for another order.
    """
    if order == "shuffle":
        epoch, place_in_epoch = divmod(position, count)
        return int(_permutation(count, seed, epoch)[place_in_epoch])
    if order == "replacement":
        # Drawn in doubling blocks, so that a run draws each number about twice.
        length = 1024 << (position // 1024).bit_length()
        return int(_draws(count, seed, length)[position])
    raise ValueError(f"order is {order!r}; allowed are {', '.join(ORDERS)}")


# Four epochs, since threads and workers run ahead over the end of one.
@functools.lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)


@functools.lru_cache(maxsize=2)
def _draws(count: int, seed: int, length: int) -> np.ndarray:
    generator = random.Random(seed)
    return np.array([int(generator.random() * count) for _ in range(length)], np.int32)
