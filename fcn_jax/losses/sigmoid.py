"""Pixel-wise sigmoid cross-entropy: each class against all others (PAMI section 6.1).

Caffe's SigmoidCrossEntropyLoss on one-hot labels, summed over pixels and classes. For a
pixel of class k and weight w,

    loss = w sum_j (softplus(s_j) - [j = k] s_j),
    d loss / d s_j = w (sigmoid(s_j) - [j = k]).

With a null background class 0 has no term of its own. Its score, which starts at zero,
then stays at zero, and a pixel is background where no other score is above that: the
paper's net that does not score the background. (The paper's has no channel for it; here
the channel is there, constant, so that a label map is the largest score as ever.)
"""

import jax
import jax.numpy as jnp
from jax import Array

from fcn_jax.losses.terms import LossTerms


def sigmoid_cross_entropy(
    scores: Array,
    labels: Array,
    *,
    class_weights: Array | None = None,
    null_background: bool = False,
) -> LossTerms:
    """Sum the cross-entropy of every class of every valid pixel.

    Args:
        scores: `[N, H, W, K]` unnormalised, floating point.
        labels: `[N, H, W]` integer, 0..K-1; every other value is ignored.
        class_weights: `[K]` factors on the loss of pixels of each true class, or None.
        null_background: whether class 0 is left out of the sum over the classes.

    Returns:
        The sums, in the dtype of the scores.
    """
    classes = scores.shape[-1]
    labels = labels.astype(jnp.int32)
    valid = (labels >= 0) & (labels < classes)
    own = jnp.where(valid, labels, 0)
    weights = valid.astype(scores.dtype)
    if class_weights is not None:
        weights *= class_weights.astype(scores.dtype)[own]
    channels = jnp.arange(classes, dtype=own.dtype)[None, None, None, :]
    is_own = own[..., None] == channels
    terms = jax.nn.softplus(scores) - jnp.where(is_own, scores, 0)
    if null_background:
        terms = jnp.where(channels == 0, 0, terms)
    loss = terms.sum(axis=-1)
    total = jnp.where(weights != 0, loss * weights, 0).sum()
    return LossTerms(total, weights.sum(), valid.sum(dtype=jnp.int32))
