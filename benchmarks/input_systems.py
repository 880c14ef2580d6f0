"""Input pipelines on the same files: the package's, and torch's DataLoader.

Both decode with Pillow, pad to one canvas and hand over batches of uint8: the package
in threads, as its loop reads by default, or in processes, torch in processes. A step is
a pass over the split.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WORKERS = 2
PREFETCH = 2  # batches ahead of each worker, as torch has by default


class Reading:
    """What one pass over the pictures gives.

    Attributes:
        images: pictures of a pass.
    """

    images: int

    def batches(self) -> Iterable[tuple[Any, Any]]:
        """Images `[N, H, W, 3]` and labels `[N, H, W]`, uint8."""
        raise NotImplementedError

    def step(self) -> None:
        """Read everything once."""
        for _ in self.batches():
            pass

    def wait(self) -> None:
        """A pass has ended when it returns."""

    def peak_mib(self) -> float | None:
        """None: it is the process's, without its workers."""
        return None

    def outputs(self) -> dict[str, np.ndarray]:
        """Sums of all pixels and all labels."""
        totals = np.zeros(2, np.int64)
        for images, labels in self.batches():
            images, labels = np.asarray(images), np.asarray(labels)
            # An incomplete batch may be filled up with zeros and ignored labels.
            totals[0] += images.sum(dtype=np.int64)
            totals[1] += labels[labels != 255].sum(dtype=np.int64)
        return {"sums": totals}


class Ours(Reading):
    """The package's evaluation pipeline.

    Attributes:
        readers: threads or processes that read.
    """

    def __init__(
        self,
        folder: Path,
        batch: int,
        canvas: tuple[int, int],
        *,
        workers: int = 0,
        threads: int = WORKERS,
    ):
        """Open the split.

        Args:
            folder: a folder data set.
            batch: images of a batch.
            canvas: rows and columns.
            workers: processes that read; 0 reads in this one.
            threads: that read in each of these processes; 0 is by machine.
        """
        from fcn_jax.data.pipeline.loading import Loading
        from fcn_jax.data.sources.catalog import open_source

        self.source = open_source("folder", "val", folder=str(folder))
        self.images = len(self.source)
        self.batch, self.canvas = batch, canvas
        prefetch = PREFETCH * threads
        pixels = batch * canvas[0] * canvas[1]
        self.loading = Loading(workers, threads, prefetch).by_machine(pixels)
        self.readers = workers or self.loading.threads

    def batches(self) -> Iterable[tuple[Any, Any]]:
        """Of the split, in order."""
        from fcn_jax.data.pipeline.batches import evaluation_batches

        for batch in evaluation_batches(
            self.source,
            batch_size=self.batch,
            canvases=(self.canvas,),
            **self.loading._asdict(),
        ):
            (labels,) = batch["labels"].values()
            yield batch["inputs"]["color"], labels


class Torch(Reading):
    """A DataLoader whose workers outlive a pass, as in a training of many epochs.

    Attributes:
        readers: processes that read.
    """

    def __init__(
        self,
        folder: Path,
        batch: int,
        canvas: tuple[int, int],
        *,
        workers: int = WORKERS,
    ):
        """Open the split; arguments as those of `Ours`."""
        import torch

        self.readers = workers

        names = (folder / "splits" / "val.txt").read_text().split()
        self.images = len(names)
        pairs: Any = Pairs(folder, names, canvas)
        self.loader = torch.utils.data.DataLoader(
            pairs,
            batch_size=batch,
            num_workers=workers,
            persistent_workers=True,
        )

    def batches(self) -> Iterable[tuple[Any, Any]]:
        """Of the split, in order."""
        return self.loader


class Pairs:
    """The same files as a torch user reads them."""

    def __init__(self, folder: Path, names: list[str], canvas: tuple[int, int]):
        self.folder, self.names, self.canvas = folder, names, canvas

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        import torch

        name = self.names[index]
        (image_file,) = (self.folder / "images").glob(f"{name}.jp*g")
        with Image.open(image_file) as file:
            image = np.asarray(file.convert("RGB"))
        with Image.open(self.folder / "labels" / f"{name}.png") as file:
            label = np.asarray(file)
        height, width = label.shape
        canvas = np.zeros((*self.canvas, 3), np.uint8)
        canvas[:height, :width] = image
        ids = np.full(self.canvas, 255, np.uint8)
        ids[:height, :width] = label
        return torch.from_numpy(canvas), torch.from_numpy(ids)
