"""Images a second that the input pipeline reads, with one thread and with all cores."""

import importlib.util
import os
import statistics
from pathlib import Path

from benchmarks import machine
from benchmarks.gpu_check.scale import Context, Result, Row, Scale
from benchmarks.input_systems import Ours, Torch
from benchmarks.pictures import draw_folder
from benchmarks.processes import turn

CANVAS, BATCH = (500, 500), 8
DRAWN, ROUNDS = 100, 3


def rows(scale: Scale) -> list[Row]:
    """The package's threads from one to all cores; torch's workers on all."""
    del scale
    cores = machine.threads()
    counts = sorted({1, 2, 4, 8, cores} & set(range(cores + 1)))
    ours = [{"reader": "fcn_jax", "threads": count} for count in reversed(counts)]
    return [ours[0], {"reader": "torch", "threads": cores}, *ours[1:]]


def measure(row: Row, context: Context) -> Result:
    """Images a second of drawn JPEG pictures of PASCAL VOC's size, labels included."""
    folder = pictures(context.work / "pictures", context.scale.pictures)
    count = row["threads"]
    if row["reader"] == "torch":
        if importlib.util.find_spec("torch") is None:
            return {"skipped": "torch is not installed"}
        reader: Ours | Torch = Torch(folder, BATCH, CANVAS, workers=count)
    else:
        reader = Ours(folder, BATCH, CANVAS, threads=count)
    turn(reader, 1)
    rates = [reader.images / turn(reader, 1) for _ in range(ROUNDS)]
    rate = statistics.median(rates)
    return {
        "images_per_second": rate,
        "images_per_second_and_core": rate / count,
        "spread": (max(rates) - min(rates)) / rate,
    }


def pictures(folder: Path, count: int) -> Path:
    """Draw some pictures, and link them under more names; done once.

    Args:
        folder: the data set.
        count: of its pictures.
    """
    if folder.exists():
        return folder
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    draw_folder(partial, min(count, DRAWN), CANVAS)
    for index in range(DRAWN, count):
        for part, ending in (("images", "jpg"), ("labels", "png")):
            drawn = partial / part / f"{index % DRAWN}.{ending}"
            os.link(drawn, partial / part / f"{index}.{ending}")
    names = "".join(f"{index}\n" for index in range(count))
    (partial / "splits" / "val.txt").write_text(names)
    partial.rename(folder)
    return folder
