"""What a loss gives: sums over pixels, divided once at the end."""

from typing import NamedTuple, Protocol

import jax.numpy as jnp
from jax import Array

from fcn_jax.losses import Reduction


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
        """Return the objective, a scalar: the plain sum, or the mean over valid pixels.

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

    def mixed(self, other: "LossTerms", share: Array) -> "LossTerms":
        """Return the sums of a mixture of two labellings of the same images (mixup).

        Args:
            other: the sums under the second labelling.
            share: scalar in [0, 1], of the first.
        """
        share = share.astype(self.total.dtype)
        return LossTerms(
            share * self.total + (1 - share) * other.total,
            share * self.weight + (1 - share) * other.weight,
            self.valid,
        )


class Loss(Protocol):
    """A loss of the scores of one output.

    A training step and an evaluation are handed one, as they are handed an optimiser.
    What it sums adds up over the images of a batch, over batches and over devices.
    """

    def __call__(self, scores: Array, labels: Array, /) -> LossTerms:
        """Return the sums over a batch.

        Args:
            scores: `[N, H, W, K]` unnormalised, float32 or better.
            labels: `[N, H, W]` integer, 0..K-1; 255 where a pixel is ignored, as it is
                outside the image of a padded batch.
        """
        ...
