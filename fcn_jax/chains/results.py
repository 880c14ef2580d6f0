"""The numbers of a chain: scores of its runs, means over seeds, differences."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fcn_jax.chains.records import Comparison, Stage
from fcn_jax.chains.runs import Run, standing
from fcn_jax.chains.scores import (
    Evaluation,
    evaluation_rows,
    first_to_reach,
    read_scores,
    score_of,
)
from fcn_jax.chains.statistics import Summary, summarize

STARTS = "starts.jsonl"
"""File of the chain's directory with a line for each program that was started."""


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run: which.
        score: that counts: on the test split, else of the last evaluation.
        evaluations: during training, on the split of the configuration, by step.
        seconds: of all its programs, start-up and compilation included.
    """

    run: Run
    score: float
    evaluations: list[Evaluation]
    seconds: float


@dataclass(frozen=True)
class StageResult:
    """The finished runs of a stage.

    Attributes:
        stage: which.
        runs: by seed, as far as they are finished.
        summary: of their scores.
    """

    stage: Stage
    runs: Mapping[int, RunResult]
    summary: Summary

    @property
    def hours(self) -> float:
        """The mean time of a run; NaN without runs."""
        return summarize([run.seconds for run in self.runs.values()]).mean / 3600


@dataclass(frozen=True)
class Difference:
    """What a comparison found.

    Attributes:
        comparison: of which stages.
        seeds: finished in both.
        values: score of b minus score of a, for each of these seeds.
        summary: of the values.
        reached: updates of the first evaluation at which b has at least the score of
            a's last evaluation, for each seed; None where b never has.
        steps: updates of b.
    """

    comparison: Comparison
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    summary: Summary
    reached: tuple[int | None, ...]
    steps: int


def final_score(run: Run) -> float:
    """Return the score of a finished run that counts.

    Raises:
        ValueError: if the scores lack the metric of the stage.
    """
    split = run.stage.config.data.eval_split
    if run.test_file is not None:
        scores, where = read_scores(run.test_file), str(run.test_file)
    else:
        scores, where = evaluation_rows(run.directory, split)[-1], str(run.directory)
    return score_of(scores, run.stage.metric, where)


def stage_results(runs: Sequence[Run], directory: Path) -> dict[str, StageResult]:
    """Read the scores of all finished runs.

    Args:
        runs: of a chain.
        directory: of the chain.

    Returns:
        By the name of the stage, those without finished runs too.
    """
    seconds = _seconds(directory)
    found: dict[str, dict[int, RunResult]] = {run.stage.name: {} for run in runs}
    stages = {run.stage.name: run.stage for run in runs}
    for run in runs:
        if not standing(run).finished:
            continue
        with contextlib.suppress(ValueError):  # without the metric, which a run reports
            own = _result(run, seconds.get(run.name, 0.0))
            found[run.stage.name][run.seed] = own
    return {
        name: StageResult(
            stages[name], own, summarize([result.score for result in own.values()])
        )
        for name, own in found.items()
    }


def compare(comparison: Comparison, a: StageResult, b: StageResult) -> Difference:
    """Return the differences of two stages over the seeds that both finished."""
    pairs = _pairs(a.runs, b.runs)
    values = tuple(theirs.score - ours.score for ours, theirs in pairs.values())
    reached = tuple(
        first_to_reach(theirs.evaluations, ours.evaluations[-1].score)
        for ours, theirs in pairs.values()
    )
    steps = b.stage.config.steps
    return Difference(
        comparison, tuple(pairs), values, summarize(values), reached, steps
    )


def _pairs(
    a: Mapping[int, RunResult], b: Mapping[int, RunResult]
) -> dict[int, tuple[RunResult, RunResult]]:
    return {seed: (a[seed], b[seed]) for seed in a if seed in b}


def _result(run: Run, seconds: float) -> RunResult:
    metric = run.stage.metric
    rows = evaluation_rows(run.directory, run.stage.config.data.eval_split)
    evaluations = [
        Evaluation(row["step"], score_of(row, metric, str(run.directory)))
        for row in rows
    ]
    return RunResult(run, final_score(run), evaluations, seconds)


def _seconds(directory: Path) -> dict[str, float]:
    """Add up the times of all starts, by the name of the run."""
    total: dict[str, float] = {}
    try:
        lines = (directory / STARTS).read_text().splitlines()
    except OSError:
        return total
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the last line of a killed command
        total[row["run"]] = total.get(row["run"], 0.0) + row["seconds"]
    return total
