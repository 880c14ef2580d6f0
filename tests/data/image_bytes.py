"""Image files written by hand, after their specifications, or by Pillow's encoders."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EXIF_ORIENTATION = 0x0112


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG (PNG specification, section 5.3)."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, depth, color_type, rows, *, before=b"", after=b"") -> bytes:
    """A PNG of rows of bytes, unfiltered (PNG specification, sections 5 and 9).

    Args:
        width: of the picture.
        height: of the picture.
        depth: bits of a channel.
        color_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        rows: bytes of each row, packed.
        before: chunks before the pixels.
        after: chunks after them.
    """
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    return b"".join(
        (
            *(SIGNATURE, chunk(b"IHDR", header), before, chunk(b"IDAT", data)),
            *(after, chunk(b"IEND", b"")),
        )
    )


def png_of(pixels, color_type, depth=8, *, before=b"", after=b"") -> bytes:
    """A PNG of `[H, W]` or `[H, W, C]` values, which are packed as `depth` asks."""
    height, width = pixels.shape[:2]
    levels = pixels.reshape(height, -1)
    if depth == 16:
        rows = levels.astype(">u2").view(np.uint8)
    elif depth == 8:
        rows = levels.astype(np.uint8)
    else:
        bits = np.unpackbits(levels.astype(np.uint8)[..., None], axis=-1)[..., -depth:]
        rows = np.packbits(bits.reshape(height, -1), axis=-1)
    return png(width, height, depth, color_type, rows, before=before, after=after)


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block of one directory (TIFF 6.0, section 2).

    Args:
        entries: tag, type (2 text, 3 short, 4 long), count, the four bytes of value.
    """
    packed = [struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries]
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", len(packed))
        + b"".join(packed)
        + bytes(4)
    )


def orientation(value: int | str) -> bytes:
    """An EXIF block with the orientation alone, as a number or as text."""
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return exif((EXIF_ORIENTATION, 2, len(text), text.ljust(4, b"\0")))
    return exif((EXIF_ORIENTATION, 3, 1, struct.pack("<HH", value, 0)))


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    """The JPEG with a segment after its start (ISO 10918-1, annex B)."""
    segment = struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
    return jpeg[:2] + segment + jpeg[2:]


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    """The JPEG with an EXIF block (EXIF 2.32, section 4.7)."""
    return with_segment(jpeg, 0xE1, b"Exif\0\0" + block)


def encoded(array, kind="PNG", mode=None, **options) -> bytes:
    """What Pillow makes of an array."""
    image = Image.fromarray(array)
    return saved(image if mode is None else image.convert(mode), kind, **options)


def saved(image: Image.Image, kind="PNG", **options) -> bytes:
    """What Pillow makes of an image."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
