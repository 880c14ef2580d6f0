"""Whether two systems do the same work: their numbers are compared before timing."""

from collections.abc import Mapping

import numpy as np

from benchmarks.gradients import difference
from benchmarks.nets import NETS
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
    "bfloat16": {"scores": 1e-1, "loss": 2e-2, "counts": 5e-2},
}
"""Largest difference by kind of output. Scores: of any, in standard deviations of the
reference's. Loss: relative. Counts: share of the pixels that are counted elsewhere.
Update: of any parameter, relative in the Euclidean norm; float32 differences turn
ReLUs and maxima that are nearly tied, and the gradients of early layers with them."""

BFLOAT16_UPDATES = {
    "vgg16": {"update_cosine": 0.03, "update_norm": 0.05, "update_slice": 0.8},
    "alexnet": {"update_cosine": 0.08, "update_norm": 0.05, "update_slice": 0.8},
    "googlenet": {"update_cosine": 0.2, "update_norm": 0.15, "update_slice": 0.95},
}
"""For the first update of any parameter in bfloat16 beside float32, by backbone:
largest 1 - cosine, distance of the norms' ratio from 1, and relative error of a slice
(`gradients.Difference`). README.md has the measurements that they rest on."""


def tolerances(dtype: str, net: str) -> dict[str, float]:
    """Largest difference by kind of output.

    Args:
        dtype: the lower precision of the two systems.
        net: a key of `NETS`.
    """
    if dtype == "float32":
        return TOLERANCES[dtype]
    return TOLERANCES[dtype] | BFLOAT16_UPDATES[NETS[net].build["backbone"]]


def errors(found: Outputs, reference: Outputs) -> dict[str, float]:
    """The largest difference of each kind of output."""
    worst: dict[str, float] = {}
    for name, expected in reference.items():
        kind = name.partition(".")[0]
        for key, value in _errors(kind, found[name], expected).items():
            worst[key] = float(np.maximum(worst.get(key, 0.0), value))  # keeps NaN
    return worst


def check(
    name: str, found: Outputs, reference: Outputs, allowed: Mapping[str, float]
) -> dict[str, float]:
    """The errors of a system.

    Args:
        name: of the system, for the message.
        found: its outputs.
        reference: those of the reference system.
        allowed: the largest errors, from `tolerances`.

    Raises:
        RunError: if the systems do not do the same work.
    """
    measured = errors(found, reference)
    beyond = excess(measured, allowed)
    if beyond:
        raise RunError(
            f"{name} does not agree with torch: {'; '.join(beyond)}; their times are "
            "not comparable"
        )
    return measured


def excess(measured: Mapping[str, float], allowed: Mapping[str, float]) -> list[str]:
    """One clause for each error that is larger than allowed, or not a number."""
    return [
        f"the error of its {kind} is {value:.2g}, at most {allowed[kind]:g} is allowed"
        for kind, value in measured.items()
        if kind in allowed and not value <= allowed[kind]
    ]


def _errors(kind: str, found: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    if found.shape != expected.shape:
        return {kind: float("inf")}
    if kind == "update":
        own = difference(found, expected)._asdict()
        return {"update" if k == "error" else f"update_{k}": v for k, v in own.items()}
    if kind in ("counts", "sums"):
        moved = np.abs(found.astype(np.int64) - expected).sum() / 2
        return {kind: float(moved / max(1, expected.sum()))}
    apart = found.astype(np.float64) - expected
    if kind == "scores":
        return {kind: float(np.abs(apart).max() / expected.std())}
    return {kind: float(np.linalg.norm(apart) / np.linalg.norm(expected))}
