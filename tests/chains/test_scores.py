"""Scores are read from the work directory."""

import math

import pytest

from fcn_jax.chains.runs import Run
from fcn_jax.chains.scores import (
    Evaluation,
    evaluation_rows,
    first_to_reach,
    read_scores,
    score_of,
)
from tests.chains.made import finish, stage


def test_evaluations_are_the_lines_of_the_split(tmp_path):
    """Oracle: the rows that were written; the last line was not finished."""
    run = Run(stage("a"), 0, tmp_path / "seed0")
    assert evaluation_rows(run.directory, "val") == []
    finish(run, {6: 0.25, 12: 0.5})
    rows = evaluation_rows(run.directory, "val")
    assert [(row["step"], row["mean_iu"]) for row in rows] == [(6, 0.25), (12, 0.5)]
    assert evaluation_rows(run.directory, "test") == []


def test_evaluations_on_the_training_split_are_not_its_updates(tmp_path):
    """Oracle: the name that a run gives their rows."""
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "split": "train", "loss": 1}\n'
        '{"step": 1, "split": "train_evaluation", "mean_iu": 0.5}\n'
    )
    assert [row["mean_iu"] for row in evaluation_rows(tmp_path, "train")] == [0.5]


def test_a_file_of_scores_is_whole_or_not_there(tmp_path):
    """Oracle: the file."""
    file = tmp_path / "scores.json"
    assert read_scores(file) == {}
    file.write_text('{"mean_iu": 0.5')
    assert read_scores(file) == {}
    file.write_text('{"mean_iu": 0.5}')
    assert read_scores(file) == {"mean_iu": 0.5}


def test_one_of_several_scores():
    """Oracle: the mapping; null is what JSON has for NaN."""
    scores = {"top1": 0.75, "top5": None, "name": "x", "step": 3, "mean_iu": 0.5}
    assert score_of(scores, "top1", "here") == 0.75
    assert math.isnan(score_of(scores, "top5", "here"))
    for wrong in ("iu", "name"):
        words = f"here has no score '{wrong}'; .* one of top1, mean_iu"
        with pytest.raises(ValueError, match=words):
            score_of(scores, wrong, "here")


def test_the_first_evaluation_that_reaches_a_score():
    """Oracle: by hand; later losses of the score do not matter."""
    found = [Evaluation(*own) for own in ((6, 0.2), (12, 0.4), (18, 0.3), (24, 0.5))]
    assert first_to_reach(found, 0.2) == 6
    assert first_to_reach(found, 0.21) == 12
    assert first_to_reach(found, 0.45) == 24
    assert first_to_reach(found, 0.51) is None
    assert first_to_reach(found, math.nan) is None
