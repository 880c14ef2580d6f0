"""What would make a run fit into memory, found by compiling it changed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from absl import logging

from fcn_jax.experiment.experiment import Experiment
from fcn_jax.planning.plan import Plan, make_plan
from fcn_jax.planning.targets import Target, gib

Overrides = Mapping[str, Any]
"""Dotted keys of the configuration with other values."""
Build = Callable[[Overrides], Experiment]
_STEP = 32  # pixels to which a smaller window is rounded


class Remedy(NamedTuple):
    """A change of the configuration, and what the run then needs.

    Attributes:
        overrides: what is changed.
        needed: bytes of one device.
        fits: whether the device has them.
    """

    overrides: Overrides
    needed: int
    fits: bool

    def sentence(self) -> str:
        """Return the change and its need in words."""
        changes = ", ".join(
            f"{key}={str(value).replace(' ', '')}"
            for key, value in self.overrides.items()
        )
        return f"{changes} needs {gib(self.needed)}{'' if self.fits else ', still too much'}"


def find_remedies(
    run: Experiment, plan: Plan, build: Build, room: int
) -> Iterator[Remedy]:
    """Try what makes a run need less: each change alone, then all of them.

    A smaller batch is made up for by accumulation: the update stays the same, up to
    rounding. A window (crop) changes what is learnt from.

    Args:
        run: the experiment.
        plan: its plan, for a run that does not fit.
        build: makes the run with some keys changed.
        room: bytes of the device.
    """
    found = False
    for overrides in single_changes(run, plan):
        remedy = _tried(build, overrides, plan, room)
        found |= remedy.fits
        yield remedy
    if not found:
        yield _tried(build, all_changes(run, plan), plan, room)


def single_changes(run: Experiment, plan: Plan) -> Iterator[Overrides]:
    """Return the changes that are tried alone."""
    images = run.batch_size
    while images % 2 == 0 and (images // 2) % plan.devices == 0:
        images //= 2
        yield {
            "batch_size": images,
            "accumulation": run.accumulation * (run.batch_size // images),
        }
    if not run.rematerialize:
        yield {"rematerialize": True}
    if run.dtype != "bfloat16" and plan.target.platform != "cpu":
        yield {"dtype": "bfloat16"}
    yield _window(run)


def all_changes(run: Experiment, plan: Plan) -> Overrides:
    """Return every change together, with the smallest batch."""
    changed: dict[str, Any] = {}
    for own in single_changes(run, plan):
        changed |= own
    return changed


def _window(run: Experiment) -> Overrides:
    """Half of the rows and columns of what training sees."""
    rows, columns = run.canvases[-1]
    window = tuple(
        max(_STEP, -(-size // 2 // _STEP) * _STEP) for size in (rows, columns)
    )
    return {"data.canvas": (0, 0), "data.crop": window}


def _tried(build: Build, overrides: Overrides, plan: Plan, room: int) -> Remedy:
    logging.info("trying %s", dict(overrides))
    target: Target = plan.target
    changed = make_plan(build(overrides), target, process=plan.process)
    return Remedy(overrides, changed.needed, changed.needed <= room)
