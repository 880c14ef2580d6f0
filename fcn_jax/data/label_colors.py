"""Class ids of pixels by their colours.

A program that saves a picture anew may number its palette anew or store grey in fewer
bits; the colours stay. So colours count wherever those of the classes are known.
"""

import numpy as np

from fcn_jax.data.examples import DataError, describe_counts
from fcn_jax.data.labels import IGNORE, VOID_COLOR, Color


def ids_of_palette(
    indices: np.ndarray,
    levels: list[int] | None,
    colors: tuple[Color, ...] | None,
    where: str,
) -> np.ndarray:
    """Ids of `[H, W] uint8` indices into a palette of `levels`, three a colour."""
    if colors is None:
        return indices
    palette = np.array(levels or (), np.uint8).reshape(-1, 3)
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    if used.max(initial=0) >= len(palette):
        raise DataError(
            f"{where}: its palette has {len(palette)} colours and its pixels the index "
            f"{used.max()}; save it again"
        )
    ids = np.zeros(256, np.uint8)
    ids[: len(palette)], known = _search(palette, colors)
    if not known[used].all():
        raise _unknown_colors(palette[indices[~known[indices]]], where)
    return ids[indices]


def ids_of_grey(
    values: np.ndarray, depth: int, colors: tuple[Color, ...] | None, where: str
) -> np.ndarray:
    """Ids of `[H, W] uint8` stored values, as themselves or as grey colours."""
    if colors is None:
        return values
    used = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    greys = (np.arange(2**depth) * (255 // (2**depth - 1))).astype(np.uint8)
    ids, known = _search(np.repeat(greys[:, None], 3, axis=1), colors)
    if not known[used].all() or (ids[used] == used).all():
        return values
    if ((used < len(colors)) | (used == IGNORE)).all():
        raise DataError(
            f"{where}: the grey values {used.tolist()} are class ids, and as greys the "
            f"colours of the classes {ids[used].tolist()}; save it as a palette or RGB "
            "PNG, whose colours count, or give no colours in classes.txt, so that "
            "values are ids"
        )
    return ids[values]


def ids_of_colors(
    pixels: np.ndarray, colors: tuple[Color, ...] | None, where: str
) -> np.ndarray:
    """Ids of `[H, W, 3] uint8` colours."""
    if colors is None:
        raise DataError(
            f"{where}: the label is an RGB image and the classes have no colours; "
            "give each line of classes.txt its colour (name red green blue), or save "
            "labels as palette or grey PNG of class ids"
        )
    ids, known = _search(pixels, colors)
    if not known.all():
        raise _unknown_colors(pixels[~known], where)
    return ids


def _search(
    pixels: np.ndarray, colors: tuple[Color, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The ids of `[..., 3] uint8` colours, and which of them have one."""
    known = {VOID_COLOR: IGNORE} | {color: i for i, color in enumerate(colors)}
    codes = _codes(np.array(list(known), np.uint8))
    order = np.argsort(codes)
    wanted = _codes(pixels)
    place = np.minimum(np.searchsorted(codes[order], wanted), len(codes) - 1)
    found = codes[order][place] == wanted
    return np.array(list(known.values()), np.uint8)[order][place], found


def _codes(pixels: np.ndarray) -> np.ndarray:
    """One number for each of `[..., 3] uint8` colours."""
    channels = pixels.astype(np.int32)
    return (channels[..., 0] << 16) | (channels[..., 1] << 8) | channels[..., 2]


def _unknown_colors(pixels: np.ndarray, where: str) -> DataError:
    """The error of `[n, 3] uint8` pixels whose colours no class has."""
    unknown, counts = np.unique(_codes(pixels), return_counts=True)
    named = {
        (int(code) >> 16, (int(code) >> 8) & 255, int(code) & 255): int(n)
        for code, n in zip(unknown, counts, strict=True)
    }
    return DataError(
        f"{where}: the label has colours that no class has, {describe_counts(named)}; "
        f"add them to classes.txt, repaint them, or paint void {VOID_COLOR} (or give "
        "no colours in classes.txt, so that the indices of a palette are the ids)"
    )
