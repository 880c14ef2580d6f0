"""What the platform at hand does in a second, measured in half a second."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

REPEATS = 3


def matrix_rate(dtype: str) -> float:
    """Return operations a second of the product of two square matrices.

    Args:
        dtype: of the matrices, "float32" or "bfloat16".
    """
    size = 2048 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.ones((size, size), dtype)
    return 2 * size**3 / _best(jax.jit(lambda x: x @ x), matrix)


def bandwidth() -> float:
    """Return bytes a second that an elementwise operation reads and writes."""
    count = 2**24 if jax.default_backend() == "cpu" else 2**28
    values = jnp.ones(count, jnp.float32)
    return 2 * values.nbytes / _best(jax.jit(lambda x: x + 1), values)


def _best(function: Callable[[jax.Array], jax.Array], given: jax.Array) -> float:
    """Seconds of the fastest of a few calls."""
    function(given).block_until_ready()
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        function(given).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return best
