"""A loss of one's own: soft Dice, image by image."""

import jax
import jax.numpy as jnp
from jax import Array

from fcn_jax.losses.terms import LossTerms


def dice_loss(scores: Array, labels: Array) -> LossTerms:
    """One minus the mean Dice coefficient of the classes of each image, summed.

    For probabilities p and true classes t of an image's valid pixels, the coefficient of
    class k is 2 sum p_k t_k / (sum p_k + sum t_k) (Milletari et al. 2016).

    Args:
        scores: `[N, H, W, K]` unnormalised.
        labels: `[N, H, W]` integer, 255 where a pixel is ignored.
    """
    valid = labels < scores.shape[-1]
    inside = valid[..., None].astype(scores.dtype)
    probabilities = jax.nn.softmax(scores) * inside
    classes = jnp.where(valid, labels, 0).astype(jnp.int32)
    truth = jax.nn.one_hot(classes, scores.shape[-1], dtype=scores.dtype) * inside
    shared = (probabilities * truth).sum(axis=(1, 2))
    both = probabilities.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))
    coefficient = jnp.where(both > 0, 2 * shared / jnp.where(both > 0, both, 1), 1)
    loss = 1 - coefficient.mean(axis=-1)
    images = valid.any(axis=(1, 2)).astype(scores.dtype)
    return LossTerms((loss * images).sum(), images.sum(), valid.sum(dtype=jnp.int32))
