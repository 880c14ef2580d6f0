"""The report of a chain: table.md, results.json and curves.png."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from fcn_jax.chains import drawing
from fcn_jax.chains.records import Chain, Comparison, Table, score_name
from fcn_jax.chains.results import (
    Difference,
    RunResult,
    StageResult,
    compare,
    stage_results,
)
from fcn_jax.chains.runs import Run
from fcn_jax.chains.statistics import Summary
from fcn_jax.runtime import atomic

TABLE, RESULTS, CURVES = "table.md", "results.json", "curves.png"

_STAGES = (
    "| stage | score | mean | deviation | 95 % interval | seeds | updates | hours |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|"
)
_COMPARISONS = (
    "| comparison | difference | 95 % interval | seeds "
    "| updates to the last score of the first |\n"
    "|---|---:|---:|---:|---:|"
)
_NOTES = (
    "Mean, standard deviation and 95 % interval (Student's t) are over seeds; hours are "
    "the mean of a run, start-up and evaluations included. A difference is that of the "
    "second stage minus the first, seed by seed; it is bold where its interval excludes "
    "zero. The updates are those of the second stage up to the first evaluation during "
    "training that has at least the last score of the first stage, for each seed."
)


def write_report(
    chain: Chain,
    runs: Sequence[Run],
    asked: Collection[str],
    directory: Path,
    failures: Mapping[str, str],
) -> str:
    """Write the report of what is finished.

    Args:
        chain: the stages, tables and curves.
        runs: of the whole chain.
        asked: names of stages that are shown without finished runs too.
        directory: of the chain; gets the files.
        failures: why runs failed, by name.

    Returns:
        The tables as Markdown.
    """
    results = {
        name: own
        for name, own in stage_results(runs, directory).items()
        if own.runs or name in asked
    }
    tables = [
        only_with(own, results) for own in chain.tables or (Table("", tuple(results)),)
    ]
    differences = [
        compare(own, results[own.a], results[own.b])
        for table in tables
        for own in table.comparisons
    ]
    text = markdown(chain.title, tables, results, differences, failures)
    atomic.write(directory / TABLE, text.encode())
    numbers = {
        "chain": chain.name,
        "title": chain.title,
        "stages": [_stage_numbers(own) for own in results.values()],
        "comparisons": [_difference_numbers(own) for own in differences],
        "failures": dict(failures),
    }
    content = json.dumps(_finite(numbers), indent=2, allow_nan=False)
    atomic.write(directory / RESULTS, f"{content}\n".encode())
    drawing.draw(chain.curves, results, directory / CURVES)
    return text


def only_with(table: Table, results: Mapping[str, StageResult]) -> Table:
    """Return a table without the stages that have no result."""
    return Table(
        table.title,
        tuple(name for name in table.stages if name in results),
        tuple(own for own in table.comparisons if {own.a, own.b} <= results.keys()),
    )


def markdown(
    title: str,
    tables: Sequence[Table],
    results: Mapping[str, StageResult],
    differences: Sequence[Difference],
    failures: Mapping[str, str],
) -> str:
    """Return the tables as text.

    Args:
        title: of the chain.
        tables: that are shown; those without a stage are left out.
        results: of their stages, by name.
        differences: of their comparisons.
        failures: why runs failed, by name.
    """
    found = {own.comparison: own for own in differences}
    parts = [f"# {title}"]
    for table in (own for own in tables if own.stages):
        if table.title:
            parts.append(f"## {table.title}")
        rows = [_stage_row(results[name]) for name in table.stages]
        parts.append("\n".join([_STAGES, *rows]))
        if table.comparisons:
            lines = [_comparison_row(found[own]) for own in table.comparisons]
            parts.append("\n".join([_COMPARISONS, *lines]))
    parts.append(_NOTES)
    if failures:
        lines = [f"- {name}: {reason}" for name, reason in failures.items()]
        parts.append("\n".join(["Failed:", "", *lines]))
    return "\n\n".join(parts) + "\n"


def _stage_row(own: StageResult) -> str:
    summary, wanted = own.summary, len(own.stage.seeds)
    seeds = (
        f"{summary.count}"
        if summary.count == wanted
        else f"{summary.count} of {wanted}"
    )
    cells = [
        own.stage.name,
        score_name(own.stage),
        _number(summary.mean),
        _number(summary.deviation),
        _interval(summary),
        seeds,
        f"{own.stage.config.steps:,}",
        _number(own.hours, 2),
    ]
    return f"| {' | '.join(cells)} |"


def _comparison_row(own: Difference) -> str:
    mean = _number(own.summary.mean, sign=True)
    if own.summary.excludes_zero:
        mean = f"**{mean}**"
    reached = ["never" if step is None else f"{step:,}" for step in own.reached]
    cells = [
        f"{own.comparison.name}: {own.comparison.b} - {own.comparison.a}",
        mean,
        _interval(own.summary, sign=True),
        str(own.summary.count),
        f"{', '.join(reached)} of {own.steps:,}" if reached else "-",
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float, digits: int = 4, *, sign: bool = False) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:{'+' if sign else ''}.{digits}f}"


def _interval(summary: Summary, *, sign: bool = False) -> str:
    if math.isnan(summary.half):
        return "-"
    low, high = (_number(end, sign=sign) for end in summary.interval)
    return f"{low} to {high}"


def _stage_numbers(own: StageResult) -> dict[str, Any]:
    return {
        "name": own.stage.name,
        "metric": own.stage.metric,
        "split": own.stage.test_split or own.stage.config.data.eval_split,
        "steps": own.stage.config.steps,
        "seeds": list(own.stage.seeds),
        "hours": own.hours,
        **_summary_numbers(own.summary),
        "runs": [_run_numbers(result) for result in own.runs.values()],
    }


def _run_numbers(own: RunResult) -> dict[str, Any]:
    return {
        "seed": own.run.seed,
        "workdir": str(own.run.directory),
        "score": own.score,
        "seconds": own.seconds,
        "evaluations": [[at.step, at.score] for at in own.evaluations],
    }


def _difference_numbers(own: Difference) -> dict[str, Any]:
    comparison: Comparison = own.comparison
    return {
        "name": comparison.name,
        "a": comparison.a,
        "b": comparison.b,
        "seeds": list(own.seeds),
        "differences": list(own.values),
        **_summary_numbers(own.summary),
        "updates_to_reach_a": list(own.reached),
        "steps": own.steps,
    }


def _summary_numbers(own: Summary) -> dict[str, Any]:
    return {
        "count": own.count,
        "mean": own.mean,
        "deviation": own.deviation,
        "interval": list(own.interval),
    }


def _finite(value: Any) -> Any:
    """Return nested values with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_finite(own) for own in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
