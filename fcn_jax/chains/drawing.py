"""The curves of a chain, from its results."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from fcn_jax.chains.records import Curve, DataCurve, DataLine, score_name
from fcn_jax.chains.results import StageResult
from fcn_jax.report import curves
from fcn_jax.runtime import atomic


def draw(
    wanted: Sequence[Curve | DataCurve],
    results: Mapping[str, StageResult],
    file: Path,
) -> None:
    """Draw the curves of a chain into a PNG file; nothing where there is no curve.

    Args:
        wanted: the curves; those without a finished run are left out.
        results: of the stages, by name.
        file: to write.
    """
    found = [
        _against_updates(own, results)
        if isinstance(own, Curve)
        else _against_examples(own, results)
        for own in wanted
    ]
    panels = [panel for panel in found if panel.lines]
    if panels:
        atomic.write(file, curves.draw_panels(panels))


def _finished(names: Sequence[str], results: Mapping[str, StageResult]) -> list[str]:
    return [name for name in names if name in results and results[name].runs]


def _against_updates(curve: Curve, results: Mapping[str, StageResult]) -> curves.Panel:
    """The mean over seeds, and from the least to the largest."""
    names = _finished(curve.stages, results)
    stages = [results[name].stage for name in names]
    judged = {f"{own.metric}, {own.config.data.eval_split}" for own in stages}
    lines = [_updates_line(results[name]) for name in names]
    return curves.Panel(curve.title, "updates", "".join(judged), lines)


def _updates_line(own: StageResult) -> curves.Line:
    runs = [{at.step: at.score for at in run.evaluations} for run in own.runs.values()]
    steps = sorted(set(runs[0]).intersection(*runs))
    scores = [[run[step] for run in runs] for step in steps]
    middle = [math.fsum(found) / len(found) for found in scores]
    low, high = [min(found) for found in scores], [max(found) for found in scores]
    seeds = f"{len(runs)} seed{'s' if len(runs) > 1 else ''}"
    return curves.Line(f"{own.stage.name}, {seeds}", steps, middle, low, high)


def _against_examples(
    curve: DataCurve, results: Mapping[str, StageResult]
) -> curves.Panel:
    """The mean over seeds, and its 95 % interval."""
    lines = [_examples_line(line, results) for line in curve.lines]
    names = [name for line in curve.lines for _, name in line.points]
    judged = {score_name(results[name].stage) for name in _finished(names, results)}
    return curves.Panel(
        curve.title,
        "training examples",
        f"{''.join(judged)}, 95 % interval",
        [line for line in lines if line.x],
        logarithmic=True,
    )


def _examples_line(line: DataLine, results: Mapping[str, StageResult]) -> curves.Line:
    finished = _finished([name for _, name in line.points], results)
    points = sorted((count, name) for count, name in line.points if name in finished)
    summaries = [results[name].summary for _, name in points]
    counts = [count for count, _ in points]
    low, high = ([own.interval[end] for own in summaries] for end in (0, 1))
    return curves.Line(line.label, counts, [own.mean for own in summaries], low, high)
