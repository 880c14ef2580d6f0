"""A contact sheet: many images of a data set with their labels as overlays."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fcn_jax.data.labels import VOID_COLOR, Classes
from fcn_jax.report.panels import FONT_SIZE, GAP, INK, PAPER, overlay

HEIGHT, WIDTH = 165, 220  # largest size of an image on the sheet, in pixels
SHEET_WIDTH = 1400
LINE = FONT_SIZE + GAP

Entry = tuple[str, Mapping[str, np.ndarray], Mapping[str, np.ndarray]]
"""Name, inputs `[H, W, 3] uint8` or `[H, W, 1]`, label maps `[H, W] uint8`, by key."""


def contact_sheet(
    entries: Sequence[Entry], outputs: Mapping[str, Classes], *, title: str
) -> np.ndarray:
    """Draw each example as a row of its inputs and labels, and a legend below.

    Args:
        entries: the examples, at least one, all with the same keys.
        outputs: classes of each label map.
        title: first line of the sheet.

    Returns:
        `[H, W, 3] uint8`.
    """
    font = ImageFont.load_default(FONT_SIZE)
    grid = _grid(entries, outputs, font)
    width = max(grid.width, int(font.getlength(title)) + 2 * GAP)
    heading = Image.new("RGB", (width, LINE + GAP), PAPER)
    ImageDraw.Draw(heading).text((GAP, 2), title, fill=INK, font=font)
    strips = [heading, grid]
    for key, classes in outputs.items():
        ids = {int(v) for *_, labels in entries for v in np.unique(labels[key])}
        strips.append(_legend(key, sorted(ids), classes, font, width))
    sheet = Image.new("RGB", (width, sum(strip.height for strip in strips)), PAPER)
    y = 0
    for strip in strips:
        sheet.paste(strip, (0, y))
        y += strip.height
    return np.asarray(sheet)


def _grid(
    entries: Sequence[Entry], outputs: Mapping[str, Classes], font: Any
) -> Image.Image:
    """Place the examples in columns, each with its name above it."""
    cells = [_cell(inputs, labels, outputs) for _, inputs, labels in entries]
    widest = max(part.width for cell in cells for part in cell) + GAP
    width = len(cells[0]) * widest + GAP
    height = LINE + max(part.height for cell in cells for part in cell) + GAP
    columns = max(1, min(len(cells), SHEET_WIDTH // width))
    rows = math.ceil(len(cells) / columns)
    picture = Image.new("RGB", (columns * width, rows * height), PAPER)
    draw = ImageDraw.Draw(picture)
    for index, ((name, _, _), cell) in enumerate(zip(entries, cells, strict=True)):
        row, column = divmod(index, columns)
        x, y = GAP + column * width, row * height
        draw.text((x, y), cut(name, font, width - GAP), fill=INK, font=font)
        for part, image in enumerate(cell):
            picture.paste(image, (x + part * widest, y + LINE))
    return picture


def _cell(
    inputs: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    outputs: Mapping[str, Classes],
) -> list[Image.Image]:
    """The inputs, then each label map over the first of them."""
    shown = [_visible(pixels) for pixels in inputs.values()]
    shown += [overlay(shown[0], labels[key], outputs[key]) for key in outputs]
    return [_fitted(pixels) for pixels in shown]


def _visible(pixels: np.ndarray) -> np.ndarray:
    """As `[H, W, 3] uint8`; one channel is stretched from minimum to maximum."""
    if pixels.shape[-1] == 3:
        return pixels
    values = pixels.astype(np.float64)
    values -= values.min()
    grey = (values * (255 / max(values.max(), 1))).round().astype(np.uint8)
    return np.repeat(grey, 3, axis=-1)


def _fitted(pixels: np.ndarray) -> Image.Image:
    """Resize to the largest size; pixels are enlarged as squares."""
    picture = Image.fromarray(pixels)
    factor = min(HEIGHT / picture.height, WIDTH / picture.width)
    method = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    size = (round(picture.width * factor), round(picture.height * factor))
    return picture.resize((max(1, size[0]), max(1, size[1])), method)


def _legend(
    heading: str, ids: Sequence[int], classes: Classes, font: Any, width: int
) -> Image.Image:
    """The classes that occur, in columns."""
    shown = [
        ("(ignored)", VOID_COLOR)
        if i == classes.ignore
        else (classes.names[i], classes.palette[i])
        for i in ids
    ]
    advance = max(int(font.getlength(name)) for name, _ in shown) + LINE + 2 * GAP
    columns = max(1, (width - GAP) // advance)
    lines = 1 + math.ceil(len(shown) / columns)
    picture = Image.new("RGB", (width, lines * LINE + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, 0), heading, fill=INK, font=font)
    for index, (name, color) in enumerate(shown):
        row, column = divmod(index, columns)
        x, y = GAP + column * advance, (1 + row) * LINE
        box = (x, y + 2, x + FONT_SIZE, y + 2 + FONT_SIZE)
        draw.rectangle(box, fill=color, outline=INK)
        draw.text((x + LINE, y), name, fill=INK, font=font)
    return picture


def cut(text: str, font: Any, width: int) -> str:
    """Return the text, shortened until it is no wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
