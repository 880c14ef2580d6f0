"""Running a chain: each run in a process of its own, one or several at a time.

So memory and compiled programs are released after each, a crash ends one run alone, and
a run continues from its own checkpoints.
"""

import json
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from absl import logging

from fcn_jax.chains.children import Children, core_shares
from fcn_jax.chains.records import score_name
from fcn_jax.chains.results import STARTS, final_score
from fcn_jax.chains.runs import Run, standing, write_config
from fcn_jax.runtime.processors import usable_cores


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
    runs: Sequence[Run],
    directory: Path,
    failures: MutableMapping[str, str],
    jobs: int = 1,
) -> None:
    """Make what is left to do of each run.

    Args:
        runs: in their order.
        directory: of the chain.
        failures: gets why runs failed, in a sentence, by name; a run whose start failed
            is among them.
        jobs: how many run at a time, each on its share of the processor cores.

    Raises:
        Stopped: after a signal, when the programs that ran have saved their state.
    """
    jobs = max(1, min(jobs, sum(not standing(run).finished for run in runs)))
    left, free = list(enumerate(runs, 1)), core_shares(jobs)
    going: dict[Future[str], _Job] = {}
    with Children() as children, ThreadPoolExecutor(jobs) as pool:
        try:
            while left or going:
                for number, run in _ready(left, going.values())[: len(free)]:
                    left.remove((number, run))
                    place = f"{number} of {len(runs)}, {run.name}"
                    job = _Job(run, place, directory, children, free.pop(0))
                    going[pool.submit(job.finish, _failed_start(run, failures))] = job
                for future in wait(going, return_when=FIRST_COMPLETED).done:
                    job = going.pop(future)
                    free.append(job.cores)
                    problem = future.result()
                    if problem:
                        failures[job.run.name] = problem
                        logging.error("%s failed: %s", job.place, problem)
        except BaseException:
            children.end()
            raise


@dataclass(frozen=True)
class _Job:
    """A run that is being made.

    Attributes:
        run: the run.
        place: which of how many, for messages.
        directory: of the chain.
        children: runs the programs.
        cores: that they may use; none are all.
    """

    run: Run
    place: str
    directory: Path
    children: Children
    cores: frozenset[int]

    def finish(self, problem: str) -> str:
        """Train and test as far as that is left; return why it failed, or "".

        Args:
            problem: why it cannot begin; returned if there is one.
        """
        now = standing(self.run)
        problem = problem or now.problem
        if not problem and not now.finished:
            problem = self._make(now.trained)
        if problem:
            return problem
        try:
            score = final_score(self.run)
        except ValueError as error:
            return str(error)
        said = " (finished before)" if now.finished else ""
        name = score_name(self.run.stage)
        logging.info("%s: %s %.4f%s", self.place, name, score, said)
        return ""

    def _make(self, trained: bool) -> str:
        """Start the programs that are left; return why one failed, or ""."""
        run = self.run
        write_config(run)
        if not trained:
            logging.info("%s: training; log in %s", self.place, run.log_file)
            problem = self._start(training_command(run))
            if problem:
                return problem
        if run.test_file is not None:
            logging.info("%s: scoring %s", self.place, run.stage.test_split)
            problem = self._start(test_command(run))
            if problem:
                return problem
        if not standing(run).finished:
            return f"its program ended without scores; {run.log_file} has what it said"
        return ""

    def _start(self, command: Sequence[str]) -> str:
        """Run a program, and note how long it took."""
        begin = time.monotonic()
        status = "stopped"
        try:
            problem = self.children.run(command, self.run.log_file, self.cores)
            status = "failed" if problem else "done"
            return problem
        finally:
            training = "--mode=evaluate" not in command
            row = {
                "run": self.run.name,
                "what": "train" if training else "evaluate",
                "seconds": round(time.monotonic() - begin, 2),
                "end": status,
                "cores": min(len(self.cores) or usable_cores(), usable_cores()),
            }
            with (self.directory / STARTS).open("a") as file:
                file.write(f"{json.dumps(row)}\n")


def _ready(
    left: Sequence[tuple[int, Run]], going: Iterable[_Job]
) -> list[tuple[int, Run]]:
    """Return the runs that can begin: what they start from is neither left nor going."""
    missing = {run.name for _, run in left} | {job.run.name for job in going}
    return [
        (number, run)
        for number, run in left
        if run.start is None or run.start.name not in missing
    ]


def _failed_start(run: Run, failures: Mapping[str, str]) -> str:
    if run.start is None or run.start.name not in failures:
        return ""
    return f"{run.start.name}, from which it starts, failed"
