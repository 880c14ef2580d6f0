"""The stages of the check, in order of worth. A new stage is a file and a line here.

A stage has `rows`, which says what it measures at a scale, each row unique, and
`measure`, which measures one of them. Rows of one stage share a process.
"""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.gpu_check import (
    about,
    correctness,
    frame,
    input_rate,
    peaks,
    races,
    trainings,
)
from benchmarks.gpu_check.scale import FULL, Context, Result, Row, Scale


class Stage(NamedTuple):
    """One part of the check.

    Attributes:
        name: of the stage.
        limit: seconds after which its process is ended.
        dry: how many of its rows the dry form measures.
        rows: what it measures, most important first.
        measure: measures one row.
    """

    name: str
    limit: int
    dry: int
    rows: Callable[[Scale], list[Row]]
    measure: Callable[[Row, Context], Result]

    def chosen(self, scale: Scale) -> list[Row]:
        """Its rows at a scale."""
        rows = self.rows(scale)
        return rows if scale is FULL else rows[: self.dry]


MACHINE = Stage("machine", 60, 1, about.rows, about.measure)
"""Comes first: without it nothing else is measured."""

STAGES = (
    MACHINE,
    Stage("peaks", 60, 7, peaks.rows, peaks.measure),
    Stage("bfloat16", 150, 3, races.bfloat16_rows, races.measure),
    Stage("torch_compile", 150, 1, races.compiled_rows, races.measure),
    Stage("correctness", 110, 3, correctness.rows, correctness.measure),
    Stage("torch", 70, 3, races.torch_rows, races.measure),
    Stage("camvid", 150, 1, trainings.camvid_rows, trainings.measure),
    Stage("input", 40, 3, input_rate.rows, input_rate.measure),
    Stage("float32", 90, 1, races.float32_rows, races.measure),
    Stage("frame", 60, 2, frame.rows, frame.measure),
    Stage("trunk", 520, 3, trainings.trunk_rows, trainings.measure),
)
