"""ImageNet classes of images, by a classifier made convolutional (PAMI Figure 2)."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from fcn_jax.checkpoints.load_model import LoadedModel, load_model
from fcn_jax.inference.image_files import write_whole
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.models.build import BACKBONES
from fcn_jax.models.fcn import smallest_image
from fcn_jax.models.heads import CLASSIFIER_OUTPUT
from fcn_jax.models.preprocessing import checked_input
from fcn_jax.models.spec import NATIVE
from fcn_jax.report.heat import heat_map
from fcn_jax.runtime.compiled_programs import in_precision
from fcn_jax.runtime.prepared_programs import inference_programs

TOP = 5


class Classifier:
    """A converted ImageNet classifier for images of any sufficient size.

    Attributes:
        categories: name of each class.
        native_size: smallest height and width in pixels. With the native padding it is
            the net's native size, and such an image gives one vector of scores.
        geometry: position of the score map of a larger image on the image.
    """

    def __init__(self, loaded: LoadedModel, native_size: int):
        record = loaded.record
        self.categories = record.categories
        self.native_size = native_size
        self.geometry = loaded.maps[CLASSIFIER_OUTPUT].geometry

        def forward(variables: Any, image: Any) -> Any:
            ready = preprocess({"color": image}, record.preprocessing, np.float32)
            maps: Any = loaded.model.apply(variables, ready, train=False)
            return maps[CLASSIFIER_OUTPUT].values

        self._forward = inference_programs(in_precision(forward, np.float32))
        self._variables = self._forward.place(loaded.variables)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Classifier":
        """Load a converted checkpoint.

        Raises:
            CheckpointError: if there is none that can be trusted.
            ValueError: if it is an FCN, or a partial checkpoint.
        """
        loaded = load_model(path, classifier=True)
        (stream,) = loaded.record.spec.streams
        if loaded.record.spec.padding != NATIVE:
            return cls(loaded, smallest_image(loaded.maps))
        return cls(loaded, BACKBONES[stream.backbone].native_size)

    def scores(self, image: np.ndarray) -> np.ndarray:
        """Compute the scores (logits) before the softmax.

        Args:
            image: `[H, W, 3] uint8` RGB, at least `native_size` high and wide.

        Returns:
            `[h, w, K] float32`; 1 x 1 for an image of the native size, else a map with
            a stride of about 32 pixels: see `geometry`.

        Raises:
            ValueError: if the image is smaller, or has another type or shape.
        """
        return np.asarray(self.begin(image), np.float32)

    def begin(self, image: np.ndarray) -> jax.Array:
        """Queue an image on the device, and return at once; see `scores`."""
        return self.begin_batch([image])[0]

    def begin_batch(
        self, images: Sequence[np.ndarray], *, rows: int = 0
    ) -> list[jax.Array]:
        """Queue images of one size on the device as one batch, and return at once.

        Args:
            images: one at least, each as for `scores`.
            rows: of the batch, each number has its own program; further rows repeat the
                last image. 0 is the number of images.

        Returns:
            For each image its scores `[h, w, K]`.

        Raises:
            ValueError: for no image, images of several sizes, or one that `scores`
                would refuse.
        """
        checked = [checked_input("color", image) for image in images]
        for image in checked:
            self.refuse_small(image, "the image")
        sizes = sorted({image.shape[:2] for image in checked})
        if len(sizes) != 1:
            raise ValueError(
                f"the images of a batch have the sizes {sizes}; they need one size"
            )
        full = checked + [checked[-1]] * max(0, rows - len(checked))
        found = self._forward(self._variables, np.stack(full))
        return [found[row] for row in range(len(checked))]

    def refuse_small(self, image: np.ndarray, name: str) -> None:
        """Refuse an image smaller than the native size."""
        height, width = image.shape[:2]
        if min(height, width) < self.native_size:
            raise ValueError(
                f"{name} is {height} x {width} pixels; this classifier needs at least "
                f"{self.native_size} x {self.native_size}: enlarge it first"
            )


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax over the last axis: `[..., K]` scores to `[..., K] float64`."""
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True), dtype=np.float64)
    return shifted / shifted.sum(axis=-1, keepdims=True)


def write_classes(
    classifier: Classifier,
    image: np.ndarray,
    scores: np.ndarray,
    output: Path,
    stem: str,
) -> list[str]:
    """Write `<stem>_heat.png`, the probability map of the likeliest class.

    Classes are ordered by their probability, averaged over the map.

    Returns:
        A line for each of the five likeliest classes.
    """
    maps = probabilities(scores)
    mean = maps.mean(axis=(0, 1))
    order = np.argsort(-mean)[:TOP]
    scale, offset = classifier.geometry.map
    best = int(order[0])
    picture = heat_map(
        image,
        maps[..., best],
        scale=float(scale),
        offset=float(offset),
        title=f"{classifier.categories[best]}, {mean[best]:.3f} on average",
    )
    save = Image.fromarray(picture).save
    write_whole(output / f"{stem}_heat.png", lambda file: save(file, format="PNG"))
    return [
        f"  {mean[index]:.4f}  (largest {maps[..., index].max():.4f})  "
        f"{classifier.categories[index]}"
        for index in order
    ]
