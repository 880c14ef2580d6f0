"""Reading masks as the values or the colours that they store.

A mask is one number a pixel: a grey value or palette index as stored (0..65535), or a
colour as `COLOR + red * 65536 + green * 256 + blue`.
"""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from fcn_jax.data.decoding.image_files import MAX_PIXELS, decode, size_of
from fcn_jax.data.decoding.images import PICTURE_FORMATS
from fcn_jax.data.decoding.metadata import UPRIGHT
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import Color

COLOR = 2**24
MAX_DISTINCT = 4096  # values of one mask; a photograph has more

FORMATS = (*PICTURE_FORMATS, "GIF")
LOSSY = ("JPEG", "WEBP")


@dataclasses.dataclass(frozen=True)
class Mask:
    """A mask as stored.

    Attributes:
        stored: `[H, W] int32`, values or, of colour masks, colours.
        kind: "grey", "palette" or "colour".
        bits: of a grey value; 8 for the other kinds.
        palette: `[256] int32`, the colour of each index; only of palette masks.
        lossy: whether the format changes values.
    """

    stored: np.ndarray
    kind: str
    bits: int
    palette: np.ndarray | None
    lossy: bool

    def colors(self) -> np.ndarray:
        """Return the colour of each pixel, `[H, W] int32`; a grey has three equal channels."""
        if self.kind == "colour":
            return self.stored
        if self.palette is not None:
            return self.palette[self.stored]
        level = self.stored * 255 // (2**self.bits - 1)
        return COLOR + level * 0x010101

    def values(self) -> np.ndarray | None:
        """Return the grey of each pixel, `[H, W] int32`; None if any is coloured."""
        if self.kind != "colour":
            return self.stored
        level = self.stored & 255
        return level if (self.stored == COLOR + level * 0x010101).all() else None


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a mask holds.

    Attributes:
        kind: "grey", "palette" or "colour".
        bits: of a grey value.
        values: pixels by value; None where its colours are no greys.
        colors: pixels by colour.
        color_of: the colour of each value that occurs.
        lossy: whether its format changes values.
    """

    kind: str
    bits: int
    values: Counter[int] | None
    colors: Counter[int]
    color_of: dict[int, int]
    lossy: bool


def color_code(color: Color) -> int:
    """Return a colour as one number."""
    return COLOR + (color[0] << 16) + (color[1] << 8) + color[2]


def code_color(code: int) -> Color:
    """Return the inverse of `color_code`."""
    return (code >> 16) & 255, (code >> 8) & 255, code & 255


def spoken(code: int) -> str:
    """Return a value, or a colour as `#rrggbb`, as options take it."""
    return str(code) if code < COLOR else f"#{code - COLOR:06x}"


def read_mask(path: Path, where: str) -> Mask:
    """Read a mask as stored.

    Args:
        path: PNG, TIFF, BMP, GIF, WebP or JPEG.
        where: names it in messages.

    Raises:
        DataError: for a damaged file, wrong checksums, several frames, transparent
            pixels, fractions, or 16 bits a colour.
    """
    found = decode(path, FORMATS, where=where, max_pixels=MAX_PIXELS, result_bytes=1)
    if found.orientation != UPRIGHT:
        raise DataError(
            f"{where}: a mask with an EXIF rotation, which tools follow or not; turn its "
            "pixels and remove the tag"
        )
    lossy = found.image.format in LOSSY
    image = _opaque(found.image, where)
    pixels = np.asarray(image)
    if image.mode == "P":
        return Mask(pixels.astype(np.int32), "palette", 8, _palette(image), lossy)
    if image.mode == "RGB" and found.depth == 8:
        wide = pixels.astype(np.int32)
        codes = COLOR + (wide[..., 0] << 16) + (wide[..., 1] << 8) + wide[..., 2]
        return Mask(codes, "colour", 8, None, lossy)
    if image.mode in ("1", "L"):
        bits = 1 if image.mode == "1" else found.depth
        # Pillow stretches 2 and 4 bits over 0..255; a value is what was stored.
        stretch = 1 if image.mode == "1" else 255 // (2**bits - 1)
        return Mask(pixels.astype(np.int32) // stretch, "grey", bits, None, lossy)
    if image.mode.startswith("I"):
        return Mask(_wide(pixels, where), "grey", 16, None, lossy)
    raise DataError(
        f"{where}: a mask of mode {image.mode} with {found.depth} bits a channel; save it as "
        "grey, palette or RGB of 8 bits"
    )


def mask_size(path: Path, where: str) -> tuple[int, int]:
    """Return (height, width), from the header."""
    height, width, _ = size_of(path, FORMATS, where=where, max_pixels=MAX_PIXELS)
    return height, width


def survey(path: Path, where: str) -> Survey:
    """Count what a mask holds.

    Raises:
        DataError: as `read_mask`, and for more than 4,096 values, a photograph.
    """
    mask = read_mask(path, where)
    ids, first, counts = np.unique(mask.stored, return_index=True, return_counts=True)
    if len(ids) > MAX_DISTINCT:
        raise DataError(
            f"{where}: {len(ids)} different values, as a photograph has; it is no mask, or "
            "was saved with blurred edges"
        )
    seen = [int(code) for code in mask.colors().ravel()[first]]
    colors: Counter[int] = Counter()
    for color, count in zip(seen, counts, strict=True):
        colors[color] += int(count)
    values = mask.values()
    if values is None:
        return Survey(mask.kind, mask.bits, None, colors, {}, mask.lossy)
    found = [int(value) for value in values.ravel()[first]]
    return Survey(
        kind=mask.kind,
        bits=mask.bits,
        values=Counter({value: int(n) for value, n in zip(found, counts, strict=True)}),
        colors=colors,
        color_of=dict(zip(found, seen, strict=True)),
        lossy=mask.lossy,
    )


def _opaque(image: Image.Image, where: str) -> Image.Image:
    if image.mode not in ("LA", "RGBA", "PA"):
        return image
    alpha = np.asarray(image.getchannel("A"))
    if (alpha != 255).any():
        raise DataError(
            f"{where}: {int((alpha != 255).sum())} pixels are transparent, and nothing "
            "says what these are; save it without alpha"
        )
    return image.convert({"LA": "L", "RGBA": "RGB", "PA": "P"}[image.mode])


def _palette(image: Image.Image) -> np.ndarray:
    levels = np.zeros(768, np.int32)
    given = (image.getpalette("RGB") or [])[:768]
    levels[: len(given)] = given
    red, green, blue = levels.reshape(-1, 3).T
    return COLOR + (red << 16) + (green << 8) + blue


def _wide(pixels: np.ndarray, where: str) -> np.ndarray:
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
        raise DataError(
            f"{where}: values {pixels.min()}..{pixels.max()}; a mask has 0..65535"
        )
    return pixels.astype(np.int32)
