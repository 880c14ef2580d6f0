"""How much a check does: on a GPU, or in its dry form on a CPU."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.cases import Case, Setting, create_weights

Row = dict[str, Any]
"""What one measurement is of: JSON values by name, unique within its stage."""
Result = dict[str, Any]
"""What it found: JSON values by name."""

FILES = Path(".gpu_check")
"""Folder of what is carried to the machine, beside the working tree."""


class Scale(NamedTuple):
    """How much a check does.

    Attributes:
        device: "gpu" or "cpu".
        reference: FCN-8s VGG16 with the reference's padding, by its name in `NETS`.
        same: the same with "same" padding.
        size: rows and columns of the images that are raced.
        batches: small, middle, large.
        compared: rows and columns of the images on which gradients are compared.
        rounds: of timing; with one there is no warm-up either.
        seconds: of timing, all rounds of a row together.
        matrix: rows of the matrices of the peaks.
        pictures: files that the input pipeline reads, hard links included.
        steps: updates of the real training.
        trunk_steps: updates of the classifier.
        trunk_batch: images of each.
        options: of the real trainings.
    """

    device: str
    reference: str
    same: str
    size: int
    batches: tuple[int, int, int]
    compared: tuple[int, int]
    rounds: int
    seconds: float
    matrix: int
    pictures: int
    steps: int
    trunk_steps: int
    trunk_batch: int
    options: tuple[str, ...]


FULL = Scale(
    device="gpu",
    reference="fcn8s",
    same="fcn8s_same",
    size=500,
    batches=(1, 8, 20),
    compared=(192, 160),
    rounds=5,
    seconds=2.0,
    matrix=8192,
    pictures=2000,
    steps=1000,
    trunk_steps=4000,
    trunk_batch=128,
    options=(),
)
DRY = Scale(
    device="cpu",
    reference="fcn8s_narrow",
    same="fcn8s_same_narrow",
    size=64,
    batches=(1, 2, 2),
    compared=(96, 128),
    rounds=1,
    seconds=0.0,
    matrix=256,
    pictures=12,
    steps=3,
    trunk_steps=3,
    trunk_batch=2,
    options=("--config.model.width=0.0625",),
)


class Context(NamedTuple):
    """Where a stage works.

    Attributes:
        scale: how much it does.
        out: folder of results.
        work: folder of large files, which stay on the machine.
    """

    scale: Scale
    out: Path
    work: Path

    @property
    def cache(self) -> Path:
        """Folder of compiled programs."""
        return self.work / "cache"

    def setting(self, *, sizes: str = "none", device: str = "") -> Setting:
        """What is common to the systems; on the device of the check, or another."""
        device = device or self.scale.device
        return Setting(device, machine.threads(), sizes, str(self.cache))

    def case(self, task: str, net: str, batch: int) -> Case:
        """A case on images of the raced size."""
        return Case(task, net, self.scale.size, self.scale.size, batch)

    def weights(self, net: str) -> Path:
        """Folder of a net's parameters, the same for both paddings; made if missing."""
        folder = self.work / "weights" / net.replace("_same", "")
        if not folder.exists():
            partial = folder.with_name(f".{folder.name}")
            shutil.rmtree(partial, ignore_errors=True)  # of a process that ended
            create_weights(net, partial)
            partial.rename(folder)
        return folder
