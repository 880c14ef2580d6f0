"""Views of a split of images with one label each, for evaluation.

The papers' classifiers score the middle of the resized image; a convolutional one also
scores the whole image at once (Sermanet 2014; CVPR 2015, section 3.1).
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from fcn_jax.data.categories import AnyClasses, Categories
from fcn_jax.data.examples import Example, Source, digest
from fcn_jax.data.pipeline.resizing import (
    covering,
    resized,
    shorter_side_to,
    window_box,
)


@dataclasses.dataclass(frozen=True)
class CenterCrop:
    """The middle of every image, all of one size; a `Source`.

    Attributes:
        source: the split.
        side: pixels to which the shorter side of each image is resized; the ratio is
            kept.
        crop: (height, width) of the middle that is taken.

    Raises:
        ValueError: for a crop that the side does not hold, or a source of label maps.
    """

    source: Source
    side: int
    crop: tuple[int, int]

    def __post_init__(self):
        if (
            len(self.crop) != 2
            or not 1 <= min(self.crop) <= max(self.crop) <= self.side
        ):
            raise ValueError(
                f"crop is {self.crop} and side {self.side}; crop must be (height, width) "
                "of 1 pixel up to side each"
            )
        _refuse_label_maps(self.source.outputs, "CenterCrop")

    @property
    def outputs(self) -> Mapping[str, AnyClasses]:
        """The classes of the split."""
        return self.source.outputs

    @property
    def fingerprint(self) -> str:
        """Digest of the split and of the view."""
        return digest(["center_crop", self.source.fingerprint, self.side, self.crop])

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        example = self.source[index]
        inputs = {key: self._middle(own) for key, own in example.inputs.items()}
        return dataclasses.replace(example, inputs=inputs)

    def name(self, index: int) -> str:
        """The name of the example."""
        return self.source.name(index)

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32`, all `crop`; no file is opened."""
        return np.tile(np.array(self.crop, np.int32), (len(self), 1))

    def _middle(self, pixels: np.ndarray) -> np.ndarray:
        size = (pixels.shape[0], pixels.shape[1])
        whole = covering(size, self.side, self.crop)
        corner = ((whole[0] - self.crop[0]) // 2, (whole[1] - self.crop[1]) // 2)
        return resized(pixels, self.crop, window_box(size, whole, corner, self.crop))


@dataclasses.dataclass(frozen=True)
class WholeImage:
    """Whole images, each of its own ratio; a `Source`.

    Attributes:
        source: the split.
        side: pixels to which the shorter side of each image is resized; 0 leaves images
            as they are.

    Raises:
        ValueError: for a negative side, or a source of label maps.
    """

    source: Source
    side: int

    def __post_init__(self):
        if self.side < 0:
            raise ValueError(
                f"side is {self.side}; it must be at least 1 pixel, or 0 for images as "
                "they are"
            )
        _refuse_label_maps(self.source.outputs, "WholeImage")

    @property
    def outputs(self) -> Mapping[str, AnyClasses]:
        """The classes of the split."""
        return self.source.outputs

    @property
    def fingerprint(self) -> str:
        """Digest of the split and of the view."""
        return digest(["whole_image", self.source.fingerprint, self.side])

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        example = self.source[index]
        if not self.side:
            return example
        inputs = {}
        for key, own in example.inputs.items():
            size = shorter_side_to((own.shape[0], own.shape[1]), self.side)
            inputs[key] = resized(own, size)
        return dataclasses.replace(example, inputs=inputs)

    def name(self, index: int) -> str:
        """The name of the example."""
        return self.source.name(index)

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width), from the sizes of the split's own images."""
        sizes = self.source.sizes()
        if not self.side:
            return sizes
        whole = self.side * sizes.astype(np.int64) // sizes.min(axis=1, keepdims=True)
        return whole.astype(np.int32)


def _refuse_label_maps(outputs: Mapping[str, AnyClasses], what: str) -> None:
    for name, classes in outputs.items():
        if not isinstance(classes, Categories):
            raise ValueError(
                f"{what} resizes images alone, and the output {name!r} of the data set "
                "has label maps; give a data set with one label an image"
            )
