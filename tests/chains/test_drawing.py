"""The lines of a chain's curves, from work directories with known scores."""

import numpy as np
import pytest

from fcn_jax.chains import drawing
from fcn_jax.chains.records import Curve, DataCurve, DataLine
from fcn_jax.chains.results import stage_results
from fcn_jax.chains.runs import plan
from fcn_jax.report import curves
from tests.chains.made import chain, finish, stage


@pytest.fixture
def panels(tmp_path, monkeypatch):
    """What is drawn of a chain whose seed 2 was evaluated once more."""
    own = chain(stage("few"), stage("many"), stage("unmade"))
    for run in plan(own, tmp_path, ("few", "many")):
        score = {"few": 0.2, "many": 0.4}[run.stage.name] + run.seed / 10
        more = {8: 0.9} if run.seed == 2 else {}
        finish(run, {6: score / 2, **more, 12: score})
    results = stage_results(plan(own, tmp_path), tmp_path)
    found = []

    def keep(given):
        found.extend(given)
        return b"a picture"

    monkeypatch.setattr(curves, "draw_panels", keep)
    line = DataLine("one", ((30, "many"), (10, "few"), (100, "unmade")))
    wanted = (Curve("u", ("few", "unmade")), DataCurve("d", (line,)))
    drawing.draw((*wanted, Curve("z", ("unmade",))), results, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes() == b"a picture"
    return found


def test_curves_over_updates(panels):
    """Oracle: by hand, at the updates that all seeds have; least and largest."""
    panel = panels[0]
    (line,) = panel.lines
    assert (panel.title, panel.y_label, panel.logarithmic) == (
        "u",
        "mean_iu, val",
        False,
    )
    assert line.label == "few, 3 seeds"
    assert list(line.x) == [6, 12]
    np.testing.assert_allclose(line.middle, [0.15, 0.3])
    np.testing.assert_allclose(line.low, [0.1, 0.2])
    np.testing.assert_allclose(line.high, [0.2, 0.4])


def test_curves_over_examples(panels):
    """Oracle: by hand: means 0.3 and 0.5, half the interval 4.303 * 0.1 / sqrt(3)."""
    panel = panels[1]
    (line,) = panel.lines
    assert panel.logarithmic
    assert (line.label, list(line.x)) == ("one", [10, 30])
    np.testing.assert_allclose(line.middle, [0.3, 0.5])
    np.testing.assert_allclose(line.low, [0.3 - 0.2484, 0.5 - 0.2484], atol=1e-4)
    np.testing.assert_allclose(line.high, [0.3 + 0.2484, 0.5 + 0.2484], atol=1e-4)
    assert len(panels) == 2
