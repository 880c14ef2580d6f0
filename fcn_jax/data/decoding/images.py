"""Reading pictures and label maps, refusing what would go wrong.

Pillow clips 16-bit colour, stretches 4-bit grey, decodes a GIF named .jpg and ignores
EXIF rotation, all in silence; a palette label turned into grey gets the wrong ids. Here
pixels come out as stored or an error names the file.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import logging
from PIL import Image

from fcn_jax.data.decoding import png
from fcn_jax.data.decoding.image_files import (
    MAX_PIXELS,
    Decoded,
    decode,
    png_header,
    size_of,
    upright,
)
from fcn_jax.data.decoding.label_colors import (
    beyond_palette,
    ids_of_colors,
    ids_of_grey,
    ids_of_palette,
    transparent,
)
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import IGNORE, Color

COLOR_FORMATS = ("JPEG", "PNG")
PICTURE_FORMATS = (*COLOR_FORMATS, "TIFF", "BMP", "WEBP")  # where there is no label
LABEL_FORMATS = ("PNG",)  # JPEG changes ids

_CONVERTED = ("1", "L", "LA", "P", "PA", "RGBA", "CMYK")
_BAND = 2**20  # pixels that are converted at once


def read_color(
    source: Path | bytes,
    *,
    where: str,
    max_pixels: int = MAX_PIXELS,
    rotate: bool = False,
    formats: tuple[str, ...] = COLOR_FORMATS,
) -> np.ndarray:
    """Read a JPEG or PNG as RGB.

    Grey becomes three equal channels, alpha is dropped and CMYK converted; each is said
    once a process in the log. Colour profiles are not applied.

    Args:
        source: a file or its bytes.
        where: names the picture in messages.
        max_pixels: height x width above which the file is refused undecoded.
        rotate: turn the picture upright as its EXIF tag asks, instead of refusing it;
            only for pictures without labels. A tag without meaning is no rotation.
        formats: that are allowed, of `PICTURE_FORMATS`.

    Returns:
        `[H, W, 3] uint8`.

    Raises:
        DataError: for other formats, damaged or truncated files, animations, more than
            8 bits a channel, an EXIF rotation, more than `max_pixels`, or far more than
            a file of its size may hold.
    """
    found = decode(source, formats, where=where, max_pixels=max_pixels, result_bytes=3)
    if found.depth > 8 or found.image.mode.startswith(("I", "F")):
        raise DataError(
            f"{where}: {found.depth} bits a channel; convert it to 8 bits, so that it "
            "is you who chooses how its values are scaled"
        )
    if not rotate:
        _refuse_rotation(found, where)
    if found.image.mode not in ("RGB", *_CONVERTED):
        raise DataError(
            f"{where}: colour mode {found.image.mode}; "
            f"allowed are RGB and {', '.join(_CONVERTED)}"
        )
    if found.image.mode == "P":
        length = len(found.image.getpalette() or ()) // 3
        largest = int(np.max(found.image.getextrema()))
        if largest >= length:
            raise beyond_palette(length, largest, where)
    _say_once(found, where)
    pixels = _joined(map(_rgb, _bands(found.image)), found.image.height)
    return upright(pixels, found.orientation if rotate else 1)


def read_label(
    source: Path | bytes,
    *,
    where: str,
    colors: tuple[Color, ...] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Read a label PNG as class ids.

    Without `colors` palette images give their indices and grey ones (1, 2, 4, 8 or 16
    bits) their values, exactly as stored.

    With `colors` palette and RGB images give the ids of their colours, with
    (224, 224, 192) for 255: programs that save a picture anew may number its palette
    anew, and the colours stay. Grey images give their values, or the ids of their
    greys where only these are classes; where both are, and differ, nobody can know.

    An alpha channel has to be opaque: what colour lies below transparency is chance.

    Args:
        source: a file or its bytes.
        where: names the label in messages.
        colors: colour of each id, which RGB labels need; None where classes have none.
        max_pixels: height x width above which the file is refused undecoded.

    Returns:
        `[H, W] uint8`; ids are not yet checked against the classes.

    Raises:
        DataError: for other formats or modes, damaged files, an EXIF rotation, 16-bit
            ids above 255, RGB without `colors`, a colour that is not among `colors`,
            grey that can be read in two ways, or transparent pixels.
    """
    found = decode(
        source, LABEL_FORMATS, where=where, max_pixels=max_pixels, result_bytes=1
    )
    _refuse_rotation(found, where)
    image, depth, transparency = found.image, found.depth, found.transparency
    alpha = image.mode in ("LA", "RGBA")
    if alpha and image.getextrema()[-1] != (255, 255):
        raise DataError(
            f"{where}: a label with transparent pixels, whose colours mean nothing; "
            "save it without transparency, and void as a class id or colour of its own"
        )
    if image.mode == "P":
        palette = np.array(image.getpalette() or (), np.uint8).reshape(-1, 3)
        indices = _joined(map(_first_channel, _bands(image)), image.height)
        return ids_of_palette(indices, palette, transparency, colors, where)
    if image.mode in ("1", "L", "LA", "I;16", "I") and not (alpha and depth == 16):
        return _ids_of_grey_image(found, colors, where)
    if image.mode in ("RGB", "RGBA") and depth == 8:
        ids = ids_of_colors(map(_rgb, _bands(image)), transparency, colors, where)
        return _joined(ids, image.height)
    raise DataError(
        f"{where}: a label of mode {image.mode} with {depth} bits; save it as a "
        "palette or grey PNG of class ids, or as an RGB PNG of 8 bits"
    )


