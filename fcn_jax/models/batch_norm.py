"""Batch normalisation as a block that backbones can be written in."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fcn_jax.layers.batch_norm import (
    Statistics,
    batch_normalization,
    normalized_by_batch,
    pixel_count,
    running_statistics,
)
from fcn_jax.layers.feature_map import FeatureMap, Features


class BatchNorm(nn.Module):
    """Batch normalisation, exact for padded batches (`layers.batch_norm`).

    Its parameters are `scale` and `bias`. The running statistics, `mean` and `var`, are
    float32 variables of the collection "batch_stats", which `apply` has to be told is
    mutable in training.

    Attributes:
        momentum: weight of the old value in the running statistics (1 minus what torch
            calls momentum).
        epsilon: added to the variance.
        relu: whether a ReLU follows.
    """

    momentum: float
    epsilon: float
    relu: bool = False

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> FeatureMap:
        """Normalise every channel.

        Args:
            x: `[N, H, W, C]` floating point.
            train: True uses the statistics of the batch and updates the running
                ones; False uses the running ones.

        Returns:
            `[N, H, W, C]` in the dtype of `x`, zero outside each image.
        """
        x = x.to_feature_map()
        shape = (x.channels,)
        scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        running = Statistics(mean.value, var.value)
        if not train:
            values = batch_normalization(
                x.values, running, scale=scale, bias=bias, epsilon=self.epsilon
            )
            values = jax.nn.relu(values) if self.relu else values
            return x.placed(x.geometry, values, nonnegative=self.relu)
        inside = x.inside()
        values, found = normalized_by_batch(
            x.values,
            inside,
            scale=scale,
            bias=bias,
            epsilon=self.epsilon,
            relu=self.relu,
        )
        if not self.is_initializing():
            count = pixel_count(x.values, inside)
            mean.value, var.value = running_statistics(
                running, found, count, momentum=self.momentum
            )
        return x.placed(x.geometry, values, nonnegative=self.relu)
