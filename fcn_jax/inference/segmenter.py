"""Label maps of images of any size, by a trained or converted network."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.checkpoints.load_model import LoadedModel, load_model
from fcn_jax.data.pipeline.buckets import Canvas, rounded_up
from fcn_jax.inference.batching import batch_rows, group
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.models.backbone import Backbone
from fcn_jax.models.build import BACKBONES
from fcn_jax.models.fcn import FCN, smallest_image, too_small
from fcn_jax.models.heads import HEADS, MakeHead
from fcn_jax.models.preprocessing import Preprocessing, checked_input
from fcn_jax.runtime.compiled_programs import Programs, in_precision
from fcn_jax.runtime.concurrency import one_behind
from fcn_jax.runtime.prepared_programs import inference_programs

Picture = np.ndarray | Mapping[str, np.ndarray]
Fit = tuple[Canvas, bool]
"""A canvas, and whether the image fills it."""


def make_forward(
    model: FCN, records: Mapping[str, Preprocessing], dtype: Any
) -> Callable[[Any, Any, Any], dict[str, Any]]:
    """Make the function from variables, stored pixels and sizes to scores.

    Args:
        model: the network.
        records: preprocessing of each input.
        dtype: of the trunk's arithmetic.

    Returns:
        The function; its result has the scores `[N, H, W, K]` of each output. Sizes are
        None where every image fills the canvas.
    """

    def forward(variables: Any, inputs: Any, sizes: Any) -> dict[str, Any]:
        ready = preprocess(inputs, records, dtype)
        maps: Any = model.apply(variables, ready, train=False, sizes=sizes)
        return {name: feature_map.values for name, feature_map in maps.items()}

    return forward


class Segmentation:
    """The pending result of an image on the device; reading a result waits for it."""

    def __init__(
        self,
        size: tuple[int, int],
        scores: Mapping[str, jax.Array] | None,
        labels: Mapping[str, jax.Array],
        row: int = 0,
    ):
        """Store the results of a batch, and where the image is in it.

        Args:
            size: height and width of the image.
            scores: of each output `[N, H, W, K]`, or None where they were not kept.
            labels: of each output `[N, H, W] uint8`.
            row: of the image in the batch.
        """
        self._size, self._scores, self._labels = size, scores, labels
        self._row = row

    def scores(self) -> dict[str, np.ndarray]:
        """Scores (logits) of every pixel, for each output `[H, W, K] float32`.

        Raises:
            ValueError: if they were not kept.
        """
        if self._scores is None:
            raise ValueError("these scores were not kept; begin with scores=True")
        return {
            name: np.asarray(self._own(value), np.float32)
            for name, value in self._scores.items()
        }

    def labels(self) -> dict[str, np.ndarray]:
        """Class of every pixel, for each output `[H, W] uint8`."""
        return {name: self._own(value) for name, value in self._labels.items()}

    def _own(self, values: jax.Array) -> np.ndarray:
        """The image's part of an array of the batch."""
        height, width = self._size
        return np.asarray(values)[self._row, :height, :width]


