"""Class ids of pixels by their colours.

A program that saves a picture anew may number its palette anew or store grey in fewer
bits; the colours stay. So colours count wherever those of the classes are known.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from fcn_jax.data.examples import DataError, describe_counts
from fcn_jax.data.labels import (
    IGNORE,
    VOID_COLOR,
    Color,
    colors_from,
    id_counts,
    looked_up,
)

MANY = 256  # colours that no class has, as of a photograph


def ids_of_palette(
    indices: np.ndarray,
    palette: np.ndarray,
    transparency: bytes,
    colors: tuple[Color, ...] | None,
    where: str,
) -> np.ndarray:
    """Return ids of indices into a palette: themselves where classes have no colours.

    Args:
        indices: `[H, W] uint8`, written over.
        palette: `[n, 3] uint8`.
        transparency: opacity of the first indices; of the others it is 255.
        colors: of the classes.
        where: names the label in messages.

    Raises:
        DataError: with `colors`, for indices in use that are outside the palette, other
            than 255, of a colour that no class has, or transparent.
    """
    if colors is None:
        return indices
    counts = id_counts(indices)
    if len(palette) <= IGNORE:  # 255 has no colour, so no program has numbered it anew
        counts[IGNORE] = 0
    used = np.flatnonzero(counts)
    if used.max(initial=0) >= len(palette):
        raise beyond_palette(len(palette), int(used.max()), where)
    clear = [int(i) for i in used if i < len(transparency) and transparency[i] < 255]
    if clear:
        raise transparent(f"the indices {clear}", where)
    ids = np.full(256, IGNORE, np.uint8)
    ids[: len(palette)], known = _search(palette, colors)
    unknown = used[~known[used]]
    if len(unknown):
        named: Counter[Color] = Counter()
        for color, index in zip(
            colors_from(palette[unknown].tolist()), unknown, strict=True
        ):
            named[color] += int(counts[index])
        raise _unknown_colors(named, where)
    return looked_up(ids, indices)


def ids_of_grey(
    values: np.ndarray,
    depth: int,
    colors: tuple[Color, ...] | None,
    where: str,
) -> np.ndarray:
    """Return the ids of grey values: themselves, or the classes with these greys.

    Args:
        values: `[H, W] uint8` as stored, 0..2^depth-1, written over.
        depth: bits of a value.
        colors: of the classes.
        where: names the label in messages.

    Raises:
        DataError: where both readings are possible and differ.
    """
    if colors is None:
        return values
    used = np.flatnonzero(id_counts(values))
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
    return looked_up(ids, values)


def ids_of_colors(
    bands: Iterable[np.ndarray],
    transparency: bytes,
    colors: tuple[Color, ...] | None,
    where: str,
) -> Iterator[np.ndarray]:
    """Yield ids of bands of a label, `[h, W, 3] uint8` RGB each; `[h, W] uint8`.

    Args:
        bands: of rows; all of them are looked at before a colour is called unknown.
        transparency: the colour that is transparent, two bytes a level; empty without.
        colors: of the classes.
        where: names the label in messages.

    Raises:
        DataError: without colours, for colours that no class has, and where the
            transparent colour is in use.
    """
    if colors is None:
        raise DataError(
            f"{where}: the label is an RGB image and the classes have no colours; "
            "give each line of classes.txt its colour (name red green blue), or save "
            "labels as palette or grey PNG of class ids"
        )
    clear = np.frombuffer(transparency[:6], ">u2")
    unknown: Counter[Color] = Counter()
    for pixels in bands:
        if clear.size and (pixels == clear).all(axis=-1).any():
            raise transparent(f"the colour {tuple(clear.tolist())}", where)
        ids, known = _search(pixels, colors)
        if not known.all():
            codes, counts = np.unique(_codes(pixels[~known]), return_counts=True)
            if len(codes) > MANY:
                raise _photograph(len(codes), where)
            for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
                unknown[code >> 16, (code >> 8) & 255, code & 255] += count
        yield ids
    if len(unknown) > MANY:
        raise _photograph(len(unknown), where)
    if unknown:
        raise _unknown_colors(unknown, where)


def _search(
    pixels: np.ndarray, colors: tuple[Color, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of `[..., 3] uint8` colours, and which of them have one."""
    known = {VOID_COLOR: IGNORE} | {color: i for i, color in enumerate(colors)}
    codes = _codes(np.array(list(known), np.uint8))
    order = np.argsort(codes)
    wanted = _codes(pixels)
    place = np.minimum(np.searchsorted(codes[order], wanted), len(codes) - 1)
    found = codes[order][place] == wanted
    return np.array(list(known.values()), np.uint8)[order][place], found


def _codes(pixels: np.ndarray) -> np.ndarray:
    """Return one number for each of `[..., 3] uint8` colours."""
    channels = pixels.astype(np.int32)
    return (channels[..., 0] << 16) | (channels[..., 1] << 8) | channels[..., 2]


def beyond_palette(length: int, index: int, where: str) -> DataError:
    """Return the error of an index that has no colour."""
    return DataError(
        f"{where}: its palette has {length} colours and its pixels the index {index}; "
        "save it again with the whole palette"
    )


def transparent(what: str, where: str) -> DataError:
    """Return the error of a value that is marked as transparent."""
    return DataError(
        f"{where}: {what} in use is transparent, so what it stands for is not known; "
        "save the label without transparency"
    )


def _photograph(colors: int, where: str) -> DataError:
    return DataError(
        f"{where}: the label has {colors} colours and more that no class has, as a "
        "photograph has, or a label resized with interpolation or once saved as JPEG; "
        "give the label as it was drawn"
    )


def _unknown_colors(unknown: Counter[Color], where: str) -> DataError:
    """Return the error of colours that no class has, with their numbers of pixels."""
    frequent = dict(unknown.most_common())
    return DataError(
        f"{where}: the label has colours that no class has, "
        f"{describe_counts(frequent)}; add them to classes.txt, repaint them, or paint "
        f"void {VOID_COLOR} (or give no colours in classes.txt, so that the indices of "
        "a palette are ids)"
    )
