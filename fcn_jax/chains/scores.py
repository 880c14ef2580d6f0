"""The scores of a run, read from its work directory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation during training.

    Attributes:
        step: updates before it.
        score: NaN where it is not defined.
    """

    step: int
    score: float


def evaluation_rows(workdir: Path, split: str) -> list[Mapping[str, Any]]:
    """Return the lines of metrics.jsonl about a split, by step.

    Args:
        workdir: of the run; one without metrics has no lines.
        split: that the run was scored on.
    """
    name = "train_evaluation" if split == "train" else split
    try:
        lines = (workdir / METRICS).read_text().splitlines()
    except OSError:
        return []
    rows: dict[int, Mapping[str, Any]] = {}
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the last line of a killed run
        if row.get("split") == name:
            rows[row["step"]] = row
    return [rows[step] for step in sorted(rows)]


def read_scores(file: Path) -> Mapping[str, Any]:
    """Return the content of a file of scores; {} where there is none that is whole."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def score_of(scores: Mapping[str, Any], metric: str, where: str) -> float:
    """Return one of several scores.

    Args:
        scores: by name.
        metric: its name.
        where: they are from, for messages.

    Raises:
        ValueError: if there is no number of that name; names those that there are.
    """
    found = scores.get(metric)
    if metric in scores and found is None:
        return float("nan")
    if isinstance(found, int | float) and not isinstance(found, bool):
        return float(found)
    others = [name for name, own in scores.items() if isinstance(own, float)]
    raise ValueError(
        f"{where} has no score {metric!r}; the metric of the stage must be one of "
        f"{', '.join(others)}"
    )


def first_to_reach(evaluations: list[Evaluation], score: float) -> int | None:
    """Return the updates of the first evaluation with at least a score, if one has it.

    Args:
        evaluations: by step.
        score: to be reached.
    """
    return next((own.step for own in evaluations if own.score >= score), None)
