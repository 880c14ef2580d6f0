"""What is raced: a task of a net on images of a size, and the numbers it is given."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.nets import CLASSES, NETS, Net, convolutions

TASKS = ("train", "inference", "evaluation", "input")
IGNORED = 255

LEARNING_RATE, MOMENTUM, DECAY = 1e-10, 0.99, 5e-4
"""Of the reference's training on the summed loss; biases learn at twice the rate and
do not decay."""


class Case(NamedTuple):
    """One race."""

    task: str
    net: str
    height: int
    width: int
    batch: int

    def __str__(self) -> str:
        size = f"{self.height}x{self.width}"
        return f"{self.task} {self.net} {size} batch {self.batch}"

    @property
    def megapixels(self) -> float:
        """Of one image."""
        return self.height * self.width / 1e6


class Setting(NamedTuple):
    """What is common to all races.

    Attributes:
        device: "cpu" or "gpu".
        threads: that every system may use.
        sizes: whether the measured package is told true image sizes, "given" or "none";
            "program" does as its programs do.
        cache: folder of compiled programs, kept between runs; "" starts cold.
        images: pictures that the input pipelines read.
    """

    device: str
    threads: int
    sizes: str = "program"
    cache: str = ""
    images: int = 100


def draw(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Images `[N, H, W, 3] uint8` and labels `[N, H, W] uint8` with ignored pixels."""
    rng = np.random.default_rng([case.batch, case.height, case.width])
    shape = (case.batch, case.height, case.width)
    images = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    rows = np.arange(case.height)[:, None] * 5 // case.height
    columns = np.arange(case.width)[None, :] * 7 // case.width
    patches = rng.integers(0, CLASSES, (case.batch, 5, 7), dtype=np.uint8)
    labels = patches[:, rows, columns]
    labels[:, : case.height // 20 + 1] = IGNORED
    return images, labels


def create_weights(net: str, folder: Path) -> None:
    """One file a parameter, kernels `[k, k, inputs, outputs] float32`.

    Kernels keep the size of the values (He-normal); scores are small, so that no
    class is certain; biases are a few units, as the pixels are.
    """
    folder.mkdir(parents=True)
    for path, shape in _shapes(NETS[net]):
        rng = np.random.default_rng(zlib.crc32(path.encode()))
        deviation = 3.0
        if path.endswith("kernel"):
            deviation = np.sqrt(2 / np.prod(shape[:3]))
        if path.startswith("head"):
            deviation *= 0.03
        values = rng.standard_normal(shape, np.float32)
        values *= np.float32(deviation)
        np.save(folder / f"{path}.npy", values)


def load_weights(net: str, folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(path, values) of every parameter, one after the other to save memory."""
    for path, _ in _shapes(NETS[net]):
        yield path, np.load(folder / f"{path}.npy")


def _shapes(net: Net) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(path, shape) of every parameter; paths are those of the measured package."""
    for work in convolutions(net, 64, 64):
        part = "trunk" if work.layer.relu else "head"
        yield f"{part}.{work.layer.name}.kernel", work.shape
        yield f"{part}.{work.layer.name}.bias", (work.layer.outputs,)
