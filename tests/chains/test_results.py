"""The numbers of a chain, from work directories with known scores."""

import json
import math

import pytest

from fcn_jax.chains.records import Comparison
from fcn_jax.chains.results import STARTS, compare, final_score, stage_results
from fcn_jax.chains.runs import plan
from tests.chains.made import chain, finish, stage

CHAIN = chain(stage("a", test_split="test"), stage("b", test_split="test"))
VAL = {
    "a": ({6: 0.1, 12: 0.30}, {6: 0.1, 12: 0.40}, {6: 0.1, 12: 0.50}),
    "b": ({6: 0.3, 12: 0.35}, {6: 0.3, 12: 0.45}, {6: 0.3, 12: 0.49}),
}
TEST = {"a": (0.2, 0.3, 0.4), "b": (0.25, 0.37, 0.43)}


@pytest.fixture
def results(tmp_path):
    """Of a chain that is finished."""
    runs = plan(CHAIN, tmp_path)
    for run in runs:
        name, seed = run.stage.name, run.seed
        finish(run, VAL[name][seed], TEST[name][seed])
    rows = [("a/seed0", 3600), ("a/seed0", 1800), ("a/seed1", 5400), ("a/seed2", 5400)]
    lines = [json.dumps({"run": name, "seconds": own}) for name, own in rows]
    (tmp_path / STARTS).write_text("\n".join([*lines, '{"run": "a/se']))
    return stage_results(runs, tmp_path)


def test_scores_are_those_of_the_test_split(results):
    """Oracle: the numbers above; 1.5 hours for each seed."""
    assert [run.score for run in results["a"].runs.values()] == [0.2, 0.3, 0.4]
    summary = results["a"].summary
    assert (summary.count, summary.mean) == (3, pytest.approx(0.3))
    assert summary.deviation == pytest.approx(0.1)
    assert results["a"].hours == pytest.approx(1.5)
    assert results["b"].hours == 0.0
    steps = [own.step for own in results["a"].runs[0].evaluations]
    assert steps == [6, 12]


def test_differences_are_of_pairs(results):
    """Oracle: by hand: 0.05, 0.07, 0.03; mean 0.05, deviation 0.02, t 4.303."""
    found = compare(Comparison("x", "a", "b"), results["a"], results["b"])
    assert found.seeds == (0, 1, 2)
    assert found.values == pytest.approx((0.05, 0.07, 0.03))
    assert found.summary.mean == pytest.approx(0.05)
    assert found.summary.half == pytest.approx(4.303 * 0.02 / math.sqrt(3), rel=1e-3)
    assert found.summary.excludes_zero  # 0.05 - 0.0497
    # a ends at 0.30, 0.40 and 0.50 on val; b has 0.3 at 6, 0.45 at 12, and never 0.5.
    assert found.reached == (6, 12, None)
    assert found.steps == 12
    back = compare(Comparison("x", "b", "a"), results["b"], results["a"])
    assert back.values == pytest.approx((-0.05, -0.07, -0.03))
    assert back.reached == (None, None, 12)


def test_runs_that_are_not_finished_do_not_count(tmp_path):
    """Oracle: seed 1 of b has no test score, seed 2 of a no last update."""
    runs = {(run.stage.name, run.seed): run for run in plan(CHAIN, tmp_path)}
    for (name, seed), run in runs.items():
        finish(run, VAL[name][seed], TEST[name][seed])
    runs["b", 1].test_file.unlink()
    finish(runs["a", 2], {6: 0.3})
    found = stage_results(list(runs.values()), tmp_path)
    assert list(found["a"].runs) == [0, 1]
    assert list(found["b"].runs) == [0, 2]
    pairs = compare(Comparison("x", "a", "b"), found["a"], found["b"])
    assert (pairs.seeds, pairs.summary.count) == ((0,), 1)
    assert math.isnan(pairs.summary.half)


def test_without_a_test_split_the_last_evaluation_counts(tmp_path):
    """Oracle: the last row, though an earlier one is better."""
    (run,) = plan(chain(stage("a", (0,))), tmp_path)
    finish(run, {6: 0.9, 12: 0.3})
    assert final_score(run) == 0.3
