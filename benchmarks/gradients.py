"""How far gradients are from their reference: layer by layer, and slice by slice."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

LARGE_SLICE = 0.5
"""A slice is compared if its norm is at least this share of the root mean square of the
norms along its axis. What is smaller is mostly rounding in bfloat16."""


class Difference(NamedTuple):
    """The distance of a gradient from its reference. All are 0 for equal gradients.

    Attributes:
        error: norm of the difference, relative to the reference's norm.
        cosine: 1 - cosine of the angle between the two.
        norm: distance of the ratio of their norms from 1.
        slice: largest relative norm of the difference in one slice along an axis (one
            output channel, one input channel, one row or column of taps), of the slices
            that are large in the reference. A slice that is zero has 1.
    """

    error: float
    cosine: float
    norm: float
    slice: float


def difference(found: np.ndarray, reference: np.ndarray) -> Difference:
    """Compare a gradient with its reference.

    Args:
        found: kernel `[k, k, C, D]` or bias `[D]`, floating point.
        reference: of the same shape.

    Returns:
        The distances, computed in float64. NaN where either is not finite, infinity
        where the reference alone is zero.

    Raises:
        ValueError: if the shapes differ.
    """
    if found.shape != reference.shape:
        raise ValueError(
            f"a gradient is {found.shape}, its reference {reference.shape}"
        )
    if reference.ndim == 1:  # its elements are the slices of the second axis
        found, reference = found[None], reference[None]
    product = square = 0.0
    sums = [np.zeros((2, length)) for length in reference.shape]
    for index, (own, expected) in enumerate(_blocks(found, reference)):
        product += float((own * expected).sum())
        square += float(np.square(own).sum())
        squares = np.stack([np.square(expected), np.square(own - expected)])
        sums[0][:, index] = squares.reshape(2, -1).sum(1)
        for axis in range(1, reference.ndim):
            others = tuple(i for i in range(1, squares.ndim) if i != axis)
            sums[axis] += squares.sum(axis=others)
    expected_square, error_square = sums[0].sum(axis=1)
    if not expected_square:
        return Difference(*(4 * [float("inf") if square else 0.0]))
    return Difference(
        error=float(np.sqrt(error_square / expected_square)),
        cosine=_one_minus_cosine(product, square, expected_square),
        norm=abs(float(np.sqrt(square / expected_square)) - 1),
        slice=_worst_slice(sums),
    )


def by_layer(
    found: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]
) -> dict[str, Difference]:
    """The differences of every gradient of the reference, by name."""
    return {name: difference(found[name], own) for name, own in reference.items()}


def _blocks(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Rows of the first axis in float64: whole, fc6 would take a gigabyte."""
    for rows in zip(*arrays, strict=True):
        yield tuple(row.astype(np.float64) for row in rows)


def _one_minus_cosine(product: float, square: float, other: float) -> float:
    if square == 0:
        return 1.0
    return 1 - product / float(np.sqrt(square * other))


def _worst_slice(sums: list[np.ndarray]) -> float:
    worst = 0.0
    for expected, error in sums:
        if len(expected) == 1:
            continue  # the whole
        large = expected >= LARGE_SLICE**2 * expected.mean()
        found = float(np.sqrt(error[large] / expected[large]).max(initial=0.0))
        worst = float(np.maximum(worst, found))  # keeps NaN
    return worst
