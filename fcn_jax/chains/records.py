"""A chain of experiments, as data: stages, what is compared, and what is drawn.

A stage is one experiment that is run once for each of its seeds. It may start from the
networks of an earlier stage.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fcn_jax.config import Config

_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Stage:
    """One experiment, run once for each seed.

    Attributes:
        name: letters, digits, "_" and "-"; its runs are in `<chain>/<name>/seed<k>`.
        config: the experiment, locked; `seed` and `init_from` are set by the chain.
        seeds: one or more, different.
        init_from: an earlier stage: each run starts from the run of its own seed, or
            from the only one. "" leaves `config.init_from` as it is.
        metric: key of scores.json whose value is compared.
        test_split: split that the best network is scored on, once, after the last
            update. "" takes the score after the last update on `config.data.eval_split`.
    """

    name: str
    config: Config
    seeds: tuple[int, ...] = (0, 1, 2)
    init_from: str = ""
    metric: str = "mean_iu"
    test_split: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"a stage is called {self.name!r}; use letters, digits, _ and -"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                f"stage {self.name} has the seeds {self.seeds}; give one or more, each "
                "once"
            )


@dataclass(frozen=True)
class Comparison:
    """The difference of two stages, `b` minus `a`, seed by seed.

    Attributes:
        name: its line in the table.
        a: name of a stage, as the runs from scratch.
        b: name of another, as the pretrained runs.
    """

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class Table:
    """Stages in the lines of a table, and differences below.

    Attributes:
        title: its heading.
        stages: names, in order.
        comparisons: of two stages each.
    """

    title: str
    stages: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Curve:
    """Scores against updates, a line a stage.

    Attributes:
        title: its heading.
        stages: names, in order.
    """

    title: str
    stages: tuple[str, ...]


@dataclass(frozen=True)
class DataLine:
    """A line of a `DataCurve`.

    Attributes:
        label: its name.
        points: (number of training examples, name of the stage).
    """

    label: str
    points: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class DataCurve:
    """Final scores against the number of training examples.

    Attributes:
        title: its heading.
        lines: one for each way to start.
    """

    title: str
    lines: tuple[DataLine, ...]


@dataclass(frozen=True)
class Chain:
    """Stages, and what is made of their scores.

    Attributes:
        name: of its directory.
        title: heading of the report.
        stages: each after the one that it starts from.
        tables: of the report.
        curves: of curves.png.
    """

    name: str
    title: str
    stages: tuple[Stage, ...]
    tables: tuple[Table, ...] = ()
    curves: tuple[Curve | DataCurve, ...] = ()

    def __post_init__(self) -> None:
        for index, stage in enumerate(self.stages):
            self._check_stage(stage, self.stages[:index])
        for table in self.tables:
            self._check_names(table.stages, f"the table {table.title!r}")
            for own in table.comparisons:
                self._check_comparison(own)
        for curve in self.curves:
            self._check_names(curve_stages(curve), f"the curve {curve.title!r}")
            self._check_curve(curve)

    def stage(self, name: str) -> Stage:
        """Return the stage with a name.

        Raises:
            ValueError: if there is none; names the nearest.
        """
        return self.stages[_index(name, [own.name for own in self.stages], self.name)]

    def _check_stage(self, stage: Stage, before: Sequence[Stage]) -> None:
        earlier = {own.name: own for own in before}
        if stage.name in earlier:
            raise ValueError(f"two stages are called {stage.name}; give each its name")
        if not stage.init_from:
            return
        if stage.init_from not in earlier:
            raise ValueError(
                f"stage {stage.name} starts from {stage.init_from!r}, which is no stage "
                "before it; name one, or move it up"
            )
        start = earlier[stage.init_from].seeds
        missing = sorted(set(stage.seeds) - set(start))
        if len(start) > 1 and missing:
            raise ValueError(
                f"stage {stage.name} has the seeds {stage.seeds} and starts from "
                f"{stage.init_from} with {start}; give that one seed, or all of these"
            )

    def _check_comparison(self, own: Comparison) -> None:
        a, b = self.stage(own.a), self.stage(own.b)
        if (a.metric, a.test_split) != (b.metric, b.test_split):
            raise ValueError(
                f"the comparison {own.name!r} is of {a.name} ({score_name(a)}) and "
                f"{b.name} ({score_name(b)}); compare stages with one score"
            )

    def _check_curve(self, curve: Curve | DataCurve) -> None:
        stages = [self.stage(name) for name in curve_stages(curve)]
        if isinstance(curve, Curve):  # of evaluations during training
            scores = {f"{own.metric}, {own.config.data.eval_split}" for own in stages}
        else:
            scores = {score_name(own) for own in stages}
        if len(scores) > 1:
            raise ValueError(
                f"the curve {curve.title!r} is of {' and '.join(sorted(scores))}; draw "
                "stages with one score"
            )

    def _check_names(self, names: Iterable[str], where: str) -> None:
        known = [stage.name for stage in self.stages]
        for name in names:
            _index(name, known, where)


def curve_stages(curve: Curve | DataCurve) -> tuple[str, ...]:
    """Return the names of the stages that a curve shows."""
    if isinstance(curve, Curve):
        return curve.stages
    return tuple(name for line in curve.lines for _, name in line.points)


def score_name(stage: Stage) -> str:
    """Return what a stage is judged by: "mean_iu, test"."""
    return f"{stage.metric}, {stage.test_split or stage.config.data.eval_split}"


def _index(name: str, known: Sequence[str], where: str) -> int:
    if name in known:
        return known.index(name)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]}? " if near else ""
    raise ValueError(
        f"{where} has no stage {name!r}; {meant}its stages are {', '.join(known)}"
    )
