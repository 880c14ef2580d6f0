"""Image files as Pillow decodes them, refused before they can do harm.

A header is read, and what decoding would take is estimated, before a pixel is decoded:
a file of a few thousand bytes can claim gigabytes. A file is damaged whatever Pillow
raises on it.
"""

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from absl import logging
from PIL import ExifTags, Image, ImageFile

from fcn_jax.data.decoding import jpeg, png
from fcn_jax.data.decoding.metadata import UPRIGHT, Stripped, orientation
from fcn_jax.data.examples import DataError

MAX_PIXELS = 64 * 2**20  # checked on the header, before a pixel is decoded
MAX_BYTES = 2**30  # of a file; 64 million pixels of 16 bits and alpha are half of it

SMALL = 150e6
"""Bytes of memory that any file may take while it is decoded."""
LARGEST_RATIO = 150
"""Bytes of memory beyond `SMALL` for each byte of the file; photographs take 10 to 60."""
MAX_SCANS = 100
"""Passes of a progressive JPEG over its pixels; usual are 10."""

_KINDS = {
    b"\xff\xd8\xff": "JPEG",
    png.SIGNATURE: "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"<": "HTML or XML",
    b"version https://git-lfs": "a pointer of Git LFS, so run `git lfs pull`",
}
_NO_PICTURES = (_KINDS[b"<"], _KINDS[b"version https://git-lfs"])
_STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}  # a pixel; of others 4


@dataclasses.dataclass(frozen=True)
class Decoded:
    """An image in memory.

    Attributes:
        image: decoded; its file is closed.
        depth: bits of a channel, as stored.
        orientation: of the pixels that are here: 1, or 2 to 8 as the tag tells, see
            `upright`.
        transparency: of a PNG, see `png.Header`.
    """

    image: Image.Image
    depth: int
    orientation: int
    transparency: bytes = b""


def decode(
    source: Path | bytes,
    formats: tuple[str, ...],
    *,
    where: str,
    max_pixels: int,
    result_bytes: int,
) -> Decoded:
    """Decode the one picture of a file.

    Args:
        source: a file or its bytes.
        formats: names that Pillow has for the formats that are allowed.
        where: names the picture in messages.
        max_pixels: height x width above which the file is refused undecoded.
        result_bytes: a pixel that the caller adds to Pillow's own.

    Raises:
        DataError: for other formats, damaged or truncated files, animations, and what
            would take more than `max_pixels` or than a file of its size may.
    """
    with _damage_named(where, source), _stream(source) as stream:
        kind = _format(stream, formats, where)
        size = stream.seek(0, 2)
        if size > MAX_BYTES:
            raise DataError(f"{where}: {size} bytes, more than the {MAX_BYTES} allowed")
        # What a PNG may inflate to is known from its header, which is read alone first.
        is_png = kind == "PNG"
        image, turned = _opened(stream, kind, where, max_pixels, pixels=not is_png)
        _refuse_unfolding(image, size, result_bytes, where)
        depth, transparency = _depth(image, where), b""
        if is_png:
            stream.seek(0)
            header = png.read_header(stream)
            depth, transparency = header.depth, header.transparency
            image, turned = _opened(stream, kind, where, max_pixels, pixels=True)
        image.load()
    return Decoded(image, depth, turned, transparency)


def size_of(
    source: Path | bytes, formats: tuple[str, ...], *, where: str, max_pixels: int
) -> tuple[int, int, int]:
    """Return (height, width, orientation) from the header alone; see `decode`.

    Raises:
        DataError: for other formats, or more than `max_pixels`.
    """
    with _damage_named(where, source), _stream(source) as stream:
        kind = _format(stream, formats, where)
        image, turned = _opened(stream, kind, where, max_pixels, pixels=False)
        return image.height, image.width, turned


