"""Augmentation and padding of examples; image and labels get the same change.

Mirroring and jitter are the paper's (CVPR 2015, section 4.3: random mirroring and
translation by up to 32 pixels). Label maps are only indexed, never interpolated: no new
id can appear, except 255 where a shift leaves no image.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from fcn_jax.data.examples import Example, Source
from fcn_jax.data.labels import IGNORE
from fcn_jax.data.pipeline.coloring import check_coloring, lit, recolored
from fcn_jax.data.pipeline.scaling import scaled_window

COLOR = "color"
"""The input whose colours vary."""


class Augment(Protocol):
    """A random augmentation of training examples.

    Picklable, as worker processes call it.
    """

    def sizes(self, sizes: np.ndarray) -> np.ndarray:
        """Return the sizes of images after augmentation, which are not random.

        Args:
            sizes: `[N, 2] int`, (height, width) of whole images.
        """
        ...

    def __call__(
        self,
        example: Example,
        *,
        fill: Mapping[str, tuple[int, ...]],
        rng: np.random.Generator,
    ) -> Example:
        """Return the augmented example.

        Args:
            example: inputs `[H, W, C]` of any dtype and labels `[H, W] uint8` of one
                size.
            fill: for each input key, the value of each channel where no image is: its
                mean. Labels are 255 there.
            rng: the random generator, seeded by the position in the run.
        """
        ...


@runtime_checkable
class FixedSizeAugment(Augment, Protocol):
    """An `Augment` after which every image has the same size, whatever it had."""

    @property
    def fixed_size(self) -> tuple[int, int]:
        """(height, width) of every image after it."""
        ...


def augmented_sizes(
    source: Source, augmentation: Augment, indices: Sequence[int] | None = None
) -> np.ndarray:
    """Return the sizes of the images of a split after augmentation.

    A `FixedSizeAugment` needs no size of an image, so that the files of the split are
    not opened.

    Args:
        source: the split.
        augmentation: of its images.
        indices: of the images; None is all.

    Returns:
        `[n, 2] int`, (height, width).
    """
    if isinstance(augmentation, FixedSizeAugment):
        count = len(source) if indices is None else len(indices)
        return np.tile(np.array(augmentation.fixed_size, np.int32), (count, 1))
    sizes = source.sizes()
    return augmentation.sizes(sizes if indices is None else sizes[list(indices)])


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The papers' augmentation, and random windows; an `Augment`.

    Attributes:
        mirror: left and right exchanged in half of the images.
        jitter: the image is shifted by -jitter..jitter pixels on each axis.
        crop: (height, width) of a random window; None keeps the whole image. An axis on
            which the image is smaller is kept whole.
        scale: (least, largest) enlargement before the window is taken, drawn
            log-uniformly; it needs a crop. See `scaling`.
        color: by how much brightness, contrast and saturation of the input "color" vary,
            each 0..1; see `coloring`.
        lighting: standard deviation of the noise along the principal components of
            colour of that input; see `coloring`.

    Raises:
        ValueError: for a negative jitter, an empty window, a scale that is not two
            factors or has no crop, or amounts of colour outside their ranges.
    """

    mirror: bool = False
    jitter: int = 0
    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    color: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lighting: float = 0.0

    def __post_init__(self):
        if self.jitter < 0:
            raise ValueError(f"jitter is {self.jitter} pixels; it must be 0 or more")
        if self.crop is not None and (len(self.crop) != 2 or min(self.crop) < 1):
            raise ValueError(
                f"crop is {self.crop}; it must be (height, width) of at least 1 pixel "
                "each, or None for whole images"
            )
        least, largest = self.scale
        if not 0 < least <= largest:
            raise ValueError(
                f"scale is {self.scale}; it must be two factors above 0, the least first"
            )
        if self.enlarges and self.crop is None:
            raise ValueError(
                f"scale is {self.scale}, which needs a crop, so that sizes are known"
            )
        check_coloring(self.color, self.lighting)

    @property
    def enlarges(self) -> bool:
        """Whether images are enlarged or reduced at all."""
        return self.scale != (1, 1)

    @property
    def recolors(self) -> bool:
        """Whether colours vary."""
        return any(self.color) or self.lighting > 0

    def sizes(self, sizes: np.ndarray) -> np.ndarray:
        """Return the sizes of images after augmentation.

        Args:
            sizes: `[N, 2] int`, (height, width) of whole images.
        """
        return sizes if self.crop is None else np.minimum(sizes, self.crop)

    def __call__(
        self,
        example: Example,
        *,
        fill: Mapping[str, tuple[int, ...]],
        rng: np.random.Generator,
    ) -> Example:
        """Recolour, mirror, shift, enlarge and crop, in this order; see `Augment`.

        Raises:
            ValueError: if colours vary and there is no input `color [H, W, 3] uint8`.
        """
        inputs, labels = example.inputs, example.labels
        if self.recolors:
            inputs = {**inputs, COLOR: self._recolored(example, rng)}
        if self.mirror and rng.integers(2):
            inputs = {key: array[:, ::-1] for key, array in inputs.items()}
            labels = {key: array[:, ::-1] for key, array in labels.items()}
        if self.jitter:
            reach = self.jitter
            down, right = (
                int(n) for n in rng.integers(-reach, reach, 2, endpoint=True)
            )
            inputs = {k: shift(a, down, right, fill[k]) for k, a in inputs.items()}
            labels = {k: shift(a, down, right, IGNORE) for k, a in labels.items()}
        if self.crop is not None and self.enlarges:
            height, width = next(iter(inputs.values())).shape[:2]
            least, largest = self.scale
            return scaled_window(
                Example(example.name, inputs, labels),
                size=(min(height, self.crop[0]), min(width, self.crop[1])),
                factor=math.exp(rng.uniform(math.log(least), math.log(largest))),
                fill=fill,
                rng=rng,
            )
        if self.crop is not None:
            height, width = next(iter(inputs.values())).shape[:2]
            rows = _random_window(rng, height, self.crop[0])
            columns = _random_window(rng, width, self.crop[1])
            inputs = {key: array[rows, columns] for key, array in inputs.items()}
            labels = {key: array[rows, columns] for key, array in labels.items()}
        return Example(example.name, inputs, labels)

    def _recolored(self, example: Example, rng: np.random.Generator) -> np.ndarray:
        pixels = example.inputs.get(COLOR)
        if pixels is None or pixels.dtype != np.uint8 or pixels.shape[2:] != (3,):
            raise ValueError(
                f"config.data.color and config.data.lighting vary the input {COLOR!r}, 8 "
                f"bits of three channels, which example {example.name} does not have; "
                "set them to (0, 0, 0) and 0"
            )
        image = recolored(Image.fromarray(pixels), self.color, rng)
        return np.asarray(lit(image, self.lighting, rng))


