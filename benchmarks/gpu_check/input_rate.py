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
from benchmarks.reading import processor_seconds

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
    """Images a second of drawn JPEG pictures of PASCAL VOC's size, labels included.

    "images_per_second_a_core" is by seconds of processor time.
    """
    folder = pictures(context.work / "pictures", context.scale.pictures)
    count = row["threads"]
    if row["reader"] == "torch":
        if importlib.util.find_spec("torch") is None:
            return {"skipped": "torch is not installed"}
        reader: Ours | Torch = Torch(folder, BATCH, CANVAS, workers=count)
    else:
        reader = Ours(folder, BATCH, CANVAS, threads=count)
    turn(reader, 1)
    rates, of_core = [], []
    for _ in range(ROUNDS):
        before = processor_seconds()
        rates.append(reader.images / turn(reader, 1))
        of_core.append(reader.images / (processor_seconds() - before))
    return {
        "images_per_second": statistics.median(rates),
        "images_per_second_a_core": statistics.median(of_core),
        "spread": (max(rates) - min(rates)) / statistics.median(rates),
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
