"""Dropout whose mask does not depend on the batch or the canvas."""

import jax
import jax.numpy as jnp
from jax import Array


def dropout(x: Array, keys: Array, *, rate: float, channels: bool = False) -> Array:
    """Zero features at random and scale the rest by `1 / (1 - rate)`, as Caffe does.

    The mask of a pixel is drawn from its image's key, its row and its column alone:
    an image padded to a larger canvas, placed elsewhere in the batch or on another
    device keeps the mask that it has by itself.

    Args:
        x: `[N, H, W, C]` floating point.
        keys: `[N]` typed random keys, one an image.
        rate: probability of zero, in [0, 1).
        channels: whether a channel of an image is dropped as a whole, which before an
            average over pixels is the same as dropping the averages.

    Returns:
        `[N, H, W, C]` in the dtype of `x`.
    """
    height, width = (1, 1) if channels else x.shape[1:3]
    rows = jnp.arange(height, dtype=jnp.uint32)
    columns = jnp.arange(width, dtype=jnp.uint32)

    def pixel(key: Array, row: Array, column: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(key, row), column)
        # Not a Python number: the mask would follow jax_enable_x64.
        return jax.random.bernoulli(key, jnp.float32(1 - rate), (x.shape[3],))

    along_columns = jax.vmap(pixel, in_axes=(None, None, 0))
    along_rows = jax.vmap(along_columns, in_axes=(None, 0, None))
    keep = jax.vmap(along_rows, in_axes=(0, None, None))(keys, rows, columns)
    return jnp.where(keep, x / (1 - rate), jnp.zeros((), x.dtype))