@dataclasses.dataclass(frozen=True)
class LabelEncoding:
    """How a label PNG stores its values.

    Labels of one data set that differ in it do not share a meaning of their values: a
    program that saved some of them anew has numbered the palette anew, or has turned
    the grey levels 0 and 255 into 0 and 1 of one bit.

    Attributes:
        kind: "palette" (indices), "grey" (values), "color" (RGB), "grey with alpha" or
            "color with alpha".
        depth: bits of an index or a channel: 1, 2, 4, 8 or 16.
        palette: `(red, green, blue)` of each index as stored; empty for other kinds.
    """

    kind: str
    depth: int
    palette: tuple[Color, ...]


_KINDS = {
    png.GREY: "grey",
    png.COLOR: "color",
    png.PALETTE: "palette",
    png.GREY_ALPHA: "grey with alpha",
    png.COLOR_ALPHA: "color with alpha",
}


def label_encoding(source: Path | bytes, *, where: str) -> LabelEncoding:
    """Tell how a label PNG stores its values, from its header alone.

    Args:
        source: a file or its bytes.
        where: names the label in messages.

    Raises:
        DataError: for other formats, or a damaged header.
    """
    found = png_header(source, where=where)
    return LabelEncoding(_KINDS[found.color_type], found.depth, found.palette)


def read_depth(source: Path | bytes, *, where: str) -> np.ndarray:
    """Read a 16-bit PNG of distances.

    Args:
        source: a file or its bytes.
        where: names the picture in messages.

    Returns:
        `[H, W, 1] uint16`, millimetres, all above 0.

    Raises:
        DataError: for other formats and depths, a damaged file, or pixels without a
            distance, which have no logarithm; with their number.
    """
    found = decode(
        source, LABEL_FORMATS, where=where, max_pixels=MAX_PIXELS, result_bytes=4
    )
    if found.depth != 16 or not found.image.mode.startswith("I"):
        raise DataError(
            f"{where}: {found.depth} bits a pixel, mode {found.image.mode}; depth is a "
            "grey PNG of 16 bits, in millimetres"
        )
    pixels = np.asarray(found.image).astype(np.uint16)
    holes = int((pixels == 0).sum())
    if holes:
        raise DataError(
            f"{where}: {holes} of {pixels.size} pixels are 0, which have no logarithm; "
            "take the in-painted depth, or fill the holes first"
        )
    return pixels[:, :, None]


