"""Running a chain: each run in a process of its own, one after another.

So memory and compiled programs are released after each, a crash ends one run alone, and
a run continues from its own checkpoints.
"""

import json
import shlex
import sys
import time
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from absl import logging

from fcn_jax.chains.children import Children
from fcn_jax.chains.records import score_name
from fcn_jax.chains.results import STARTS, final_score
from fcn_jax.chains.runs import Run, standing, write_config


def training_command(run: Run) -> list[str]:
    """Return the command that trains a run, or continues it."""
    return [
        *(sys.executable, "-m", "fcn_jax.main"),
        f"--config={run.config_file}",
        f"--workdir={run.directory}",
    ]


def test_command(run: Run) -> list[str]:
    """Return the command that scores the best network of a run on the test split."""
    more = ["--mode=evaluate", f"--split={run.stage.test_split}"]
    return [*training_command(run), *more]


def described(runs: Sequence[Run]) -> str:
    """Return a line for each run: its standing, and its command where one is left."""
    lines = []
    for run in runs:
        now, steps = standing(run), run.config.steps
        said = "finished" if now.finished else f"{now.updates:,} of {steps:,} updates"
        if now.trained and not now.tested:
            said = f"trained; {run.stage.test_split} is to be scored"
        begins = f", from {run.start.name}" if run.start else ""
        lines.append(f"{run.name}: {now.problem or said}{begins}")
        if not now.finished and not now.problem:
            command = test_command(run) if now.trained else training_command(run)
            lines.append(f"    {shlex.join(command)}")
    return "\n".join(lines)


def run_all(
    runs: Sequence[Run], directory: Path, failures: MutableMapping[str, str]
) -> None:
    """Make what is left to do of each run.

    Args:
        runs: in their order.
        directory: of the chain.
        failures: gets why runs failed, in a sentence, by name; a run whose start failed
            is among them.

    Raises:
        Stopped: after a signal, when the program that ran has saved its state.
    """
    with Children() as children:
        for number, run in enumerate(runs, 1):
            place = f"{number} of {len(runs)}, {run.name}"
            if run.start is not None and run.start.name in failures:
                problem = f"{run.start.name}, from which it starts, failed"
            else:
                problem = _finish(run, directory, children, place)
            if problem:
                failures[run.name] = problem
                logging.error("%s failed: %s", place, problem)


def _finish(run: Run, directory: Path, children: Children, place: str) -> str:
    """Train and test a run as far as that is left; return why it failed, or ""."""
    now = standing(run)
    if now.problem:
        return now.problem
    if not now.finished:
        problem = _made(run, now.trained, directory, children, place)
        if problem:
            return problem
    try:
        score = final_score(run)
    except ValueError as error:
        return str(error)
    said = " (finished before)" if now.finished else ""
    logging.info("%s: %s %.4f%s", place, score_name(run.stage), score, said)
    return ""


def _made(
    run: Run, trained: bool, directory: Path, children: Children, place: str
) -> str:
    """Start the programs of a run that are left; return why one failed, or ""."""
    write_config(run)
    if not trained:
        logging.info("%s: training; log in %s", place, run.log_file)
        problem = _started(run, training_command(run), directory, children)
        if problem:
            return problem
    if run.test_file is not None:
        logging.info("%s: scoring %s", place, run.stage.test_split)
        problem = _started(run, test_command(run), directory, children)
        if problem:
            return problem
    if not standing(run).finished:
        return f"its program ended without scores; {run.log_file} has what it said"
    return ""


def _started(
    run: Run, command: Sequence[str], directory: Path, children: Children
) -> str:
    """Run a program, and note how long it took."""
    begin = time.monotonic()
    status = "stopped"
    try:
        problem = children.run(command, run.log_file)
        status = "failed" if problem else "done"
        return problem
    finally:
        training = "--mode=evaluate" not in command
        row = {
            "run": run.name,
            "what": "train" if training else "evaluate",
            "seconds": round(time.monotonic() - begin, 2),
            "end": status,
        }
        with (directory / STARTS).open("a") as file:
            file.write(f"{json.dumps(row)}\n")
