"""Reading pictures and label maps from PNG and JPEG, refusing what would go wrong.

Pillow clips 16-bit colour, stretches 4-bit grey, decodes a GIF named .jpg and ignores
EXIF rotation, all in silence; a palette label turned into grey gets the wrong ids. Here
pixels come out as stored or an error names the file.
"""

import contextlib
import dataclasses
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from absl import logging
from PIL import ExifTags, Image, ImageFile, ImageOps

from fcn_jax.data import png
from fcn_jax.data.examples import DataError
from fcn_jax.data.label_colors import ids_of_colors, ids_of_grey, ids_of_palette
from fcn_jax.data.labels import IGNORE, Color

MAX_PIXELS = 64 * 2**20  # checked on the header, before a pixel is decoded

COLOR_FORMATS = ("JPEG", "PNG")
LABEL_FORMATS = ("PNG",)  # JPEG changes ids

# What Pillow raises on damaged files, besides its own errors (all OSError); it warns of
# a damaged EXIF block, which is an error where warnings are.
_DAMAGED = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, UserWarning),
    zlib.error,
)
_CONVERTED = ("1", "L", "LA", "P", "RGBA", "CMYK")


def read_color(
    source: Path | bytes,
    *,
    where: str,
    max_pixels: int = MAX_PIXELS,
    rotate: bool = False,
) -> np.ndarray:
    """Reads a JPEG or PNG as RGB.

    Grey becomes three equal channels, alpha is dropped and CMYK converted; each is said
    once a process in the log.

    Args:
      source: a file or its bytes.
      where: names the picture in messages.
      max_pixels: height x width above which the file is refused undecoded.
      rotate: turn the picture upright as its EXIF tag asks, instead of refusing it;
        only for pictures without labels.

    Returns:
      `[H, W, 3] uint8`.

    Raises:
      DataError: for other formats, damaged or truncated files, 16-bit colour, an EXIF
        rotation, or more than `max_pixels`.
    """
    with _opened(source, COLOR_FORMATS, where, max_pixels) as (image, depth):
        if depth == 16 or image.mode.startswith(("I", "F")):
            raise DataError(
                f"{where}: 16 bits a channel; convert it to 8 bits, so that it is you "
                "who chooses how its values are scaled"
            )
        image.load()
        if rotate:
            image = ImageOps.exif_transpose(image)
        _refuse_rotation(image, where)
        if image.mode == "RGB":
            return np.array(image)
        if image.mode not in _CONVERTED:
            raise DataError(
                f"{where}: colour mode {image.mode}; "
                f"allowed are RGB and {', '.join(_CONVERTED)}"
            )
        _say_once(image.mode, where)
        if image.mode == "P":  # Pillow warns of palettes with alpha otherwise
            image = image.convert("RGBA")
        return np.array(image.convert("RGB"))


