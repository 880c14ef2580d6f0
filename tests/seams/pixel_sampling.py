"""A pixel mask of one's own: each pixel is kept with probability one half."""

import jax
import jax.numpy as jnp
from jax import Array

from fcn_jax.data.labels import IGNORE

KEPT = 0.5


def half_of_the_pixels(labels: Array, keys: Array) -> Array:
    """Return labels in which the other pixels are ignored.

    Args:
        labels: `[N, H, W]` integer.
        keys: `[N]` typed random keys, one an image.
    """
    shape = labels.shape[1:]
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, KEPT, shape))(keys)
    return jnp.where(kept, labels, jnp.asarray(IGNORE, labels.dtype))
