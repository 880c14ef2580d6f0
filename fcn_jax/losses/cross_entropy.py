"""Pixel-wise softmax cross-entropy, summed first and divided once.

Caffe's SoftmaxWithLoss with `ignore_label: 255`. Ignored pixels are removed by a
mask: their loss and gradient are zero, and an image without a valid pixel has loss
zero. (Caffe also clamps the probability at 1.2e-38, which caps the loss of a pixel
at 87.3 without changing its gradient; there is no cap here.)

For a pixel of class k and weight w, with m = max_j s_j and r = log sum_j exp(s_j - m),

    loss = w ((m - s_k) + r),    d loss / d s_j = w (exp((s_j - m) - r) - [j = k]).

With label smoothing e (Szegedy et al. 2016, section 7) the true class has the probability
1 - e + e/K and every other e/K:

    loss = w ((m - s_k) + e (s_k - mean_j s_j) + r),
    d loss / d s_j = w (exp((s_j - m) - r) - (1 - e) [j = k] - e/K).

The gradient is written out, so that it takes one pass over the scores and no array of
their size is kept or built besides it. m is kept apart from r: their sum would round
away what large scores leave of r.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from fcn_jax.losses.terms import LossTerms


def softmax_cross_entropy(
    scores: Array,
    labels: Array,
    *,
    class_weights: Array | None = None,
    smoothing: float = 0.0,
) -> LossTerms:
    """Sum the cross-entropy of every valid pixel.

    Args:
        scores: `[N, H, W, K]` unnormalised, floating point.
        labels: `[N, H, W]` integer, 0..K-1; every other value is ignored (the data
            pipeline lets only 255 through).
        class_weights: `[K]` factors on the loss of each true class, or None.
        smoothing: e of label smoothing, in [0, 1).

    Returns:
        The sums, in the dtype of the scores.
    """
    labels = labels.astype(jnp.int32)
    valid = (labels >= 0) & (labels < scores.shape[-1])
    classes = jnp.where(valid, labels, 0)
    weights = valid.astype(scores.dtype)
    if class_weights is not None:
        weights *= class_weights.astype(scores.dtype)[classes]
    total: Any = _weighted_sum(scores, classes, weights, smoothing)
    return LossTerms(total, weights.sum(), valid.sum(dtype=jnp.int32))


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _weighted_sum(
    scores: Array, classes: Array, weights: Array, smoothing: float
) -> Array:
    """Sum cross-entropy times weight; pixels of weight 0 add nothing."""
    return _forward(scores, classes, weights, smoothing)[0]


def _forward(
    scores: Array, classes: Array, weights: Array, smoothing: float
) -> tuple[Array, Any]:
    top = lax.stop_gradient(scores.max(axis=-1))
    rest = jnp.log(jnp.exp(scores - top[..., None]).sum(axis=-1))
    own = _own_score(scores, classes)
    loss = (top - own) + rest
    if smoothing:
        loss += smoothing * (own - scores.mean(axis=-1))
    total = jnp.where(weights != 0, loss * weights, 0).sum()
    return total, (scores, classes, weights, loss, top, rest)


def _backward(
    smoothing: float, kept: Any, cotangent: Array
) -> tuple[Array, None, Array]:
    scores, classes, weights, loss, top, rest = kept
    softmax = jnp.exp((scores - top[..., None]) - rest[..., None])
    # Only arithmetic: with a choice in it, XLA's loop over the classes is scalar.
    own = _is_own(scores, classes).astype(scores.dtype)
    if smoothing:
        own = (1 - smoothing) * own + smoothing / scores.shape[-1]
    gradient = (softmax - own) * (cotangent * weights)[..., None]
    return gradient, None, jnp.where(weights != 0, cotangent * loss, 0)


_weighted_sum.defvjp(_forward, _backward)


def _own_score(scores: Array, classes: Array) -> Array:
    """Return `[N, H, W]`: the score of each pixel's class."""
    return lax.platform_dependent(
        scores,
        classes,
        # A gather moves a fraction of the bytes, but only processors are good at it.
        cpu=lambda s, c: jnp.take_along_axis(
            s, c[..., None], axis=-1, mode="promise_in_bounds"
        )[..., 0],
        default=lambda s, c: jnp.where(_is_own(s, c), s, 0).sum(axis=-1),
    )


def _is_own(scores: Array, classes: Array) -> Array:
    """Return `[N, H, W, K] bool`: whether a channel is the pixel's class."""
    channels = jnp.arange(scores.shape[-1], dtype=classes.dtype)
    return classes[..., None] == channels[None, None, None, :]
