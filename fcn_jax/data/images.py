"""Reading pictures and label maps from PNG and JPEG, refusing what would go wrong.

Pillow clips 16-bit colour, stretches 4-bit grey, decodes a GIF named .jpg and ignores
EXIF rotation, all in silence; a palette label turned into grey gets the wrong ids. Here
pixels come out as stored or an error names the file.
"""

import contextlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from absl import logging
from PIL import ExifTags, Image, ImageFile, ImageOps

from fcn_jax.data.examples import DataError, describe_counts
from fcn_jax.data.labels import IGNORE, VOID_COLOR, Color

MAX_PIXELS = 64 * 2**20  # checked on the header, before a pixel is decoded

COLOR_FORMATS = ("JPEG", "PNG")
LABEL_FORMATS = ("PNG",)  # JPEG changes ids

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
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
    """Reads a label PNG as class ids, exactly as stored.

    Palette images give their indices, grey ones (1, 2, 4, 8 or 16 bits) their values,
    RGB ones the ids of their colours, with (224, 224, 192) for 255.

    Args:
      source: a file or its bytes.
      where: names the label in messages.
      colors: colour of each id, which RGB labels need.
      max_pixels: height x width above which the file is refused undecoded.

    Returns:
      `[H, W] uint8`; ids are not yet checked against the classes.

    Raises:
      DataError: for other formats or modes, damaged files, an EXIF rotation, 16-bit ids
        above 255, RGB without `colors` or with a colour that is not among them.
    """
    with _opened(source, LABEL_FORMATS, where, max_pixels) as (image, depth):
        image.load()
        _refuse_rotation(image, where)
        if image.mode in ("P", "1"):
            return np.array(image, np.uint8)
        if image.mode == "L":
            # Pillow stretches 2 and 4 bits over 0..255; an id is what was stored.
            return np.array(image) // np.uint8(255 // (2**depth - 1))
        if image.mode.startswith("I"):
            return _narrowed(np.array(image), where)
        if image.mode == "RGB" and depth == 8:
            return _ids_of_colors(np.array(image), colors, where)
        raise DataError(
            f"{where}: a label of mode {image.mode} with {depth} bits; save it as a "
            "palette or grey PNG of class ids, or as an RGB PNG without alpha"
        )


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
            stream = stack.enter_context(
                io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
            )
            head = stream.read(32)
            stream.seek(0)
            image = stack.enter_context(_identified(stream, formats, head, where))
            if image.width * image.height > max_pixels:
                raise DataError(
                    f"{where}: {image.width}x{image.height} pixels, more than the "
                    f"{max_pixels} allowed; cut it into tiles"
                )
            # Bit depth is byte 24 of a PNG; JPEG files that Pillow opens have 8 bits.
            png = head.startswith(_PNG_SIGNATURE)
            yield image, head[24] if png else 8
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


def _ids_of_colors(
    pixels: np.ndarray, colors: tuple[Color, ...] | None, where: str
) -> np.ndarray:
    """Ids of `[H, W, 3] uint8` colours, by search in the sorted colour codes."""
    if colors is None:
        raise DataError(
            f"{where}: the label is an RGB image and the classes have no colours; "
            "give each line of classes.txt its colour (name red green blue), or save "
            "labels as palette or grey PNG of class ids"
        )
    known = {VOID_COLOR: IGNORE} | {color: i for i, color in enumerate(colors)}
    codes = np.array([(r << 16) | (g << 8) | b for r, g, b in known], np.int32)
    order = np.argsort(codes)
    channels = pixels.astype(np.int32)
    wanted = (channels[..., 0] << 16) | (channels[..., 1] << 8) | channels[..., 2]
    place = np.minimum(np.searchsorted(codes[order], wanted), len(codes) - 1)
    found = codes[order][place] == wanted
    if not found.all():
        unknown, counts = np.unique(wanted[~found], return_counts=True)
        named = {
            (int(code) >> 16, (int(code) >> 8) & 255, int(code) & 255): int(n)
            for code, n in zip(unknown, counts, strict=True)
        }
        raise DataError(
            f"{where}: the label has colours that no class has, "
            f"{describe_counts(named)}; add them to classes.txt, repaint them, or "
            f"paint void {VOID_COLOR}"
        )
    return np.array(list(known.values()), np.uint8)[order][place]
