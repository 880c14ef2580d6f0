"""Label maps of images of any size, by a trained or converted network."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.checkpoints.load_model import LoadedModel, load_model
from fcn_jax.data.pipeline.buckets import Canvas, rounded_up
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.models.backbone import Backbone
from fcn_jax.models.build import BACKBONES
from fcn_jax.models.fcn import smallest_image, too_small
from fcn_jax.models.heads import HEADS, MakeHead
from fcn_jax.models.preprocessing import checked_input
from fcn_jax.runtime.compiled_programs import Programs, in_precision
from fcn_jax.runtime.prepared_programs import inference_programs

Picture = np.ndarray | Mapping[str, np.ndarray]


class Segmentation:
    """The pending result of an image on the device; reading a result waits for it."""

    def __init__(
        self,
        size: tuple[int, int],
        scores: Mapping[str, jax.Array] | None,
        labels: Mapping[str, jax.Array],
    ):
        self._size, self._scores, self._labels = size, scores, labels

    def scores(self) -> dict[str, np.ndarray]:
        """Scores (logits) of every pixel, for each output `[H, W, K] float32`.

        Raises:
            ValueError: if they were not kept.
        """
        if self._scores is None:
            raise ValueError("these scores were not kept; begin with scores=True")
        height, width = self._size
        return {
            name: np.asarray(value, np.float32)[0, :height, :width]
            for name, value in self._scores.items()
        }

    def labels(self) -> dict[str, np.ndarray]:
        """Class of every pixel, for each output `[H, W] uint8`."""
        height, width = self._size
        return {
            name: np.asarray(value)[0, :height, :width]
            for name, value in self._labels.items()
        }


class Segmenter:
    """A trained or converted network that labels images of any size.

    An image is padded to a canvas. Each canvas is compiled once, and the last
    `compiled_programs.MOST` programs are kept. The network's masks make the result
    equal to that of the image alone. An image that fills its canvas needs no masks; it
    has its own, faster program.

    Attributes:
        outputs: classes of each output.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        canvases: Sequence[Canvas] = (),
    ):
        record = loaded.record
        self.outputs = dict(record.outputs)
        self._records = record.preprocessing
        self._smallest_image = smallest_image(loaded.maps)
        self._canvases = tuple(canvases)

        def forward(variables: Any, inputs: Any, sizes: Any) -> Any:
            ready = preprocess(inputs, record.preprocessing, record.dtype)
            maps: Any = loaded.model.apply(variables, ready, train=False, sizes=sizes)
            return {name: feature_map.values for name, feature_map in maps.items()}

        def classify(scores: Any) -> Any:
            return jax.tree.map(
                lambda values: jnp.argmax(values, axis=-1).astype(jnp.uint8), scores
            )

        # Two programs: in one, XLA might compute the scores twice, with different
        # rounding.
        self._forward = inference_programs(in_precision(forward, record.dtype))
        self._classify = Programs(classify)
        self._variables = self._forward.place(loaded.variables)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        canvases: Sequence[Canvas] = (),
        *,
        backbones: Mapping[str, Backbone] = BACKBONES,
        heads: Mapping[str, MakeHead] = HEADS,
    ) -> "Segmenter":
        """Load the best (else newest) checkpoint of a run, or a converted checkpoint.

        Args:
            path: the directory.
            canvases: (height, width) to which pictures are padded, the smallest first;
                an image that fits none gets a size of the series in
                `data.pipeline.buckets.rounded_up`.
            backbones: backbones by name.
            heads: what its head may be.

        Raises:
            CheckpointError: if there is none that can be trusted.
        """
        loaded = load_model(path, classifier=False, backbones=backbones, heads=heads)
        return cls(loaded, canvases)

    def scores(self, image: Picture) -> dict[str, np.ndarray]:
        """Compute the scores (logits) of every pixel.

        Args:
            image: `[H, W, 3] uint8` RGB; or a mapping by input name: "color" and
                "hha" `[H, W, 3] uint8`, "depth" `[H, W]`, of any type, in millimetres.

        Returns:
            For each output `[H, W, K] float32`.

        Raises:
            ValueError: if an input is missing, or has another type or shape.
        """
        return self.begin(image, scores=True).scores()

    def labels(self, image: Picture) -> dict[str, np.ndarray]:
        """Compute the class of each pixel, for each output `[H, W] uint8`; see `scores`."""
        return self.begin(image).labels()

    def begin(self, image: Picture, *, scores: bool = False) -> Segmentation:
        """Queue an image on the device, and return at once; see `scores`.

        Args:
            image: the image, as for `scores`.
            scores: whether to keep the scores too, not only the labels.

        Raises:
            MemoryError: for an image that needs more memory than is free.
        """
        inputs = self._checked(image)
        height, width = next(iter(inputs.values())).shape[:2]
        rows, columns = self.canvas((height, width))
        padding = ((0, rows - height), (0, columns - width), (0, 0))
        padded = {name: np.pad(value, padding)[None] for name, value in inputs.items()}
        filled = (rows, columns) == (height, width)
        sizes = None if filled else np.array([[height, width]], np.int32)
        found = self._forward(self._variables, padded, sizes)
        labels = self._classify(found)
        return Segmentation((height, width), found if scores else None, labels)

    def canvas(self, size: tuple[int, int]) -> Canvas:
        """Rows and columns to which an image of (height, width) is padded."""
        height, width = size
        for rows, columns in self._canvases:
            if height <= rows and width <= columns:
                return rows, columns
        return rounded_up(size)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that the network reads."""
        return tuple(self._records)

    def refuse_small(self, size: Sequence[int], name: str) -> None:
        """Refuse an image of `size` (height, width) whose maps would be empty."""
        if min(size) < self._smallest_image:
            raise ValueError(too_small(name, size, self._smallest_image))

    def _checked(self, image: Picture) -> dict[str, np.ndarray]:
        given = dict(image) if isinstance(image, Mapping) else {"color": image}
        if set(given) != set(self._records):
            raise ValueError(
                f"the network reads the inputs {sorted(self._records)}, but the image "
                f"has {sorted(given)}"
            )
        inputs = {name: checked_input(name, value) for name, value in given.items()}
        sizes = {name: value.shape[:2] for name, value in inputs.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the inputs have different sizes: {sizes}")
        self.refuse_small(next(iter(sizes.values())), "the image")
        return inputs