def read_label(
    source: Path | bytes,
    *,
    where: str,
    colors: tuple[Color, ...] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Reads a label PNG as class ids.

    Without `colors` palette images give their indices and grey ones (1, 2, 4, 8 or 16
    bits) their values, exactly as stored.

    With `colors` palette and RGB images give the ids of their colours, with
    (224, 224, 192) for 255: programs that save a picture anew may number its palette
    anew, and the colours stay. Grey images give their values, or the ids of their
    greys where only these are classes; where both are, and differ, nobody can know.

    Args:
      source: a file or its bytes.
      where: names the label in messages.
      colors: colour of each id, which RGB labels need; None where classes have none.
      max_pixels: height x width above which the file is refused undecoded.

    Returns:
      `[H, W] uint8`; ids are not yet checked against the classes.

    Raises:
      DataError: for other formats or modes, damaged files, an EXIF rotation, 16-bit ids
        above 255, RGB without `colors`, a colour that is not among `colors`, and grey
        that can be read in two ways.
    """
    with _opened(source, LABEL_FORMATS, where, max_pixels) as (image, depth):
        image.load()
        _refuse_rotation(image, where)
        if image.mode == "P":
            indices = np.array(image)
            return ids_of_palette(indices, image.getpalette(), colors, where)
        if image.mode in ("1", "L"):
            # Pillow stretches 2 and 4 bits over 0..255; an id is what was stored.
            step = 255 // (2**depth - 1) if image.mode == "L" else 1
            return ids_of_grey(np.array(image, np.uint8) // step, depth, colors, where)
        if image.mode.startswith("I"):
            return _narrowed(np.array(image), where)
        if image.mode == "RGB" and depth == 8:
            return ids_of_colors(np.array(image), colors, where)
        raise DataError(
            f"{where}: a label of mode {image.mode} with {depth} bits; save it as a "
            "palette or grey PNG of class ids, or as an RGB PNG without alpha"
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
    """How a label PNG stores its values, from its header alone.

    Args:
      source: a file or its bytes.
      where: names the label in messages.

    Raises:
      DataError: for other formats, or a damaged header.
    """
    try:
        with _stream(source) as stream:
            found = png.read_header(stream)
        kind = _KINDS[found.color_type]
    except FileNotFoundError as error:
        raise DataError(f"{where}: there is no file {source}") from error
    except (png.PngError, KeyError) as error:
        raise DataError(
            f"{where}: its header cannot be read as that of a PNG ({error}); save it "
            "as PNG, or fetch it again"
        ) from error
    return LabelEncoding(kind, found.depth, found.palette)


def read_depth(source: Path | bytes, *, where: str) -> np.ndarray:
    """Reads a 16-bit PNG of distances.

    Args:
      source: a file or its bytes.
      where: names the picture in messages.

    Returns:
      `[H, W, 1] uint16`, millimetres, all above 0.

    Raises:
      DataError: for other formats and depths, a damaged file, or pixels without a
        distance, which have no logarithm; with their number.
    """
    with _opened(source, LABEL_FORMATS, where, MAX_PIXELS) as (image, depth):
        if depth != 16 or not image.mode.startswith("I"):
            raise DataError(
                f"{where}: {depth} bits a pixel, mode {image.mode}; depth is a grey PNG of "
                "16 bits, in millimetres"
            )
        pixels = np.asarray(image).astype(np.uint16)
    holes = int((pixels == 0).sum())
    if holes:
        raise DataError(
            f"{where}: {holes} of {pixels.size} pixels are 0, which have no logarithm; "
            "take the in-painted depth, or fill the holes first"
        )
    return pixels[:, :, None]


def image_size(
    source: Path | bytes, *, where: str, max_pixels: int = MAX_PIXELS
) -> tuple[int, int]:
    """(height, width) of a JPEG or PNG, from its header alone.

    Raises:
      DataError: for other formats, or more than `max_pixels`.
    """
    with _opened(source, COLOR_FORMATS, where, max_pixels) as (image, _):
        return image.height, image.width


@contextlib.contextmanager
def _opened(
    source: Path | bytes, formats: tuple[str, ...], where: str, max_pixels: int
) -> Iterator[tuple[Image.Image, int]]:
    """An image whose header is in order, and the bits of each of its channels."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise DataError(
            f"{where}: PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, with which half a "
            "file counts as an image; unset it"
        )
    try:
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(_stream(source))
            head = stream.read(32)
            stream.seek(0)
            image = stack.enter_context(_identified(stream, formats, head, where))
            if image.width * image.height > max_pixels:
                raise DataError(
                    f"{where}: {image.width}x{image.height} pixels, more than the "
                    f"{max_pixels} allowed; cut it into tiles"
                )
            # Bit depth is byte 24 of a PNG; JPEG files that Pillow opens have 8 bits.
            is_png = head.startswith(png.SIGNATURE)
            yield image, head[24] if is_png else 8
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{where}: there is no file {source}") from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system's: no permission, a directory
        raise DataError(
            f"{where}: cannot be decoded ({error}); the file is damaged or cut short, "
            "so fetch it again"
        ) from error


def _stream(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _identified(
    stream: BinaryIO, formats: tuple[str, ...], head: bytes, where: str
) -> Image.Image:
    try:
        return Image.open(stream, formats=formats)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(
            f"{where}: {error}; cut the image into tiles of at most {MAX_PIXELS} pixels"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise DataError(
            f"{where}: not a readable {' or '.join(formats)} file, whatever its name "
            f"(it begins with {head[:8]!r}); save it as {formats[-1]}"
        ) from error


def _refuse_rotation(image: Image.Image, where: str) -> None:
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation != 1:
        raise DataError(
            f"{where}: its EXIF tag asks for a rotation (orientation {orientation}), "
            "which labels drawn on the stored pixels do not follow; rotate the pixels "
            "themselves, check that image and label agree, and remove the tag"
        )


def _say_once(mode: str, where: str) -> None:
    """Logs the first image of each kind of conversion."""
    if mode == "CMYK":
        text = "%s is CMYK; converted to RGB without a profile, as all such images"
        logging.log_first_n(logging.WARNING, text, 1, where)
    elif mode in ("LA", "RGBA"):
        text = "%s has an alpha channel; dropped, as for all such images"
        logging.log_first_n(logging.WARNING, text, 1, where)
    elif mode == "P":
        text = "%s has a palette; its colours are looked up, as for all such images"
        logging.log_first_n(logging.WARNING, text, 1, where)
    else:
        text = "%s is grey; repeated over three channels, as all such images"
        logging.log_first_n(logging.WARNING, text, 1, where)


def _narrowed(ids: np.ndarray, where: str) -> np.ndarray:
    if ids.max(initial=0) > IGNORE or ids.min(initial=0) < 0:
        raise DataError(
            f"{where}: 16-bit label with ids {ids.min()}..{ids.max()}; "
            "ids go up to 254, and 255 is ignored"
        )
    return ids.astype(np.uint8)