def shift(
    array: np.ndarray, down: int, right: int, fill: int | tuple[int, ...]
) -> np.ndarray:
    """Shift the content of an array; its size is unchanged.

    Args:
        array: `[H, W]` or `[H, W, C]`.
        down: rows the content moves down; negative moves it up.
        right: columns it moves to the right.
        fill: value, or value of each channel, of pixels that no content reaches.

    Raises:
        ValueError: for another number of channels.
    """
    height, width = array.shape[:2]
    if isinstance(fill, tuple) and array.shape[2:] != (len(fill),):
        raise ValueError(
            f"the image has {math.prod(array.shape[2:])} channels, its preprocessing "
            f"(config.preprocessing) a mean of {len(fill)}"
        )
    moved = np.empty_like(array)
    moved[...] = fill
    moved[
        max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)
    ] = array[
        max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return moved


def place(array: np.ndarray, canvas: np.ndarray) -> None:
    """Copy `[H, W, ...]` into the top left corner of a canvas at least that large."""
    height, width = array.shape[:2]
    canvas[:height, :width] = array


def _random_window(rng: np.random.Generator, length: int, window: int) -> slice:
    if window >= length:
        return slice(0, length)
    start = int(rng.integers(0, length - window, endpoint=True))
    return slice(start, start + window)
