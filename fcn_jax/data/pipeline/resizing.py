"""Resizing of colour images with Pillow: bilinear, antialiased where it makes smaller."""

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a window, in pixels of the image, not rounded."""


def shorter_side_to(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return (height, width) of an image whose shorter side is made `side` pixels.

    The ratio is kept, the longer side rounded down.

    Args:
        size: (height, width) of the image.
        side: at least 1.
    """
    height, width = size
    short = min(size)
    return side * height // short, side * width // short


def covering(
    size: tuple[int, int], side: int, crop: tuple[int, int]
) -> tuple[int, int]:
    """Return the size `shorter_side_to` gives, or the least larger one that holds a crop.

    Args:
        size: (height, width) of the image.
        side: of its shorter side.
        crop: (height, width) of the window to be taken.
    """
    short = min(size)
    needed = (-(-own * short // length) for own, length in zip(crop, size, strict=True))
    return shorter_side_to(size, max(side, *needed))


def window_box(
    size: tuple[int, int],
    resized: tuple[int, int],
    corner: tuple[int, int],
    crop: tuple[int, int],
) -> Box:
    """Return the part of an image that a window of the resized image shows.

    Args:
        size: (height, width) of the image.
        resized: (height, width) of the resized image.
        corner: row and column of the window's top left pixel in it.
        crop: (height, width) of the window in it.
    """
    (height, width), (rows, columns), (top, left) = size, resized, corner
    return (
        left * width / columns,
        top * height / rows,
        (left + crop[1]) * width / columns,
        (top + crop[0]) * height / rows,
    )


def resized_image(
    image: Image.Image, size: tuple[int, int], box: Box | None = None
) -> Image.Image:
    """Resize an image, or the part of it in a box.

    Resizing a box is resizing the whole and cutting the window out, but for the work:
    pixels beyond the box weigh on those at its edge.

    Args:
        image: RGB.
        size: (height, width) of the result.
        box: the part; None is the whole.
    """
    if box is None and size == (image.height, image.width):
        return image
    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)


def resized(
    pixels: np.ndarray, size: tuple[int, int], box: Box | None = None
) -> np.ndarray:
    """`resized_image` of `[H, W, 3] uint8`."""
    return np.array(resized_image(Image.fromarray(pixels), size, box))
