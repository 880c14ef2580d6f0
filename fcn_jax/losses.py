"""Pixel-wise softmax cross-entropy, summed first and divided once.

Caffe's SoftmaxWithLoss with `ignore_label: 255`. Ignored pixels are removed by a
mask: their loss and gradient are zero, and an image without a valid pixel has loss
zero. (Caffe also clamps the probability at 1.2e-38, which caps the loss of a pixel
at 87.3 without changing its gradient; there is no cap here.)
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Reduction = Literal["sum", "mean"]


class LossTerms(NamedTuple):
    """Sums over the pixels of a batch; they add up over batches and devices.

    Attributes:
        total: scalar, weighted cross-entropy in nats, summed.
        weight: scalar, weights of the valid pixels, summed (their number if
            unweighted).
        valid: scalar int32, number of valid pixels.
    """

    total: Array
    weight: Array
    valid: Array

    def reduce(self, reduction: Reduction) -> Array:
        """The objective: the plain sum, or the mean over valid pixels.

        "sum" is Caffe's `normalize: false` at batch 1; its gradient grows with the
        image, so learning rates of 1e-10 belong to it. "mean" is VALID
        normalisation. The reference's 1e-10 on a 375 x 500 image is 1.9e-5 on the
        mean.
        """
        if reduction == "sum":
            return self.total
        if reduction == "mean":
            return self.total / jnp.where(self.weight > 0, self.weight, 1)
        raise ValueError(f"reduction is {reduction!r}; it must be 'sum' or 'mean'")


def softmax_cross_entropy(
    scores: Array, labels: Array, *, class_weights: Array | None = None
) -> LossTerms:
    """Cross-entropy of every valid pixel, summed.

    Args:
        scores: `[N, H, W, K]` unnormalised, floating point.
        labels: `[N, H, W]` integer, 0..K-1; every other value is ignored (the data
            pipeline lets only 255 through).
        class_weights: `[K]` factors on the loss of each true class, or None.

    Returns:
        The sums, in the dtype of the scores.
    """
    labels = labels.astype(jnp.int32)
    classes = jnp.arange(scores.shape[-1], dtype=jnp.int32)
    truth = labels[..., None] == classes[None, None, None, :]
    valid = truth.any(axis=-1)
    own_score = jnp.sum(jnp.where(truth, scores, 0), axis=-1)
    loss = jax.nn.logsumexp(scores, axis=-1) - own_score
    if class_weights is None:
        weights = valid.astype(scores.dtype)
    else:
        table = class_weights.astype(scores.dtype)[None, None, None, :]
        weights = jnp.sum(jnp.where(truth, table, 0), axis=-1)
    loss = jnp.where(valid, loss * weights, 0)
    return LossTerms(loss.sum(), weights.sum(), valid.sum(dtype=jnp.int32))