class Segmenter:
    """A trained or converted network that labels images of any size.

    An image is padded to a canvas. Each canvas is compiled once, and the last
    `compiled_programs.MOST` programs are kept. The network's masks make the result
    equal to that of the image alone. An image that fills its canvas needs no masks; it
    has its own, faster program.

    Attributes:
        outputs: classes of each output.
        dtype: of its arithmetic, "float32" or "bfloat16".
    """

    def __init__(
        self,
        loaded: LoadedModel,
        canvases: Sequence[Canvas] = (),
    ):
        record = loaded.record
        self.outputs = dict(record.outputs)
        self.dtype = record.dtype
        self._records = record.preprocessing
        self._smallest_image = smallest_image(loaded.maps)
        self._canvases = tuple(canvases)

        def classify(scores: Any) -> Any:
            return jax.tree.map(
                lambda values: jnp.argmax(values, axis=-1).astype(jnp.uint8), scores
            )

        # Two programs: in one, XLA might compute the scores twice, with different
        # rounding.
        self._forward = inference_programs(
            in_precision(
                make_forward(loaded.model, record.preprocessing, record.dtype),
                record.dtype,
            )
        )
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
        return self.begin_batch([image], scores=scores)[0]

    def begin_batch(
        self, images: Sequence[Picture], *, scores: bool = False, rows: int = 0
    ) -> list[Segmentation]:
        """Queue images on the device as one batch, and return at once; see `begin`.

        The batch has the canvas that holds all of them, and its masks unless every
        image fills it.

        Args:
            images: one at least, each as for `scores`.
            scores: whether to keep the scores too, not only the labels.
            rows: of the batch, each number has its own program; further rows repeat the
                last image. 0 is the number of images.

        Raises:
            ValueError: for no image, or one that `scores` would refuse.
            MemoryError: for images that need more memory than is free.
        """
        checked = [self._checked(image) for image in images]
        if not checked:
            raise ValueError("there is no image in this batch; give it one at least")
        sizes = [_size(inputs) for inputs in checked]
        canvas = self.canvas((max(h for h, _ in sizes), max(w for _, w in sizes)))
        missing = max(0, rows - len(checked))
        full = checked + [checked[-1]] * missing
        padded = {
            name: np.stack([_padded(inputs[name], canvas) for inputs in full])
            for name in checked[0]
        }
        filled = all(size == canvas for size in sizes)
        true = None if filled else np.array(sizes + [sizes[-1]] * missing, np.int32)
        found = self._forward(self._variables, padded, true)
        labels = self._classify(found)
        kept = found if scores else None
        return [Segmentation(size, kept, labels, row) for row, size in enumerate(sizes)]

    def batch(
        self, images: Sequence[Picture], *, most: int = 0
    ) -> list[dict[str, np.ndarray]]:
        """Compute the class of each pixel of several images; see `labels`.

        Images on one canvas are computed together, and the next ones while results are
        read. Padding does not change a result, so each image gets the labels that it
        gets alone; only where scores are equal up to rounding can they differ.

        Args:
            images: each as for `scores`; of any sizes, also none at all.
            most: images that are computed together; 0 is by device, 1 on a CPU, where
                more are not faster.

        Returns:
            For each image, in order, the labels `[H, W] uint8` of each output.

        Raises:
            ValueError: for an image that `scores` would refuse.
        """
        fits = [self.fit(_size(self._checked(image))) for image in images]
        rows = self.rows(fits, most)

        def begun() -> Iterator[tuple[list[int], list[Segmentation]]]:
            for batch in group(fits, rows):
                own = [images[position] for position in batch]
                yield batch, self.begin_batch(own, rows=rows[fits[batch[0]]])

        results: dict[int, dict[str, np.ndarray]] = {}
        for batch, found in one_behind(begun()):
            results |= zip(batch, (own.labels() for own in found), strict=True)
        return [results[position] for position in range(len(images))]

    def fit(self, size: tuple[int, int]) -> Fit:
        """The canvas of an image of (height, width), and whether the image fills it.

        Only images with the same two share a program, so that each gets the program in
        a batch that it gets alone.
        """
        canvas = self.canvas(size)
        return canvas, canvas == tuple(size)

    def rows(self, fits: Sequence[Fit], most: int = 0) -> dict[Fit, int]:
        """Rows of the batches of images, for each of their fits; see `begin_batch`.

        Args:
            fits: of every image, so that no batch has more rows than there are images.
            most: images that are computed together; 0 is by device.
        """
        canvases = {fit: fit[0] for fit in fits}
        return batch_rows(fits, canvases, jax.default_backend(), most)

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
        self.refuse_small(_size(inputs), "the image")
        return inputs


def _size(inputs: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Height and width of an image, from its inputs."""
    height, width = next(iter(inputs.values())).shape[:2]
    return height, width


def _padded(value: np.ndarray, canvas: Canvas) -> np.ndarray:
    """An input `[H, W, C]` with zeros below and to the right, as large as the canvas."""
    height, width = value.shape[:2]
    return np.pad(value, ((0, canvas[0] - height), (0, canvas[1] - width), (0, 0)))
