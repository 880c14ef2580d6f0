"""A whole run as on an accelerator: the state in another order, parameters prepared."""

import json

import jax
import numpy as np
import pytest
from jax.experimental.layout import Format, Layout

from fcn_jax.checkpoints import store
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.runtime import prepared_programs
from fcn_jax.runtime.layouts import LaidOutStep
from fcn_jax.training import train_step
from fcn_jax.training.loop import train
from tests import tiny


def _config(steps):
    config = tiny.get_config()
    config.accumulation = 1
    config.steps = steps
    return config


def _backwards(leaf, everywhere):
    """The opposite of the usual order of values."""
    return Format(Layout(tuple(reversed(range(leaf.ndim)))), everywhere)


@pytest.fixture
def as_on_an_accelerator(monkeypatch):
    """Programs take and return kernels in an order that the CPU would not choose."""
    orders = []

    class Backwards(LaidOutStep):
        def lower(self, state, batch):
            if self._formats is None:
                order = jax.tree.map(lambda leaf: _backwards(leaf, self._state), state)
                self._formats = order
                orders.append(order)
            return super().lower(state, batch)

    prepared = []

    class Prepared(prepared_programs.PreparedPrograms):
        def __call__(self, params, *arguments):
            prepared.append(len(jax.tree.leaves(params)))
            return super().__call__(params, *arguments)

    monkeypatch.setattr(train_step, "IN_STORED_ORDER", ())
    monkeypatch.setattr(train_step, "LaidOutStep", Backwards)
    monkeypatch.setattr(prepared_programs, "UNPREPARED", ())
    monkeypatch.setattr(prepared_programs, "PreparedPrograms", Prepared)
    return orders, prepared


@pytest.mark.slow
def test_a_run_in_another_order_of_values(tmp_path, request):
    """Oracle: the same run as a CPU does it; interrupted and continued in between."""
    train(Experiment.from_config(_config(12)), tmp_path / "usual")
    orders, prepared = request.getfixturevalue("as_on_an_accelerator")
    train(Experiment.from_config(_config(6)), tmp_path / "run")
    train(Experiment.from_config(_config(12)), tmp_path / "run")
    assert len(orders) == 2
    assert len(prepared) >= 4  # batches of two evaluations at least
    usual, own = (
        store.load(tmp_path / name, which="newest", optimizer=True)
        for name in ("usual", "run")
    )
    assert usual.step == own.step == 12
    for stored, expected in (
        (own.params, usual.params),
        (own.optimizer, usual.optimizer),
    ):
        assert stored.keys() == expected.keys()
        for path, value in expected.items():
            scale = max(float(np.abs(value).max()), 1e-6)
            np.testing.assert_allclose(
                stored[path], value, rtol=0, atol=1e-4 * scale, err_msg=path
            )
    scores = [
        json.loads((tmp_path / name / "scores.json").read_text())["mean_iu"]
        for name in ("usual", "run")
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
