"""Patches sampled in the loss: pixels that are left out at random (PAMI section 3.4).

A score of the last layer has the loss of one patch, so training on sampled patches is
leaving scores out of the loss. Whether a pixel is kept depends on its image's key, its
place and its class alone: not on the batch, the canvas or the device.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

IGNORE = 255
"""A label that no loss counts."""


def sampled_labels(
    labels: Array,
    keys: Array,
    *,
    share: float = 1.0,
    cell: int = 1,
    class_shares: Sequence[float] = (),
) -> Array:
    """Ignore pixels at random.

    Args:
        labels: `[N, H, W]` integer, 0..K-1 or 255.
        keys: `[N]` typed random keys, one an image.
        share: probability with which a cell is kept, in (0, 1].
        cell: its side in pixels; cells lie side by side from the first pixel on. The
            net's stride makes them the cells of its coarsest scores; 1 draws for each
            pixel.
        class_shares: `[K]` probabilities with which pixels of each class are kept
            besides, in [0, 1]; () keeps all.

    Returns:
        `[N, H, W]`, 255 where a pixel is left out.
    """
    height, width = labels.shape[1:]
    drawn = partial(_uniform, rows=-(-height // cell), columns=-(-width // cell))
    numbers = jax.vmap(drawn)(keys)
    numbers = jnp.repeat(jnp.repeat(numbers, cell, axis=1), cell, axis=2)
    kept = jnp.full(labels.shape, share, jnp.float32)
    if class_shares:
        table = jnp.asarray(class_shares, jnp.float32)
        kept *= table[jnp.clip(labels.astype(jnp.int32), 0, len(class_shares) - 1)]
    keep = numbers[:, :height, :width] < kept
    return jnp.where(keep, labels, jnp.asarray(IGNORE, labels.dtype))


def _uniform(key: Array, *, rows: int, columns: int) -> Array:
    """Draw `[rows, columns] float32` in [0, 1), each from its own place alone."""

    def number(row: Array, column: Array) -> Array:
        own = jax.random.fold_in(jax.random.fold_in(key, row), column)
        return jax.random.uniform(own, (), jnp.float32)

    along_columns = jax.vmap(number, in_axes=(None, 0))
    along_rows = jax.vmap(along_columns, in_axes=(0, None))
    return along_rows(
        jnp.arange(rows, dtype=jnp.uint32), jnp.arange(columns, dtype=jnp.uint32)
    )
