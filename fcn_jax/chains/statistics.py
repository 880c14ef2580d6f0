"""Means over seeds with their intervals.

A few seeds say little about the spread, so intervals are those of Student's t
distribution with one degree of freedom less than there are seeds: for three seeds 2.48
standard deviations on either side of the mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

SHARE = 0.95
"""Share of experiments whose interval holds the true mean."""


@dataclass(frozen=True)
class Summary:
    """A mean over seeds.

    Attributes:
        count: of the values.
        mean: NaN without values.
        deviation: standard deviation with count - 1; NaN for fewer than two values.
        half: half the width of the interval around the mean; NaN likewise.
    """

    count: int
    mean: float
    deviation: float
    half: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean, (lower, upper)."""
        return self.mean - self.half, self.mean + self.half

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval is wholly above or wholly below zero."""
        return abs(self.mean) > self.half


def summarize(values: Sequence[float]) -> Summary:
    """Return mean, standard deviation and 95 % interval.

    Args:
        values: one for each seed.
    """
    count = len(values)
    mean = math.fsum(values) / count if count else math.nan
    if count < 2:
        return Summary(count, mean, math.nan, math.nan)
    squares = math.fsum((value - mean) ** 2 for value in values)
    deviation = math.sqrt(squares / (count - 1))
    half = student_quantile(count - 1) * deviation / math.sqrt(count)
    return Summary(count, mean, deviation, half)


def student_quantile(freedom: int) -> float:
    """Return t with P(|T| <= t) = 0.95, for Student's distribution.

    The probability is a finite sum of powers of a cosine (Abramowitz and Stegun,
    26.7.3 and 26.7.4); it is inverted by bisection.

    Args:
        freedom: degrees of freedom, at least 1.

    Raises:
        ValueError: for less than 1.
    """
    if freedom < 1:
        raise ValueError(f"degrees of freedom are {freedom}; they must be at least 1")
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _probability(middle, freedom) < SHARE:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _probability(angle: float, freedom: int) -> float:
    """P(|T| <= t) for t = sqrt(freedom) * tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine**2 * (power - 1) / power
    if odd:
        return 2 / math.pi * (angle + sine * total)
    return sine * total
