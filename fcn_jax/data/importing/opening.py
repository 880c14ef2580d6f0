"""Opening pictures and masks of any common format, as stored or not at all."""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image

from fcn_jax.data.examples import DataError

MAX_PIXELS = 64 * 2**20  # checked on the header, before a pixel is decoded
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
UNTURNED, ORIENTATIONS = 1, range(1, 9)
SIDEWAYS = range(5, 9)  # orientations that exchange height and width

_DAMAGED = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError),
    *(UserWarning, zlib.error, struct.error, Image.DecompressionBombError),
)


@contextlib.contextmanager
def opened(source: Path | bytes, where: str) -> Iterator[Image.Image]:
    """An image of one frame whose header is in order, not yet decoded.

    Args:
      source: a file or its bytes.
      where: names it in messages.

    Raises:
      DataError: for another format, a damaged file, several frames, or more than 64
        megapixels; also where decoding within the context fails.
    """
    try:
        with contextlib.ExitStack() as stack:
            stream: BinaryIO = stack.enter_context(
                io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
            )
            image = stack.enter_context(_identified(stream, where))
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{where}: {image.width}x{image.height} pixels, more than the "
                    f"{MAX_PIXELS} allowed; cut it into tiles"
                )
            if image.format in ("GIF", "TIFF", "WEBP", "PNG") and _frames(image) > 1:
                raise DataError(
                    f"{where}: {_frames(image)} frames in one file; save each as a file "
                    "of its own"
                )
            yield image
    except DataError:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system's: no permission, no such file
        raise DataError(
            f"{where}: cannot be decoded ({error}); the file is damaged or cut short"
        ) from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 where there is none or another value."""
    value = image.getexif().get(ExifTags.Base.Orientation, UNTURNED)
    return value if value in ORIENTATIONS else UNTURNED


def check_png(source: Path | bytes, where: str) -> None:
    """Compares the checksums of a PNG file, which decoding does not.

    Raises:
      DataError: where one differs.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    with opened(content, where) as image:
        if image.format == "PNG":
            image.verify()


def _identified(stream: BinaryIO, where: str) -> Image.Image:
    try:
        return Image.open(stream, formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        stream.seek(0)
        raise DataError(
            f"{where}: no picture that is read here, whatever its name (it begins with "
            f"{stream.read(8)!r}); allowed are {', '.join(FORMATS)}"
        ) from error
    except Image.DecompressionBombWarning as error:
        raise DataError(f"{where}: {error}; cut it into tiles") from error


def _frames(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1)
