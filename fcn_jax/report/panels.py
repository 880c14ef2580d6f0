"""Figures of segmentations: image, truth and prediction side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fcn_jax.data.labels import Classes

GAP = 6
INK = (40, 40, 40)
PAPER = (255, 255, 255)
FONT_SIZE = 13


def overlay(image: np.ndarray, labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Class colours over a grey version of the image.

    Args:
        image: `[H, W, 3] uint8`.
        labels: `[H, W] uint8`, ids or 255 (ignored).
        classes: names and palette.

    Returns:
        `[H, W, 3] uint8`.
    """
    grey = image.astype(np.float32).mean(axis=-1, keepdims=True)
    mixed = 0.45 * grey + 0.55 * classes.colorize(labels).astype(np.float32)
    return mixed.round().astype(np.uint8)


def panel(
    rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    classes: Classes,
    *,
    title: str,
    smallest_side: int = 160,
) -> np.ndarray:
    """Draw examples, one per row, with a legend of the classes that occur.

    Args:
        rows: (image `[H, W, 3] uint8`, true labels `[H, W] uint8`, predicted labels
            `[H, W] uint8`).
        classes: names and palette.
        title: first line of the figure.
        smallest_side: images are enlarged by a whole factor to about this height in
            pixels.

    Returns:
        `[H, W, 3] uint8`.
    """
    font = ImageFont.load_default(FONT_SIZE)
    cells = [
        [
            _enlarged(cell, smallest_side)
            for cell in (image, classes.colorize(truth), classes.colorize(predicted))
        ]
        for image, truth, predicted in rows
    ]
    column = max(cell.width for row in cells for cell in row)
    line = FONT_SIZE + GAP
    present = sorted(
        {int(v) for _, truth, predicted in rows for v in np.union1d(truth, predicted)}
        - {classes.ignore}
    )
    width = 3 * column + 4 * GAP
    entries = _legend(classes, present, font, width)
    legend = (entries[-1][1] + line + GAP) if entries else GAP
    height = 2 * line + sum(row[0].height + GAP for row in cells) + legend
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, 2), title, fill=INK, font=font)
    for index, heading in enumerate(("image", "truth", "prediction")):
        x = GAP + index * (column + GAP)
        draw.text((x, line), heading, fill=INK, font=font)
    y = 2 * line
    for row in cells:
        for index, cell in enumerate(row):
            picture.paste(cell, (GAP + index * (column + GAP), y))
        y += row[0].height + GAP
    for x, dy, name, color in entries:
        box = (x, y + dy + 2, x + FONT_SIZE, y + dy + 2 + FONT_SIZE)
        draw.rectangle(box, fill=color, outline=INK)
        draw.text((x + FONT_SIZE + 4, y + dy), name, fill=INK, font=font)
    return np.asarray(picture)


def _legend(
    classes: Classes, present: Sequence[int], font: Any, width: int
) -> list[tuple[int, int, str, tuple[int, int, int]]]:
    """(x, y, name, colour) of each entry, wrapped to the width."""
    entries, x, y = [], GAP, 0
    for label in present:
        name = classes.names[label]
        advance = FONT_SIZE + 4 + int(font.getlength(name)) + 2 * GAP
        if x + advance > width and x > GAP:
            x, y = GAP, y + FONT_SIZE + GAP
        entries.append((x, y, name, classes.palette[label]))
        x += advance
    return entries


def _enlarged(pixels: np.ndarray, smallest_side: int) -> Image.Image:
    picture = Image.fromarray(pixels)
    factor = max(1, round(smallest_side / picture.height))
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)
