"""Chains that cannot be run are refused when they are made."""

import pytest

from fcn_jax.chains.records import (
    Comparison,
    Curve,
    DataCurve,
    DataLine,
    Table,
    curve_stages,
    score_name,
)
from tests.chains.made import chain, stage

A, B = stage("a"), stage("b", init_from="a")


def test_a_chain_knows_its_stages():
    """Oracle: the stages, by hand."""
    line = DataLine("one", ((10, "a"), (30, "b")))
    found = chain(
        A,
        B,
        tables=(Table("t", ("a", "b"), (Comparison("c", "a", "b"),)),),
        curves=(Curve("u", ("b",)), DataCurve("d", (line,))),
    )
    assert found.stage("b") is B
    assert [curve_stages(curve) for curve in found.curves] == [("b",), ("a", "b")]
    assert score_name(A) == "mean_iu, val"
    assert score_name(stage("x", metric="top1", test_split="test")) == "top1, test"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: stage("a/b"), "a stage is called 'a/b'; use letters"),
        (lambda: stage("a", ()), "has the seeds .*one or more"),
        (lambda: stage("a", (1, 1)), "each once"),
        (lambda: chain(A, stage("a")), "two stages are called a"),
        (lambda: chain(B, A), "starts from 'a', which is no stage before it"),
        (
            lambda: chain(A, stage("c", (0, 5), init_from="a")),
            r"the seeds \(0, 5\) and starts from a with \(0, 1, 2\)",
        ),
        (
            lambda: chain(stage("first"), tables=(Table("T", ("frist",)),)),
            "the table 'T' has no stage 'frist'; did you mean first",
        ),
        (
            lambda: chain(A, curves=(Curve("C", ("z",)),)),
            "the curve 'C' has no stage 'z'; its stages are a",
        ),
        (
            lambda: chain(
                A,
                stage("t", test_split="test"),
                tables=(Table("T", (), (Comparison("d", "a", "t"),)),),
            ),
            r"'d' is of a \(mean_iu, val\) and t \(mean_iu, test\); compare",
        ),
        (
            lambda: chain(
                A,
                stage("t", test_split="test"),
                curves=(DataCurve("D", (DataLine("l", ((1, "a"), (2, "t"))),)),),
            ),
            "the curve 'D' is of mean_iu, test and mean_iu, val; draw stages with one",
        ),
        (
            lambda: chain(
                A, stage("c", metric="top1"), curves=(Curve("C", ("a", "c")),)
            ),
            "the curve 'C' is of mean_iu, val and top1, val; draw",
        ),
    ],
)
def test_mistakes(make, words):
    """Oracle: the rules of the docstrings."""
    with pytest.raises(ValueError, match=words):
        make()


def test_a_stage_with_one_seed_starts_all():
    """Oracle: the rule of `init_from`."""
    chain(stage("one", (7,)), stage("many", (0, 1), init_from="one"))
