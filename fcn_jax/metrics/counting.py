"""Counting the confusion matrix of a batch on the device."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax


def confusion_counts(scores: Array, labels: Array) -> Array:
    """Count the confusion matrix of one batch, on the device.

    Args:
        scores: `[N, H, W, K]` floating point.
        labels: `[N, H, W]` integer; values outside 0..K-1 are not counted.

    Returns:
        `[K, K] int32`: pixels of true class i (row) predicted as class j (column);
        among equal scores the lowest class wins, as in NumPy's argmax.
    """
    classes = scores.shape[-1]
    predicted = jnp.argmax(scores, axis=-1).astype(jnp.int32)
    labels = labels.astype(jnp.int32)
    valid = (labels >= 0) & (labels < classes)
    return lax.platform_dependent(
        jnp.where(valid, labels, classes),
        predicted,
        cpu=partial(counts_by_cell, classes=classes),
        default=partial(counts_by_pair, classes=classes),
    )


def counts_by_cell(labels: Array, predicted: Array, *, classes: int) -> Array:
    """Count the cell of each pixel, one after the other: fast on a CPU.

    Args:
        labels: `[N, H, W] int32`, 0..K; pixels of class K are not counted.
        predicted: `[N, H, W] int32`, 0..K-1.
        classes: K.

    Returns:
        `[K, K] int32`.
    """
    cell = jnp.where(labels < classes, labels * classes + predicted, classes * classes)
    counts = jnp.bincount(cell.reshape(-1), length=classes * classes + 1)
    return counts[:-1].reshape(classes, classes).astype(jnp.int32)


def counts_by_pair(labels: Array, predicted: Array, *, classes: int) -> Array:
    """Count by products of one-hot matrices, a row of pixels at a time, without a scatter.

    A row has few enough pixels for sums that float32 holds exactly (2**24). Args and
    result as in `counts_by_cell`.
    """
    rows = labels.shape[0] * labels.shape[1]
    truth, answer = (
        jax.nn.one_hot(values.reshape(rows, -1), classes, dtype=jnp.bfloat16)
        for values in (labels, predicted)
    )
    by_row = (((1,), (1,)), ((0,), (0,)))
    counts = lax.dot_general(truth, answer, by_row, preferred_element_type=jnp.float32)
    return counts.astype(jnp.int32).sum(axis=0)


def counts_within(scores: Array, labels: Array, *, top: int) -> Array:
    """Count the labels that are among the highest scores.

    Args:
        scores: `[N, H, W, K]` floating point.
        labels: `[N, H, W]` integer; values outside 0..K-1 are not counted.
        top: number of highest scores; of equal scores the lower class is the higher.

    Returns:
        Scalar int32.
    """
    labels = labels.astype(jnp.int32)
    valid = (labels >= 0) & (labels < scores.shape[-1])
    own = jnp.where(valid, labels, 0)[..., None]
    score = jnp.take_along_axis(scores, own, axis=-1)
    lower = jnp.arange(scores.shape[-1], dtype=jnp.int32)[None, None, None, :] < own
    before = (scores > score) | ((scores == score) & lower)
    within = valid & (before.sum(axis=-1, dtype=jnp.int32) < top)
    return within.sum(dtype=jnp.int32)
