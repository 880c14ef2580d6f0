"""Augmentation of images with one label each, as the classifiers' papers describe it.

AlexNet (Krizhevsky 2012, section 4.1): shorter side 256, random windows, mirror, and
noise along the principal components of colour. VGG16 (Simonyan 2015, section 3.1):
shorter side 256 to 512 ("scale jittering"). GoogLeNet (Szegedy 2015, section 6): windows
of 8 to 100 % of the area and a ratio of 3/4 to 4/3, known as random resized crop, and
photometric distortions.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from PIL import Image

from fcn_jax.data.examples import Example
from fcn_jax.data.pipeline.coloring import check_coloring, lit, recolored
from fcn_jax.data.pipeline.resizing import Box, covering, resized_image, window_box

TRIES = 10


@dataclasses.dataclass(frozen=True)
class ImageAugmentation:
    """A random window of an image, mirrored and recoloured; a `FixedSizeAugment`.

    The window is chosen by `sides` or by `area`. Its pixels are made from the image in
    one step, bilinear and antialiased; an image smaller than `crop` is enlarged.

    Attributes:
        crop: (rows, columns) of the result.
        sides: least and largest length in pixels to which the shorter side of the image
            is resized, drawn uniformly, before the window is taken anywhere in it; (256,
            256) for AlexNet, (256, 512) for VGG16. (0, 0) chooses by `area`.
        area: least and largest share of the image's area that the window has, drawn
            uniformly, before it is resized to `crop`; (0.08, 1) for GoogLeNet. (0, 0)
            chooses by `sides`.
        ratio: least and largest width over height of that window, drawn uniformly in
            its logarithm.
        mirror: left and right exchanged in half of the images.
        color: by how much brightness, contrast and saturation vary; see `coloring`.
        lighting: of the principal components of colour; see `coloring`.

    Raises:
        ValueError: for values outside these ranges, or both or neither of sides and
            area.
    """

    crop: tuple[int, int]
    sides: tuple[int, int] = (0, 0)
    area: tuple[float, float] = (0.0, 0.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    mirror: bool = False
    color: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lighting: float = 0.0

    def __post_init__(self):
        if len(self.crop) != 2 or min(self.crop) < 1:
            raise ValueError(
                f"crop is {self.crop}; it must be (rows, columns) of at least 1 pixel "
                "each"
            )
        if any(self.sides) == any(self.area):
            raise ValueError(
                f"sides is {self.sides} and area {self.area}; set one of them, which "
                "chooses the window, and leave the other (0, 0)"
            )
        if any(self.sides) and not min(self.crop) <= self.sides[0] <= self.sides[1]:
            raise ValueError(
                f"sides is {self.sides}; it must be the least and the largest length of "
                f"the shorter side, from {min(self.crop)} on, the shorter of crop "
                f"{self.crop}"
            )
        if any(self.area) and not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(
                f"area is {self.area}; it must be the least and the largest share of the "
                "image, above 0 and up to 1"
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(
                f"ratio is {self.ratio}; it must be the least and the largest width over "
                "height, above 0"
            )
        check_coloring(self.color, self.lighting)

    @property
    def fixed_size(self) -> tuple[int, int]:
        """(height, width) of every image after it: `crop`."""
        return self.crop

    def sizes(self, sizes: np.ndarray) -> np.ndarray:
        """Return `[N, 2] int`, the size of `crop` for each of N images."""
        return np.tile(np.array(self.crop, np.int32), (len(sizes), 1))

    def __call__(
        self,
        example: Example,
        *,
        fill: Mapping[str, tuple[int, ...]],
        rng: np.random.Generator,
    ) -> Example:
        """Return the augmented example, `color [rows, columns, 3] uint8`; see `Augment`.

        Raises:
            ValueError: for other inputs than `color [H, W, 3] uint8`, or a label map.
        """
        del fill  # every pixel of the window shows the image
        _check(example)
        image = Image.fromarray(example.inputs["color"])
        size = (image.height, image.width)
        box = (
            self._side_box(size, rng) if any(self.sides) else self._area_box(size, rng)
        )
        image = resized_image(image, self.crop, box)
        if self.mirror and rng.integers(2):
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = lit(recolored(image, self.color, rng), self.lighting, rng)
        return dataclasses.replace(example, inputs={"color": np.array(image)})

    def _side_box(self, size: tuple[int, int], rng: np.random.Generator) -> Box:
        side = int(rng.integers(*self.sides, endpoint=True))
        resized = covering(size, side, self.crop)
        corner = [
            int(rng.integers(0, length - own, endpoint=True))
            for length, own in zip(resized, self.crop, strict=True)
        ]
        return window_box(size, resized, (corner[0], corner[1]), self.crop)

    def _area_box(self, size: tuple[int, int], rng: np.random.Generator) -> Box:
        rows, columns = random_window(size, self.area, self.ratio, rng)
        return (columns.start, rows.start, columns.stop, rows.stop)


def random_window(
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[slice, slice]:
    """Draw a window of a share of an image and a ratio, as torchvision does.

    A window that the image does not hold is drawn again, ten times in all; then it is
    the largest in the middle whose ratio is allowed.

    Args:
        size: (height, width) of the image.
        area: least and largest share of its area.
        ratio: least and largest width over height.
        rng: the random generator.

    Returns:
        Its rows and columns.
    """
    height, width = size
    for _ in range(TRIES):
        pixels = height * width * rng.uniform(*area)
        drawn = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        columns = round(math.sqrt(pixels * drawn))
        rows = round(math.sqrt(pixels / drawn))
        if 0 < columns <= width and 0 < rows <= height:
            top = int(rng.integers(0, height - rows, endpoint=True))
            left = int(rng.integers(0, width - columns, endpoint=True))
            return slice(top, top + rows), slice(left, left + columns)
    rows = min(height, max(1, round(width / ratio[0])))
    columns = min(width, max(1, round(height * ratio[1])))
    top, left = (height - rows) // 2, (width - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)


def _check(example: Example) -> None:
    inputs = {key: (own.shape, own.dtype) for key, own in example.inputs.items()}
    color = example.inputs.get("color")
    if (
        color is None
        or len(inputs) > 1
        or color.dtype != np.uint8
        or color.shape[2:] != (3,)
    ):
        raise ValueError(
            f"example {example.name} has the inputs {inputs}; ImageAugmentation takes "
            "one, color, uint8 of the shape (height, width, 3)"
        )
    for key, own in example.labels.items():
        if own.shape != (1, 1):
            raise ValueError(
                f"example {example.name} has a label map {key!r} of the shape "
                f"{own.shape}; ImageAugmentation is for one label an image, and "
                "Augmentation for label maps"
            )
