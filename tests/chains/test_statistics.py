"""Means over seeds and their intervals."""

import math

import numpy as np
import pytest

from fcn_jax.chains.statistics import Summary, student_quantile, summarize

TABLE = {
    **{1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365},
    **{8: 2.306, 9: 2.262, 10: 2.228, 15: 2.131, 20: 2.086, 30: 2.042, 120: 1.980},
}
"""Two-sided 95 % points of Student's t, as printed in textbooks."""


@pytest.mark.parametrize("freedom", TABLE)
def test_quantiles(freedom):
    """Oracle: the printed table."""
    assert student_quantile(freedom) == pytest.approx(TABLE[freedom], abs=5e-4)


def test_quantiles_are_those_of_the_density():
    """Oracle: the density of five degrees, integrated numerically."""
    bound = student_quantile(5)
    points = np.linspace(-bound, bound, 200_001)
    factor = math.gamma(3) / math.sqrt(5 * math.pi) / math.gamma(2.5)
    density = factor * (1 + points**2 / 5) ** -3
    assert np.trapezoid(density, points) == pytest.approx(0.95, abs=1e-9)


def test_quantiles_need_a_degree_of_freedom():
    """Oracle: one value has no spread."""
    with pytest.raises(ValueError, match="freedom are 0; .* at least 1"):
        student_quantile(0)


def test_three_seeds():
    """Oracle: by hand: mean 4, squares 4 + 0 + 4 over 2, 4.303 * 2 / sqrt(3)."""
    found = summarize([2, 4, 6])
    assert (found.count, found.mean, found.deviation) == (3, 4, 2)
    assert found.half == pytest.approx(4.968, abs=1e-3)
    assert found.interval == pytest.approx((-0.968, 8.968), abs=1e-3)
    assert not found.excludes_zero
    assert summarize([9, 10, 11]).excludes_zero  # 10 +- 2.48
    assert summarize([-9, -10, -11]).excludes_zero


def test_one_value_has_no_interval_and_none_no_mean():
    """Oracle: the definitions."""
    one, none = summarize([0.5]), summarize([])
    assert (one.count, one.mean) == (1, 0.5)
    assert math.isnan(one.deviation)
    assert math.isnan(one.half)
    assert not one.excludes_zero
    assert (none.count, math.isnan(none.mean)) == (0, True)
    assert not none.excludes_zero
    assert not Summary(2, 0.1, 0.1, 0.1).excludes_zero
