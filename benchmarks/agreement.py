"""Whether two systems do the same work: their numbers are compared before timing."""

from collections.abc import Mapping

import numpy as np

from fcn_jax.runtime.messages import RunError

Outputs = Mapping[str, np.ndarray]

TOLERANCES = {
    "float32": {
        "scores": 1e-4,
        "loss": 1e-4,
        "counts": 1e-3,
        "update": 5e-2,
        "sums": 0,
    },
    "bfloat16": {"scores": 1e-1, "loss": 2e-2, "counts": 5e-2, "update": 5e-1},
}
"""Largest difference by kind of output. Scores: of any, in standard deviations of the
reference's. Loss: relative. Counts: share of the pixels that are counted elsewhere.
Update: of any parameter, relative in the Euclidean norm; float32 differences turn
ReLUs and maxima that are nearly tied, and the gradients of early layers with them."""


def errors(found: Outputs, reference: Outputs) -> dict[str, float]:
    """The largest difference of each kind of output."""
    worst: dict[str, float] = {}
    for name, expected in reference.items():
        kind = name.partition(".")[0]
        value = _error(kind, found[name], expected)
        worst[kind] = float(np.maximum(worst.get(kind, 0.0), value))  # keeps NaN
    return worst


def check(
    name: str, found: Outputs, reference: Outputs, dtype: str
) -> dict[str, float]:
    """The errors of a system.

    Args:
        name: of the system, for the message.
        found: its outputs.
        reference: those of the reference system.
        dtype: the lower precision of the two.

    Raises:
        RunError: if the systems do not do the same work.
    """
    measured = errors(found, reference)
    for kind, value in measured.items():
        if not value <= TOLERANCES[dtype][kind]:
            raise RunError(
                f"{name} does not agree with torch: the error of its {kind} is "
                f"{value:.2g}, at most {TOLERANCES[dtype][kind]:g} is allowed in "
                f"{dtype}; their times are not comparable"
            )
    return measured


def _error(kind: str, found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        return float("inf")
    if kind in ("counts", "sums"):
        moved = np.abs(found.astype(np.int64) - expected).sum() / 2
        return float(moved / max(1, expected.sum()))
    difference = found.astype(np.float64) - expected
    if kind == "scores":
        return float(np.abs(difference).max() / expected.std())
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))
