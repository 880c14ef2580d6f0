"""Weights of classes in a loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def class_factors(weights: Sequence[Any], classes: int) -> np.ndarray:
    """Check class weights and return them as `[K] float32`.

    Args:
        weights: one number a class, finite and not below 0; 0 ignores the class.
        classes: K.

    Raises:
        ValueError: for another number of weights, a weight that is not finite or is
            below 0, or no weight above 0.
    """
    if len(weights) != classes:
        raise ValueError(
            f"{len(weights)} class weights for {classes} classes; give one a class, or none"
        )
    for index, weight in enumerate(weights):
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        # Beyond float32 a large weight would be infinite, and a small one 0.
        with np.errstate(over="ignore", under="ignore"):
            kept = np.float32(weight if number else -1)
        if not (np.isfinite(kept) and kept >= 0 and (kept > 0) == (weight > 0)):
            raise ValueError(
                f"the weight of class {index} is {weight!r}; a class weight is a finite "
                "number, at least 0, that float32 can hold"
            )
    factors = np.asarray(weights, np.float32)
    if not factors.any():
        raise ValueError(
            "all class weights are 0, so there is nothing to learn; give the classes that "
            "count a weight above 0"
        )
    return factors
