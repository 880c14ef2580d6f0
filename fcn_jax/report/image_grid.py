"""Figures of classified images: each with its true and its predicted class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fcn_jax.data.categories import Categories
from fcn_jax.report.panels import FONT_SIZE, GAP, INK, PAPER
from fcn_jax.report.sheet import cut

SIDE = 160  # of an image in the figure, in pixels
COLUMNS = 4
RIGHT, WRONG = (0, 110, 40), (190, 20, 20)


def labelled_images(
    rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    classes: Categories,
    *,
    title: str,
) -> np.ndarray:
    """Draw images in a grid, the predicted class above each, and the true one if other.

    Args:
        rows: (image `[H, W, 3] uint8`, true class `[1, 1]`, predicted class `[1, 1]`).
        classes: their names.
        title: first line of the figure.

    Returns:
        `[H, W, 3] uint8`.
    """
    font = ImageFont.load_default(FONT_SIZE)
    line, cell = FONT_SIZE + GAP, SIDE + GAP
    columns = min(COLUMNS, len(rows))
    height = line + -(-len(rows) // columns) * (cell + 2 * line) + GAP
    width = max(columns * cell + GAP, int(font.getlength(title)) + 2 * GAP)
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, 2), title, fill=INK, font=font)
    for index, (image, truth, predicted) in enumerate(rows):
        row, column = divmod(index, columns)
        x, y = GAP + column * cell, line + GAP + row * (cell + 2 * line)
        true, found = int(truth.flat[0]), int(predicted.flat[0])
        own = cut(classes.names[found], font, SIDE)
        draw.text((x, y), own, fill=RIGHT if true == found else WRONG, font=font)
        if true != found:
            truly = cut(f"is {classes.names[true]}", font, SIDE)
            draw.text((x, y + line), truly, fill=INK, font=font)
        shown = fitted(image)
        picture.paste(shown, (x, y + 2 * line))
    return np.asarray(picture)


def fitted(image: np.ndarray) -> Any:
    """Return `[H, W, 3] uint8` as a picture of at most `SIDE` pixels a side."""
    picture = Image.fromarray(image)
    factor = SIDE / max(picture.size)
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BILINEAR)
