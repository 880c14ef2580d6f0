"""Real trainings through the package's own program: CamVid, and a trunk for it."""

import contextlib
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.gpu_check.scale import FILES, Context, Result, Row, Scale
from benchmarks.pictures import draw_folder

CAMVID, TRUNK = "experiments/camvid_fcn8s.py", "experiments/imagenette_vgg16.py"
NO_DECAY = "(('*.bias', 1.0, 0.0), ('*.scale', 1.0, 0.0), ('*', 1.0, 1.0))"
SCORES = ("mean_iu", "pixel_accuracy", "top1", "top5")


def camvid_rows(scale: Scale) -> list[Row]:
    """One training from scratch; its steps say how long."""
    row = {"experiment": CAMVID, "dtype": "bfloat16", "steps": scale.steps}
    return [{**row, "batch": scale.batches[1]}]


def trunk_rows(scale: Scale) -> list[Row]:
    """A classifier, and CamVid from it and from scratch with as many updates."""
    trunk = {"experiment": TRUNK, "dtype": "bfloat16", "steps": scale.trunk_steps}
    fcn = {"experiment": CAMVID, "dtype": "bfloat16", "steps": scale.steps}
    fcn = {**fcn, "batch": scale.batches[1], "normalization": "batch"}
    return [
        {**trunk, "batch": scale.trunk_batch},
        {**fcn, "start": "trunk"},
        {**fcn, "start": "scratch"},
    ]


def measure(row: Row, context: Context) -> Result:
    """Time of an update, share of waiting for data, scores of val, mean IU of test."""
    kinds = ["camvid"]
    if row["experiment"] == TRUNK:
        kinds = ["images"]
    elif row.get("start") == "trunk":
        kinds = ["images", "camvid"]
    folders = {kind: _data(kind, context) for kind in kinds}
    if None in folders.values():
        return {"skipped": f"{FILES} lacks the data; see --help of prepare"}
    if "camvid" not in kinds:
        return _trained_trunk(row, context, folders["images"])
    trunk = _trunk_directory(context)
    if "images" in kinds and not (trunk / "scores.json").exists():
        # Its own row failed, or was measured on another machine.
        _trained_trunk(trunk_rows(context.scale)[0], context, folders["images"])
    name = f"camvid_{row.get('start', 'alone')}"
    directory = context.work / name
    shutil.rmtree(directory, ignore_errors=True)
    options = ["--config.data.name=folder", *_start(row, trunk)]
    command = _command(row, directory, folders["camvid"], context)
    command += [*options, "--config.checkpoint.every=1000000"]
    found = _trained(row, command, directory, context.out / f"{name}_metrics.jsonl")
    done = subprocess.run([*command, "--mode=evaluate", "--split=test"], check=False)
    if done.returncode:  # what the training found is kept
        return {**found, "test_error": f"its program ended with {done.returncode}"}
    scores = json.loads((directory / "scores_test.json").read_text())
    return {**found, "test_mean_iu": scores["mean_iu"]}


def _trunk_directory(context: Context) -> Path:
    """Its work directory, another one for each folder of results."""
    own = hashlib.sha256(str(context.out.resolve()).encode()).hexdigest()
    return context.work / f"trunk_{own[:12]}"


def _trained_trunk(row: Row, context: Context, folder: Path | None) -> Result:
    """Train the trunk, or go on with it."""
    directory = _trunk_directory(context)
    command = _command(row, directory, folder, context)
    command += [f"--config.checkpoint.every={max(1, row['steps'] // 4)}"]
    return _trained(row, command, directory, context.out / "trunk_metrics.jsonl")


def _command(
    row: Row, directory: Path, folder: Path | None, context: Context
) -> list[str]:
    """The command that trains, without what only one kind of net has."""
    steps = row["steps"]
    return [
        *(sys.executable, "-m", "fcn_jax.main", f"--config={row['experiment']}"),
        *(f"--workdir={directory}", f"--config.data.folder={folder}"),
        *(f"--config.dtype={row['dtype']}", f"--config.steps={steps}"),
        *(f"--config.batch_size={row['batch']}", f"--config.evaluation.every={steps}"),
        "--config.evaluation.pictures=0",
        f"--config.log.every={max(1, steps // 40)}",
        *context.scale.options,
    ]


def _trained(row: Row, command: list[str], directory: Path, kept: Path) -> Result:
    """Train, and return what the log says; it is kept in any case."""
    try:
        subprocess.run(command, check=True)
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(directory / "metrics.jsonl", kept)
    found = summary(directory / "metrics.jsonl")
    rate = found["images_per_second"]
    return {"ms": rate and 1e3 * row["batch"] / rate, **found}


def _start(row: Row, trunk: Path) -> list[str]:
    """Options of where an FCN starts."""
    if "normalization" not in row:
        return []
    options = [f"--config.model.normalization={row['normalization']}"]
    options += [f"--config.optimizer.multipliers={NO_DECAY}"]
    if row["start"] == "scratch":
        return options
    return [
        *options,
        *("--config.recipe=fine-tune", f"--config.init_from={trunk}"),
        *("--config.init_new=('head.*',)", "--config.init_unused=('head.*',)"),
        "--config.init_preprocessing=replace",
    ]


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
        result |= {name: scored[-1][name] for name in SCORES if name in scored[-1]}
    return result


def _data(name: str, context: Context) -> Path | None:
    """The folder of a data set; drawn in the dry form, None where it was not carried."""
    if context.scale.device == "cpu":
        drawn = context.work / f"drawn_{name}"
        shutil.rmtree(drawn, ignore_errors=True)
        return _drawn_images(drawn) if name == "images" else _drawn_camvid(drawn)
    folder = FILES / name
    return folder if folder.exists() else None


def _drawn_camvid(folder: Path) -> Path:
    """Pictures in place of CamVid's."""
    draw_folder(folder, 4, (96, 128))
    for split, names in (("train", "0\n1\n"), ("val", "2\n"), ("test", "3\n")):
        (folder / "splits" / f"{split}.txt").write_text(names)
    return folder


def _drawn_images(folder: Path) -> Path:
    """Noise in place of photographs of two classes."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                file = folder / split / name / f"{split}_{name}_{number}.png"
                Image.fromarray(pixels).save(file)
    return folder
