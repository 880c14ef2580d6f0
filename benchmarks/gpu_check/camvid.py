"""A real training: FCN-8s VGG16 on CamVid through the package's own program."""

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.scale import FILES, Context, Result, Row, Scale
from benchmarks.pictures import draw_folder

EXPERIMENT = "experiments/camvid_fcn8s.py"
METRICS = "camvid_metrics.jsonl"


def rows(scale: Scale) -> list[Row]:
    """One training; its steps say how long."""
    row = {"experiment": EXPERIMENT, "dtype": "bfloat16", "steps": scale.steps}
    return [{**row, "batch": scale.batches[1]}]


def measure(row: Row, context: Context) -> Result:
    """Time of an update, share of waiting for data, and scores of val at the end."""
    folder = FILES / "camvid"
    if context.scale.device == "cpu":
        folder = _drawn(context.work / "drawn")
    elif not folder.exists():
        return {"skipped": f"{folder} is missing; prepare it with --camvid=DIR"}
    directory = context.work / "camvid"
    shutil.rmtree(directory, ignore_errors=True)
    steps = row["steps"]
    command = [
        *(sys.executable, "-m", "fcn_jax.main", f"--config={row['experiment']}"),
        *(f"--workdir={directory}", "--config.data.name=folder"),
        *(f"--config.data.folder={folder}", f"--config.dtype={row['dtype']}"),
        *(f"--config.steps={steps}", f"--config.batch_size={row['batch']}"),
        f"--config.evaluation.every={steps}",
        *("--config.checkpoint.every=1000000", "--config.evaluation.pictures=0"),
        f"--config.log.every={max(1, steps // 40)}",
        *context.scale.options,
    ]
    try:
        subprocess.run(command, check=True)
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(directory / "metrics.jsonl", context.out / METRICS)
    found = summary(directory / "metrics.jsonl")
    rate = found["images_per_second"]
    return {"ms": rate and 1e3 * row["batch"] / rate, **found}


def summary(metrics: Path) -> Result:
    """What a run's log says, in the middle of its rows.

    Args:
        metrics: metrics.jsonl of a run that has ended.
    """
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    scored = [row for row in rows if row["split"] != "train"]
    rates = [row["images_per_second"] for row in train if row["images_per_second"]]
    result: dict[str, Any] = {
        "images_per_second": statistics.median(rates) if rates else None,
        "wait_share": statistics.median(row["wait_share"] for row in train),
        "first_update_seconds": train[0].get("first_update_seconds"),
        "last_loss": train[-1]["loss"],
    }
    if scored:
        result["mean_iu"] = scored[-1]["mean_iu"]
        result["pixel_accuracy"] = scored[-1]["pixel_accuracy"]
    return result


def _drawn(folder: Path) -> Path:
    """Pictures in place of CamVid's, for the dry form."""
    shutil.rmtree(folder, ignore_errors=True)
    draw_folder(folder, 4, (96, 128))
    (folder / "splits" / "train.txt").write_text("0\n1\n2\n")
    (folder / "splits" / "val.txt").write_text("3\n")
    return folder
