"""Batch normalisation over the pixels that belong to images (Ioffe and Szegedy 2015).

With the n pixels of all images of a batch, of each channel,

    mean = 1/n sum x,    var = 1/n sum (x - mean)^2,
    y = scale (x - mean) / sqrt(var + epsilon) + bias.

Pixels outside an image are in no sum, so a padded batch has the statistics of its
images. Under `jax.jit` the sums run over the whole batch, on however many devices it
lies: statistics are those of the global batch.

In training the gradient is written out, with g that of y and h = (x - mean) / sqrt(var +
epsilon):

    for bias: sum g,    for scale: sum g h,
    for x: scale / sqrt(var + epsilon) (g - 1/n sum g - h/n sum g h).

It reads the map and its gradient twice, where that of the formulas above, which jax
would derive, reads them more often; on a CPU that is most of the time. As with
convolutions, jax cannot differentiate it forwards.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax


class Statistics(NamedTuple):
    """Mean and variance of each channel.

    Attributes:
        mean: `[C]`, float32 or better.
        var: `[C]`, float32 or better.
    """

    mean: Array
    var: Array


def pixel_count(x: Array, inside: Array | None) -> Array:
    """Count the pixels that belong to images, at least one.

    Args:
        x: `[N, H, W, C]` floating point.
        inside: `[N, H, W, 1] bool`, or None if all of them do.

    Returns:
        Scalar int32.
    """
    if inside is None:
        return jnp.int32(max(x.shape[0] * x.shape[1] * x.shape[2], 1))
    return jnp.maximum(jnp.sum(inside, dtype=jnp.int32), 1)


def batch_statistics(x: Array, inside: Array | None) -> Statistics:
    """Compute the mean and the variance, divided by n, of the pixels of all images.

    Args:
        x: `[N, H, W, C]` floating point.
        inside: `[N, H, W, 1] bool`, the pixels that belong to images; None for all.

    Returns:
        The statistics, `[C]` each, in float32 or better.
    """
    values = x.astype(_precise(x))
    count = pixel_count(x, inside).astype(values.dtype)

    def mean_of(values: Array) -> Array:
        if inside is not None:
            values = jnp.where(inside, values, jnp.zeros((), values.dtype))
        return jnp.sum(values, axis=(0, 1, 2)) / count

    mean = mean_of(values)
    # In two passes: the mean square minus the squared mean would lose digits.
    return Statistics(mean, mean_of(jnp.square(values - _along(mean))))


def batch_normalization(
    x: Array, statistics: Statistics, *, scale: Array, bias: Array, epsilon: float
) -> Array:
    """Normalise every channel by the statistics, then scale and shift it.

    Args:
        x: `[N, H, W, C]` floating point.
        statistics: of each channel, `[C]` each, float32 or better.
        scale: `[C]` floating point.
        bias: `[C]` floating point.
        epsilon: added to the variance.

    Returns:
        `[N, H, W, C]` in the dtype of `x`, computed in float32 or better.
    """
    precise = _precise(x)
    mean, var, scale, bias = (
        values.astype(precise) for values in (*statistics, scale, bias)
    )
    factor = scale * lax.rsqrt(var + epsilon)
    y = (x.astype(precise) - _along(mean)) * _along(factor) + _along(bias)
    return y.astype(x.dtype)


def normalized_by_batch(
    x: Array,
    inside: Array | None,
    *,
    scale: Array,
    bias: Array,
    epsilon: float,
    relu: bool,
) -> tuple[Array, Statistics]:
    """Normalise every channel by the statistics of the batch, in training.

    Args:
        x: `[N, H, W, C]` floating point.
        inside: `[N, H, W, 1] bool`, the pixels that belong to images; None for all.
        scale: `[C]` floating point.
        bias: `[C]` floating point.
        epsilon: added to the variance.
        relu: whether a ReLU follows.

    Returns:
        `[N, H, W, C]` in the dtype of `x`, computed in float32 or better, of any value
        outside the images; and `batch_statistics`, through which no gradient flows.
    """
    return _by_batch(x, inside, scale, bias, epsilon, relu)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _by_batch(
    x: Array,
    inside: Array | None,
    scale: Array,
    bias: Array,
    epsilon: float,
    relu: bool,
) -> tuple[Array, Statistics]:
    found = batch_statistics(x, inside)
    y = batch_normalization(x, found, scale=scale, bias=bias, epsilon=epsilon)
    return (jax.nn.relu(y) if relu else y), found


def _by_batch_forward(
    x: Array,
    inside: Array | None,
    scale: Array,
    bias: Array,
    epsilon: float,
    relu: bool,
) -> Any:
    result: Any = _by_batch(x, inside, scale, bias, epsilon, relu)
    return result, (x, inside, scale, bias, result[1])


def _by_batch_backward(epsilon: float, relu: bool, saved: Any, grads: Any) -> Any:
    x, inside, scale, bias, (mean, var) = saved
    precise = _precise(x)
    inverse = lax.rsqrt(var + epsilon)
    factor = scale.astype(precise) * inverse
    centred = x.astype(precise) - _along(mean)
    grad = grads[0].astype(precise)
    kept = inside
    if relu:
        y = centred * _along(factor) + _along(bias.astype(precise))
        kept = y > 0 if inside is None else inside & (y > 0)
    if kept is not None:
        grad = jnp.where(kept, grad, jnp.zeros((), precise))
    count = pixel_count(x, inside).astype(precise)
    for_bias = jnp.sum(grad, axis=(0, 1, 2))
    for_scale = jnp.sum(grad * centred, axis=(0, 1, 2)) * inverse
    slope = inverse * for_scale / count
    for_x = _along(factor) * (grad - _along(for_bias / count) - centred * _along(slope))
    if inside is not None:
        for_x = jnp.where(inside, for_x, jnp.zeros((), precise))
    return (
        for_x.astype(x.dtype),
        None,
        for_scale.astype(scale.dtype),
        for_bias.astype(bias.dtype),
    )


_by_batch.defvjp(_by_batch_forward, _by_batch_backward)


def running_statistics(
    old: Statistics, batch: Statistics, count: Array, *, momentum: float
) -> Statistics:
    """Move the running statistics towards those of a batch.

    As in Caffe and torch the variance is divided by n - 1 here, not by n.

    Args:
        old: the running statistics, `[C]` each, floating point.
        batch: those of `batch_statistics`.
        count: scalar int, the pixels n that they are of.
        momentum: weight of the old statistics.

    Returns:
        The new running statistics, `[C]` each, in the dtype of the old ones.
    """
    n = count.astype(batch.var.dtype)
    unbiased = batch.var * (n / jnp.maximum(n - 1, 1))

    def moved(old: Array, new: Array) -> Array:
        mixed = momentum * old.astype(new.dtype) + (1 - momentum) * new
        return mixed.astype(old.dtype)

    return Statistics(moved(old.mean, batch.mean), moved(old.var, unbiased))


def _precise(x: Array) -> np.dtype:
    """Return the dtype of the arithmetic: float32 or better."""
    return np.promote_types(x.dtype, np.float32)


def _along(channels: Array) -> Array:
    """Reshape `[C]` to `[1, 1, 1, C]`."""
    return channels[None, None, None, :]
