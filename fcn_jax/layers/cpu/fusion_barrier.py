"""Keep the compiler from merging two loops into a slower one.

XLA fuses elementwise loops into their readers, also where that hurts: a transform whose
loop runs over tiles, fused into one over the padded pixels that the next layer wants,
has to work out tile and border for every value (measured: 10 ms instead of 4), and may
be computed again by each reader. An optimisation barrier is gone before fusion on a
CPU; a branch of a conditional is not crossed.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax


def fusion_barrier(
    function: Callable[..., Array], known: Array, *arguments: Any
) -> Array:
    """Compute `function(*arguments)` in loops of its own.

    Args:
        function: pure function of arrays, with one array as its result.
        known: any array that is there before and is the same on all devices, a kernel:
            one of its values decides, always in favour.
        arguments: trees of arrays.
    """
    value = lax.slice(known.ravel(), (0,), (1,))[0]
    # True for every float, infinities and NaN included, which no compiler can know.
    always = (value <= 0) | (value >= 0) | (value != value)
    result = jax.eval_shape(function, *arguments)
    return lax.cond(
        always,
        function,
        lambda *_: jnp.zeros(result.shape, result.dtype),
        *arguments,
    )
