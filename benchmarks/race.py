"""One race: systems side by side, each in its process, one turn each in every round."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import agreement, memory, systems
from benchmarks.cases import Case, Setting
from benchmarks.processes import Process, Unavailable, alone, serve, update
from benchmarks.systems import REFERENCE
from fcn_jax.runtime.messages import RunError


class Pace(NamedTuple):
    """How a race is run.

    Attributes:
        rounds: turns of each system.
        steps: of a turn, queued one after the other.
        pause: seconds before each turn, in which idle threads of others fall asleep.
    """

    rounds: int
    steps: int
    pause: float


class Entry(NamedTuple):
    """What one system did in a race.

    Attributes:
        seconds: of a step, by round.
        paired: seconds of the reference in the same rounds; None where it did not run.
        first_call: seconds of the first step, compilation included.
        agreement: largest errors against the reference, by kind of output.
        peak: MiB of the "process", of it in the timed "steps", and of the "device".
    """

    seconds: list[float]
    paired: list[float] | None
    first_call: float
    agreement: dict[str, float] | None
    peak: dict[str, float | None]


@dataclass(frozen=True)
class Race:
    """A race to be run.

    Attributes:
        case: what is raced.
        setting: what is common to all races.
        files: folder with what the systems read.
        pace: how it is run.
        optional: whether a system that cannot run here is left out.
        say: told what happens.
    """

    case: Case
    setting: Setting
    files: Path
    pace: Pace
    optional: bool
    say: Callable[[str], None]

    def run(self, names: list[str]) -> dict[str, Entry]:
        """Check that the systems agree, then let them take turns.

        Args:
            names: of the systems, the reference first.

        Returns:
            The entry of each system that ran. Where memory does not hold all, they
            race in groups, each with the reference.

        Raises:
            RunError: if systems disagree, or one cannot run.
            ValueError: if memory does not hold two of them.
        """
        need, available = systems.need_mib(self.case), memory.available_mib()
        groups = grouped(names, need, available)
        if len(groups) > 1:
            self.say(f"{self.case}: memory holds {len(groups[0])} systems at once")
        updates = self._updates(names)
        found: dict[str, Entry] = {}
        for group in groups:
            able = [name for name in group if name in updates]
            for name, entry in self._group(able).items():
                entry = entry._replace(agreement=entry.agreement or updates[name])
                known = found.get(name)
                found[name] = entry if known is None else _joined(known, entry)
        return found

    def _updates(self, names: Iterable[str]) -> dict[str, dict[str, float] | None]:
        """Agreement of first updates without dropout, of the systems that can run.

        They are computed in processes that end, so that the race's own are not larger
        than training makes them. Other tasks compare what the race itself computes.
        """
        if self.case.task != "train" or REFERENCE not in names:
            return dict.fromkeys(names)
        errors: dict[str, dict[str, float] | None] = {}
        reference: agreement.Outputs | None = None
        for name in names:
            try:
                outputs = alone(name, update, name, self.case, self.setting, self.files)
            except Unavailable as error:
                self._leave_out(name, error)
                continue
            errors[name] = self._agreement(name, outputs, reference)
            if name == REFERENCE:
                reference = outputs
        return errors

    def _group(self, names: list[str]) -> dict[str, Entry]:
        """Race systems that are all alive at once."""
        processes: dict[str, Process] = {}
        first: dict[str, float] = {}
        errors: dict[str, dict[str, float] | None] = {}
        reference: agreement.Outputs | None = None
        try:
            for name in names:
                processes[name] = self._process(name)
                try:
                    first[name], outputs = self._first_call(processes[name])
                except Unavailable as error:
                    processes.pop(name).close()
                    self._leave_out(name, error)
                    continue
                errors[name] = self._agreement(name, outputs, reference)
                if name == REFERENCE:
                    reference = outputs
            seconds = rounds(processes, self.pace)
            peaks = {name: process.ask("peak") for name, process in processes.items()}
        finally:
            for process in processes.values():
                process.close()
        paired = seconds.get(REFERENCE)
        return {
            name: Entry(seconds[name], paired, first[name], errors[name], peaks[name])
            for name in processes
        }

    def _process(self, name: str) -> Process:
        return Process(name, serve, name, self.case, self.setting, self.files)

    def _first_call(self, process: Process) -> tuple[float, agreement.Outputs]:
        """Seconds of the first step, and what it gave."""
        file = self.files / f"{process.name}.npz"
        process.ask()  # until the weights are loaded
        seconds = process.ask("first", file)
        self.say(f"{self.case}: first call of {process.name} took {seconds:.1f} s")
        if not file.exists():
            return seconds, {}
        with np.load(file) as arrays:
            outputs = dict(arrays)
        file.unlink()
        return seconds, outputs

    def _agreement(
        self, name: str, outputs: agreement.Outputs, reference: agreement.Outputs | None
    ) -> dict[str, float] | None:
        """Errors against the reference; None for itself, or if there is none.

        Raises:
            RunError: if they are too large.
        """
        if not reference or name == REFERENCE:
            return None
        # The update of the reference is float32's; its scores are in its own precision.
        compared = (name,) if self.case.task == "train" else (name, REFERENCE)
        precisions = {systems.precision(own, self.setting.device) for own in compared}
        dtype = "float32" if self.case.task == "input" else min(precisions)
        allowed = agreement.tolerances(dtype, self.case.net)
        measured = agreement.check(name, outputs, reference, allowed)
        told = ", ".join(f"{kind} {value:.1e}" for kind, value in measured.items())
        self.say(f"{self.case}: {name} agrees with {REFERENCE}: {told}")
        return measured

    def _leave_out(self, name: str, error: Unavailable) -> None:
        if name == REFERENCE or not self.optional:
            raise error
        self.say(f"{self.case}: left out: {error}")


def grouped(names: list[str], need: float, available: float | None) -> list[list[str]]:
    """Systems that memory holds at once, the reference in every group.

    Args:
        names: of the systems.
        need: MiB of each.
        available: MiB; None where it is not known.

    Raises:
        ValueError: if memory does not even hold two, or the only one.
    """
    room = len(names) if available is None else int(available // need)
    if room >= len(names):
        return [names]
    paired = [REFERENCE] if REFERENCE in names else []
    others = [name for name in names if name not in paired]
    if room <= len(paired):
        raise ValueError(
            f"a race of this size takes about {need:.0f} MiB a system, "
            f"{available:.0f} MiB are available; choose a smaller --size or --batch, "
            "or fewer --systems"
        )
    size = room - len(paired)
    return [paired + others[i : i + size] for i in range(0, len(others), size)]


def rounds(processes: Mapping[str, Any], pace: Pace) -> dict[str, list[float]]:
    """Seconds of every system in every round; who begins rotates."""
    if not processes:
        raise RunError("none of the systems could run; see above why")
    order = list(processes)
    seconds: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(pace.rounds):
        for name in order:
            time.sleep(pace.pause)
            seconds[name].append(processes[name].ask("turn", pace.steps))
        order = [*order[1:], order[0]]
    return seconds


def _joined(one: Entry, other: Entry) -> Entry:
    """The reference's entries of two groups."""
    peak = {
        key: max((p for p in (one.peak[key], other.peak[key]) if p), default=None)
        for key in one.peak
    }
    seconds = one.seconds + other.seconds
    return one._replace(seconds=seconds, paired=seconds, peak=peak)
