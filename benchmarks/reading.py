"""Images a second of the input pipeline beside torch's DataLoader on the same files.

    python -m benchmarks.reading [--folder=DIR] [--images=200] [--rounds=5]

Without a folder, pictures of PASCAL VOC's size are drawn: JPEG of quality 90 and about
90 KB, with palette PNG labels. Both sides decode with Pillow, pad to one canvas, and
hand over batches of uint8; each has two workers, and the two take turns.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from fcn_jax.data.examples import Source
from fcn_jax.data.labels import VOC
from fcn_jax.data.pipeline import evaluation_batches
from fcn_jax.data.sources import open_source

SIZES = ((375, 500), (333, 500), (500, 375))
CANVAS = (500, 500)
BATCH = 4
WORKERS = 2


def draw_folder(folder: Path, count: int) -> None:
    """A folder data set of pictures with smooth and detailed areas."""
    rng = np.random.default_rng(0)
    for part in ("images", "labels", "splits"):
        (folder / part).mkdir(parents=True)
    palette = np.zeros((256, 3), np.uint8)
    palette[:21] = VOC.palette
    for index in range(count):
        height, width = SIZES[index % len(SIZES)]
        coarse = rng.integers(0, 256, (height // 25, width // 25, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        noise = rng.integers(0, 40, (height, width, 3), dtype=np.uint8)
        detail = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1))
        pixels = np.asarray(smooth) // 4 * 3 + np.asarray(detail)
        picture = Image.fromarray(pixels.astype(np.uint8))
        picture.save(folder / "images" / f"{index}.jpg", quality=90)
        ids = rng.integers(0, 21, (height // 50, width // 50), dtype=np.uint8)
        label = Image.fromarray(ids).resize((width, height), Image.Resampling.NEAREST)
        label.putpalette(palette.tobytes())
        label.save(folder / "labels" / f"{index}.png")
    (folder / "classes.txt").write_text("\n".join(VOC.names) + "\n")
    names = "".join(f"{index}\n" for index in range(count))
    (folder / "splits" / "val.txt").write_text(names)
    draw = Image.new("RGB", (8, 8))
    draw.save(folder / "images" / "other.png")
    Image.new("L", (8, 8)).save(folder / "labels" / "other.png")
    (folder / "splits" / "train.txt").write_text("other\n")


class Pairs(torch.utils.data.Dataset):
    """The same files as a torch user reads them."""

    def __init__(self, folder: Path, names: list[str]):
        self.folder, self.names = folder, names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        name = self.names[index]
        with Image.open(self.folder / "images" / f"{name}.jpg") as file:
            image = np.asarray(file.convert("RGB"))
        with Image.open(self.folder / "labels" / f"{name}.png") as file:
            label = np.asarray(file)
        height, width = label.shape
        canvas = np.zeros((*CANVAS, 3), np.uint8)
        canvas[:height, :width] = image
        ids = np.full(CANVAS, 255, np.uint8)
        ids[:height, :width] = label
        return torch.from_numpy(canvas), torch.from_numpy(ids)


def ours(source: Source, *, workers: int) -> float:
    """Seconds for the split, and the sum of its pixels."""
    start = time.perf_counter()
    batches = evaluation_batches(
        source,
        batch_size=BATCH,
        canvases=(CANVAS,),
        workers=workers,
        threads=WORKERS,
        prefetch=2,
    )
    for batch in batches:
        batch["inputs"]["color"][0, 0, 0, 0]
    return time.perf_counter() - start


def theirs(pairs: Pairs) -> float:
    """Seconds of a DataLoader for the same."""
    start = time.perf_counter()
    loader = torch.utils.data.DataLoader(pairs, batch_size=BATCH, num_workers=WORKERS)
    for images, _ in loader:
        images[0, 0, 0, 0].item()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default="", help="a folder data set of JPEG files")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.folder or scratch)
        if not options.folder:
            draw_folder(folder, options.images)
        source = open_source("folder", "val", folder=str(folder))
        names = [source.name(index) for index in range(len(source))]
        pairs = Pairs(folder, names)
        seconds: dict[str, list[float]] = {"threads": [], "processes": [], "torch": []}
        for _ in range(options.rounds):
            seconds["threads"].append(ours(source, workers=0))
            seconds["processes"].append(ours(source, workers=WORKERS))
            seconds["torch"].append(theirs(pairs))
    for name, values in seconds.items():
        median = statistics.median(values)
        ratios = [t / v for t, v in zip(seconds["torch"], values, strict=True)]
        print(
            f"{name:>10}: {len(names) / median:7.1f} images/s (of {len(values)} rounds "
            f"{len(names) / max(values):.1f} to {len(names) / min(values):.1f}), "
            f"{statistics.median(ratios):.2f} x torch"
        )


if __name__ == "__main__":
    main()