def image_size(
    source: Path | bytes,
    *,
    where: str,
    max_pixels: int = MAX_PIXELS,
    rotate: bool = False,
    formats: tuple[str, ...] = COLOR_FORMATS,
) -> tuple[int, int]:
    """Return (height, width) that `read_color` would give, from the header alone.

    The tag of a PNG is found only where it precedes the pixels.

    Raises:
        DataError: for other formats, or more than `max_pixels`.
    """
    height, width, orientation = size_of(
        source, formats, where=where, max_pixels=max_pixels
    )
    return (width, height) if rotate and orientation >= 5 else (height, width)


def _bands(image: Image.Image) -> Iterator[Image.Image]:
    """Yield the image in bands of rows, from the top.

    Whole images between Pillow's and ours would double the memory of large ones.
    """
    rows = max(1, _BAND // image.width)
    if rows >= image.height:
        yield image
        return
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield image.crop((0, top, image.width, bottom))


def _joined(bands: Iterator[np.ndarray], height: int) -> np.ndarray:
    """Return bands of rows as one array, each written to its place as it comes."""
    pixels = next(bands)
    if len(first := pixels) < height:
        pixels = np.empty((height, *first.shape[1:]), first.dtype)
        pixels[: len(first)] = first
    top = len(first)
    for band in bands:
        pixels[top : top + len(band)] = band
        top += len(band)
    return pixels


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "P":  # Pillow warns of palettes with alpha otherwise
        image = image.convert("RGBA")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _first_channel(image: Image.Image) -> np.ndarray:
    values = np.array(image if len(image.getbands()) == 1 else image.getchannel(0))
    return values.astype(np.uint8) if image.mode == "1" else values


def _refuse_rotation(found: Decoded, where: str) -> None:
    if found.orientation != 1:
        raise DataError(
            f"{where}: its EXIF tag asks for a rotation (orientation "
            f"{found.orientation}), which labels drawn on the stored pixels do not "
            "follow; rotate the pixels themselves, check that image and label agree, "
            "and remove the tag"
        )


def _say_once(found: Decoded, where: str) -> None:
    """Log the first image of each kind of conversion."""
    mode = found.image.mode
    if mode == "CMYK":
        text = "%s is CMYK; converted to RGB without a profile, as all such images"
        logging.log_first_n(logging.WARNING, text, 1, where)
    elif mode in ("LA", "PA", "RGBA") or (mode == "RGB" and found.transparency):
        text = "%s has an alpha channel; dropped, as for all such images"
        logging.log_first_n(logging.WARNING, text, 1, where)
    elif mode == "P":
        text = "%s has a palette; its colours are looked up, as for all such images"
        logging.log_first_n(logging.WARNING, text, 1, where)
    elif mode != "RGB":
        text = "%s is grey; repeated over three channels, as all such images"
        logging.log_first_n(logging.WARNING, text, 1, where)


def _ids_of_grey_image(
    found: Decoded, colors: tuple[Color, ...] | None, where: str
) -> np.ndarray:
    image, depth = found.image, found.depth
    values = _joined(map(_first_channel, _bands(image)), image.height)
    if image.mode == "L" and depth < 8:
        # Pillow stretches 2 and 4 bits over 0..255; an id is what was stored.
        values //= np.uint8(255 // (2**depth - 1))
    clear = int.from_bytes(found.transparency[:2], "big")
    if found.transparency and (values == clear).any():
        raise transparent(f"the value {clear}", where)
    if depth == 16:
        return _narrowed(values, where)
    return ids_of_grey(values, depth, colors, where)


def _narrowed(ids: np.ndarray, where: str) -> np.ndarray:
    if ids.max(initial=0) > IGNORE or ids.min(initial=0) < 0:
        raise DataError(
            f"{where}: 16-bit label with ids {ids.min()}..{ids.max()}; "
            "ids go up to 254, and 255 is ignored; `python -m fcn_jax.data import` with "
            "--map=VALUE:NAME,... makes ids of other values"
        )
    return ids.astype(np.uint8)
