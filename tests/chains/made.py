"""Chains without networks: work directories as finished runs leave them."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from fcn_jax.chains.records import Chain, Stage
from fcn_jax.chains.runs import Run
from fcn_jax.config import to_dict
from fcn_jax.runs.workdir import store_config
from tests import tiny


def stage(name: str, seeds: Sequence[int] = (0, 1, 2), **more) -> Stage:
    """A stage of 12 updates, scored on val after 6 and 12."""
    return Stage(name, tiny.get_config().lock(), seeds=tuple(seeds), **more)


def chain(*stages: Stage, **more) -> Chain:
    """A chain of these stages."""
    return Chain("made", "A made chain", stages, **more)


def finish(
    run: Run, scores: Mapping[int, float | None], test: float | None = None
) -> None:
    """Write what a run leaves.

    Args:
        run: which.
        scores: on val, by updates.
        test: on the test split, if that was scored.
    """
    run.directory.mkdir(parents=True, exist_ok=True)
    store_config(run.directory, to_dict(run.config))
    rows = [{"step": 1, "split": "train", "loss": 2.0}]
    rows += [
        {"step": step, "split": "val", "mean_iu": score, "loss": 1.0}
        for step, score in scores.items()
    ]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    metrics = run.directory / "metrics.jsonl"
    metrics.write_text(f'{text}{{"step": 13, "spl')  # a line that was not finished
    if test is not None:
        file = run.directory / "scores_test.json"
        file.write_text(json.dumps({"step": 12, "mean_iu": test}))


def older(file: Path) -> None:
    """Make a file a minute older."""
    time = file.stat().st_mtime - 60
    os.utime(file, (time, time))
