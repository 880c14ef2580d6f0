"""The probability map of one class over an image, as in Figure 2 of the paper."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fcn_jax.report.panels import FONT_SIZE, GAP, INK, PAPER

COLD, WARM = np.array([28, 40, 90]), np.array([255, 214, 60])


def heat_map(
    image: np.ndarray,
    probability: np.ndarray,
    *,
    scale: float,
    offset: float,
    title: str,
) -> np.ndarray:
    """Draw an image, and beside it the image under a map of probabilities.

    Args:
        image: `[H, W, 3] uint8`.
        probability: `[h, w] float64` in 0..1.
        scale: image pixels between neighbouring cells of the map.
        offset: image pixel on which the first cell is centred.
        title: first line of the figure.

    Returns:
        `[H', W', 3] uint8`. The map is interpolated between the centres of its cells
        and constant beyond them; dark is 0, bright is 1.
    """
    height, width = image.shape[:2]
    full = _interpolated(probability, height, scale, offset)
    full = _interpolated(full.T, width, scale, offset).T[..., None]
    grey = image.astype(np.float64).mean(axis=-1, keepdims=True)
    mixed = 0.35 * grey + 0.65 * (COLD + full * (WARM - COLD))
    top = FONT_SIZE + 2 * GAP
    canvas = Image.new("RGB", (2 * width + 3 * GAP, height + top + GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, GAP), title, fill=INK, font=ImageFont.load_default(FONT_SIZE))
    canvas.paste(Image.fromarray(image), (GAP, top))
    heat = Image.fromarray(mixed.round().astype(np.uint8))
    canvas.paste(heat, (2 * GAP + width, top))
    return np.asarray(canvas)


def _interpolated(
    values: np.ndarray, length: int, scale: float, offset: float
) -> np.ndarray:
    """Linear interpolation along the first axis, to `length` pixels."""
    centres = offset + scale * np.arange(values.shape[0])
    pixels = np.arange(length)
    return np.stack([np.interp(pixels, centres, column) for column in values.T], axis=1)