def png_header(source: Path | bytes, *, where: str) -> png.Header:
    """Return the header of a PNG.

    Raises:
        DataError: for other formats, or a damaged header.
    """
    with _damage_named(where, source), _stream(source) as stream:
        _format(stream, ("PNG",), where)
        return png.read_header(stream)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels `[H, W, ...]` as EXIF's orientation tells (EXIF 2.32, tag 274)."""
    if orientation >= 5:  # rows are stored as columns
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _opened(
    stream: BinaryIO, kind: str, where: str, max_pixels: int, *, pixels: bool
) -> tuple[Image.Image, int]:
    """Return the image of a file before decoding, and its orientation.

    Args:
        stream: the file; it must stay open until the image is loaded.
        kind: its format.
        where: names it in messages.
        max_pixels: above which it is refused.
        pixels: whether it will be loaded, so that the whole file is looked at.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise DataError(
            f"{where}: PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, with which half a "
            "file counts as an image; unset it"
        )
    stream.seek(0)
    if kind == "PNG":
        header = png.read_header(stream)
        _refuse_pixels(header.width, header.height, where, max_pixels)
    found = Stripped(stream, b"", b"", several=False)
    if kind in ("PNG", "JPEG"):
        stream.seek(0)
        strip = png.strip if kind == "PNG" else jpeg.strip
        found = strip(stream, pixels=pixels)
    try:
        image = Image.open(found.content, formats=(kind,))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(
            f"{where}: {error}; cut it into tiles of at most {MAX_PIXELS} pixels"
        ) from error
    _refuse_pixels(image.width, image.height, where, max_pixels)
    if pixels:
        _refuse_several(image, found.several, where)
        _refuse_scans(image, found.content, where)
    exif, xmp = image.info.get("exif", found.exif), image.info.get("xmp", found.xmp)
    # Pillow turns a TIFF upright itself, and tells its size so.
    return image, UPRIGHT if kind == "TIFF" else orientation(exif, xmp)


@contextlib.contextmanager
def _damage_named(where: str, source: Path | bytes) -> Iterator[None]:
    """Whatever is raised on the bytes of a file means that they are damaged.

    Pillow's decoders let errors of any type out, as do those of Python's own modules
    that they call.
    """
    try:
        yield
    except (DataError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{where}: there is no file {source}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system's: no permission, a directory
        said = "its header makes no sense"
        if not isinstance(error, Image.UnidentifiedImageError):
            said = "".join(c if c.isprintable() else "?" for c in str(error)[:200])
        raise DataError(
            f"{where}: cannot be decoded ({said or type(error).__name__}); the file is "
            "damaged or cut short, so fetch it again"
        ) from error


def _stream(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _format(stream: BinaryIO, formats: tuple[str, ...], where: str) -> str:
    """Return the format by the first bytes; refuses those that are not allowed."""
    head = stream.read(32)
    stream.seek(0)
    if not head:
        raise DataError(f"{where}: the file is empty; fetch or save it again")
    kind = next((k for start, k in _KINDS.items() if head.startswith(start)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        kind = "WebP"
    if head[4:8] == b"ftyp":
        kind = "HEIC, AVIF or a film"
    if kind is not None and kind.upper() in formats:
        return kind.upper()
    found = f"its content is {kind}" if kind else f"it begins with {head[:8]!r}"
    remedy = "save it as PNG"
    if kind in _NO_PICTURES:
        remedy = "fetch the picture itself"
    elif kind == "JPEG":
        remedy = (
            "JPEG changes the values of pixels, so save the picture as PNG anew from "
            "the program that drew it, instead of converting this file"
        )
    raise DataError(
        f"{where}: not a readable {' or '.join(formats)} file, whatever its name "
        f"({found}); {remedy}"
    )


def _refuse_pixels(width: int, height: int, where: str, most: int) -> None:
    if width * height > most:
        raise DataError(
            f"{where}: {width}x{height} pixels, more than the {most} allowed; "
            "cut it into tiles"
        )


def _refuse_unfolding(
    image: Image.Image, size: int, result_bytes: int, where: str
) -> None:
    taken = image.width * image.height * (_bytes_a_pixel(image) + result_bytes)
    taken += 8 * image.height  # Pillow keeps where each row begins
    if taken > max(SMALL, LARGEST_RATIO * size):
        raise DataError(
            f"{where}: its {size} bytes unfold to {image.width}x{image.height} pixels, "
            f"{taken / 1e6:.0f} MB in memory, as those of files do that are made to "
            "fill it; cut the image into tiles"
        )


def _refuse_several(image: Image.Image, several: bool, where: str) -> None:
    """Refuse animations and pages; of a JPEG the first picture is the photograph."""
    if image.format == "JPEG":
        if several:
            text = "%s holds more pictures, as some cameras write; the first is read"
            logging.log_first_n(logging.INFO, text, 1, where)
        return
    with contextlib.suppress(EOFError):
        if image.format != "PNG":
            image.seek(1)
            several = True
    image.seek(0)
    if several:
        raise DataError(
            f"{where}: an animation or a file of several pages; save the picture that "
            "you mean as a file of its own"
        )


def _refuse_scans(image: Image.Image, content: BinaryIO, where: str) -> None:
    if image.info.get("progressive"):
        scans = jpeg.scans(content)
        if scans > MAX_SCANS:
            raise DataError(
                f"{where}: a progressive JPEG of about {scans} scans, each of which "
                "goes over all pixels, as in files that are made to take long; save it "
                "again"
            )


def _bytes_a_pixel(image: Image.Image) -> int:
    """Estimate the bytes that Pillow takes while it decodes."""
    stored = _STORED_BYTES.get(image.mode, 4)
    if not image.info.get("progressive"):
        return stored
    # The coefficients of all blocks, two bytes each, of channels in full or in part.
    layers: Any = getattr(image, "layer", ())
    areas = [rows * columns for _, rows, columns, *_ in layers]
    return stored + 2 * -(-sum(areas) // max(areas, default=1))


def _depth(image: Image.Image, where: str) -> int:
    """Return the bits of a channel; of a TIFF those stored, which Pillow may reduce."""
    tags: Any = getattr(image, "tag_v2", {})
    channels = tags.get(ExifTags.Base.SamplesPerPixel, len(image.getbands()))
    if channels != len(image.getbands()):
        raise DataError(
            f"{where}: {channels} channels a pixel; save its red, green and blue alone"
        )
    bits: tuple[int, ...] = tags.get(ExifTags.Base.BitsPerSample, (8,))
    return max(bits)
