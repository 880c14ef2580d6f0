"""The runs of a chain: their directories, configurations, order and standing."""

import fnmatch
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fcn_jax.chains.records import Chain, Stage
from fcn_jax.chains.scores import METRICS, evaluation_rows
from fcn_jax.config import Config, changeable_keys, from_dict, to_dict
from fcn_jax.runs.names import file_name
from fcn_jax.runs.workdir import CONFIG, check_resume, read_config
from fcn_jax.runtime import atomic


@dataclass(frozen=True)
class Run:
    """One stage with one seed.

    Attributes:
        stage: the experiment.
        seed: its seed.
        directory: its work directory, absolute.
        start: the run whose network it starts from, if any.
    """

    stage: Stage
    seed: int
    directory: Path
    start: "Run | None" = None

    @property
    def name(self) -> str:
        """Return "<stage>/seed<k>"."""
        return f"{self.stage.name}/seed{self.seed}"

    @property
    def config(self) -> Config:
        """Return the configuration, locked."""
        config = self.stage.config.copy_and_resolve_references()
        with config.unlocked():
            config.seed = self.seed
            if self.start is not None:
                config.init_from = str(self.start.directory)
        return config.lock()

    @property
    def config_file(self) -> Path:
        """Return the path of the configuration that the program is given."""
        return self.directory.with_suffix(".json")

    @property
    def log_file(self) -> Path:
        """Return the path of what the program says."""
        return self.directory.with_suffix(".log")

    @property
    def test_file(self) -> Path | None:
        """Return the path of the scores on the test split, if the stage has one."""
        split = self.stage.test_split
        if not split or split == self.stage.config.data.eval_split:
            return None
        return self.directory / f"scores_{file_name(split)}.json"


@dataclass(frozen=True)
class Standing:
    """How far a run is.

    Attributes:
        updates: those that were made and scored.
        trained: whether the last update is among them.
        tested: whether the test split was scored after it, or there is none.
        problem: why the run cannot be continued; "" if it can.
    """

    updates: int
    trained: bool
    tested: bool
    problem: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.trained and self.tested and not self.problem


def plan(
    chain: Chain, directory: Path, arms: Sequence[str] = (), seeds: Sequence[int] = ()
) -> list[Run]:
    """Return the runs of a chain in their order: seed by seed, each after its start.

    Args:
        chain: the stages.
        directory: of the chain, absolute.
        arms: names of stages, or patterns; those that they start from are added. ()
            takes all.
        seeds: in place of the seeds of every stage that has several; () changes none.

    Raises:
        ValueError: for a name that is no stage, or seeds without that of a start.
    """
    wanted = _wanted(chain, arms)
    made: dict[tuple[str, int], Run] = {}
    for stage in chain.stages:
        if stage.name not in wanted:
            continue
        if seeds and len(stage.seeds) > 1:
            stage = replace(stage, seeds=tuple(seeds))
        starts = [run for run in made.values() if run.stage.name == stage.init_from]
        for seed in stage.seeds:
            own = directory / stage.name / f"seed{seed}"
            start = _start(stage, starts, seed) if stage.init_from else None
            made[stage.name, seed] = Run(stage, seed, own, start)
    return _ordered(list(made.values()))


def write_config(run: Run) -> None:
    """Write the configuration that the program of a run is given."""
    run.config_file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_dict(run.config), indent=2)
    atomic.write(run.config_file, f"{text}\n".encode())


def standing(run: Run) -> Standing:
    """Return how far a run is; reads its work directory alone."""
    rows = evaluation_rows(run.directory, run.config.data.eval_split)
    updates = rows[-1]["step"] if rows else 0
    trained, tested = updates >= run.config.steps, True
    if run.test_file is not None:
        tested = trained and _is_newer(run.test_file, run.directory / METRICS)
    return Standing(updates, trained, tested, _problem(run))


def _is_newer(file: Path, than: Path) -> bool:
    return file.is_file() and file.stat().st_mtime >= than.stat().st_mtime


def _problem(run: Run) -> str:
    """Return why the directory of a run holds another one, or ""."""
    if not (run.directory / CONFIG).is_file():
        return ""
    where = str(run.directory / CONFIG)
    try:
        stored = to_dict(from_dict(read_config(run.directory), where))
        check_resume(stored, to_dict(run.config), changeable_keys(run.config))
    except ValueError as error:
        return str(error)
    return ""


def _wanted(chain: Chain, arms: Sequence[str]) -> set[str]:
    """Return the names of the stages that arms name, and of those they start from."""
    names = [stage.name for stage in chain.stages]
    wanted: set[str] = set()
    for arm in arms:
        found = fnmatch.filter(names, arm)
        wanted.update(found or [chain.stage(arm).name])
    if not arms:
        wanted = set(names)
    for stage in reversed(chain.stages):
        if stage.name in wanted and stage.init_from:
            wanted.add(stage.init_from)
    return wanted


def _start(stage: Stage, starts: Iterable[Run], seed: int) -> Run:
    """Return the run to start from: that of the seed, or the only one."""
    by_seed = {run.seed: run for run in starts}
    if seed in by_seed:
        return by_seed[seed]
    if len(by_seed) > 1:
        raise ValueError(
            f"stage {stage.name} has the seed {seed} and starts from {stage.init_from}, "
            f"whose seeds are {', '.join(map(str, by_seed))}; add {seed} to --seeds"
        )
    return next(iter(by_seed.values()))


def _ordered(runs: list[Run]) -> list[Run]:
    """Sort runs by seed, in the order of their first appearance, each after its start."""
    rank = {seed: n for n, seed in enumerate(dict.fromkeys(run.seed for run in runs))}
    left = sorted(runs, key=lambda run: rank[run.seed])
    done: list[Run] = []
    while left:
        following = next(run for run in left if run.start is None or run.start in done)
        left.remove(following)
        done.append(following)
    return done
