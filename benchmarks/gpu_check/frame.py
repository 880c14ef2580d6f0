"""What the frame is worth: training with the reference's padding computed whole."""

import contextlib

from benchmarks.gpu_check import races
from benchmarks.gpu_check.plain import without_frame
from benchmarks.gpu_check.scale import Context, Result, Row, Scale


def rows(scale: Scale) -> list[Row]:
    """With the frame, as the package computes, and without."""
    return [
        {
            "system": races.BFLOAT16,
            "task": "train",
            "net": scale.reference,
            "batch": scale.batches[1],
            "frame": frame,
        }
        for frame in (True, False)
    ]


def measure(row: Row, context: Context) -> Result:
    """As `races.measure`."""
    with contextlib.nullcontext() if row["frame"] else without_frame():
        return races.measure(row, context)
