"""When a run is looked at, and whether what is found is said or ends it."""

import logging
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fcn_jax.experiment.parts import Checks
from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.training.checks.first_updates import check_progress, progress_is_due
from fcn_jax.training.checks.progress import Reading

EQUAL = math.log(3)


class _Probe:
    """What a net makes of its first batch, given."""

    def __init__(self, before, now):
        self.before, self._now, self.read_count = before, now, 0

    def read(self, params):
        self.read_count += 1
        return self._now


def _reading(scale):
    rng = np.random.default_rng(0)
    features = {"trunk": FeatureMap(rng.normal(size=(1, 4, 5, 8)))}
    return Reading(
        features, {"score": FeatureMap(scale * rng.normal(size=(1, 4, 5, 3)))}
    )


def _run(steps=12, **checks) -> Any:
    """As much of an experiment as is read."""
    return SimpleNamespace(steps=steps, checks=Checks(**checks))


def _check(run, probe, *, step=300, loss=EQUAL):
    found: Any = probe
    check_progress(run, found, variables=None, step=step, loss=loss, equal=EQUAL)


@pytest.mark.parametrize(
    ("after", "steps", "due"),
    [
        (300, 1000, [300]),
        (300, 300, [300]),
        (300, 150, [150]),
        (300, 99, []),
        (50, 1000, [50]),
        (50, 60, [50]),
    ],
)
def test_when_a_run_is_looked_at(after, steps, due):
    """Oracle: by hand; at the end of a shorter run, unless it is very short."""
    run = _run(steps, constant_scores_after=after)
    assert [s for s in range(1, steps + 1) if progress_is_due(run, s)] == due


def test_a_net_that_learns_is_not_spoken_of(caplog):
    """Oracle: a loss of half of ln 3."""
    with caplog.at_level(logging.WARNING, logger="absl"):
        _check(_run(), _Probe(_reading(0), _reading(1)), loss=EQUAL / 2)
    assert not caplog.records


def test_a_loss_of_equal_scores_is_warned_of(caplog):
    """Oracle: scores of a thousandth; the run goes on."""
    with caplog.at_level(logging.WARNING, logger="absl"):
        _check(_run(), _Probe(_reading(0), _reading(1e-3)))
    assert "learning rate is too small" in caplog.text
    assert "loss is 1.0986 per pixel, and equal scores give 1.0986" in caplog.text


def test_constant_scores_end_a_run_that_has_updates_to_come(caplog):
    """Oracle: zero scores; at the last update there is nothing to save by ending."""
    run = _run(1000)
    probe = _Probe(_reading(0), _reading(0))
    with pytest.raises(ValueError, match="constant.*checks.constant_scores=False"):
        _check(run, probe)
    with caplog.at_level(logging.WARNING, logger="absl"):
        _check(run, probe, step=1000)
    assert "constant over the image" in caplog.text


def test_the_check_can_be_turned_off():
    """Oracle: the net is not even asked."""
    probe = _Probe(_reading(0), _reading(0))
    _check(_run(constant_scores=False), probe)
    assert probe.read_count == 0
