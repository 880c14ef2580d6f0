"""The chunks of a PNG file (PNG specification, sections 5 and 11).

Pillow leaves out the checksums of pixels and does not tell the bits of a channel.
"""

import dataclasses
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_CHUNK = 2**31 - 1  # bytes, by the specification

GREY, COLOR, PALETTE, GREY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6  # colour types


class PngError(ValueError):
    """Bytes that are no whole PNG file."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What a PNG says of itself before its pixels.

    Attributes:
      height: in pixels.
      width: in pixels.
      depth: bits of a channel, or of an index into the palette.
      color_type: `GREY`, `COLOR`, `PALETTE`, `GREY_ALPHA` or `COLOR_ALPHA`.
      palette: `(red, green, blue)` of each index; empty without a palette.
    """

    height: int
    width: int
    depth: int
    color_type: int
    palette: tuple[tuple[int, int, int], ...]


def read_header(stream: BinaryIO) -> Header:
    """The header and the palette, whose checksums are compared; no pixel is read.

    Args:
      stream: at its beginning; it can seek.

    Raises:
      PngError: for other files, and where they are damaged.
    """
    header, palette = None, b""
    for kind, data in chunks(stream, only=(b"IHDR", b"PLTE")):
        if kind == b"IHDR":
            header = data
        elif kind == b"PLTE":
            palette = data
        elif kind == b"IDAT":
            break
    if header is None or len(header) != 13:
        raise PngError("it does not begin with a header")
    width, height, depth, color_type = struct.unpack(">IIBB", header[:10])
    levels = palette if color_type == PALETTE else b""
    colors = zip(levels[::3], levels[1::3], levels[2::3], strict=False)
    return Header(height, width, depth, color_type, tuple(colors))


def chunks(
    stream: BinaryIO, *, only: Collection[bytes] | None = None
) -> Iterator[tuple[bytes, bytes]]:
    """The kind and the data of each chunk, once its checksum is known to be right.

    Args:
      stream: at its beginning; it can seek if `only` is given.
      only: kinds to read; the data of others are skipped, empty and not checked.

    Raises:
      PngError: for another signature, a wrong checksum, or an end before IEND.
    """
    if stream.read(8) != SIGNATURE:
        raise PngError("it does not begin as a PNG")
    place, kind = 8, b""
    while kind != b"IEND":
        head = stream.read(8)
        if len(head) < 8:
            raise PngError(f"it ends at byte {place + len(head)}, before its end chunk")
        length, kind = struct.unpack(">I4s", head)
        if length > LARGEST_CHUNK or not kind.isalpha():
            raise PngError(f"there is no chunk at byte {place}")
        if only is None or kind in only:
            data = stream.read(length)
            checksum = stream.read(4)
            if len(checksum) < 4:
                raise PngError(f"it ends within its {kind.decode()} chunk")
            if int.from_bytes(checksum, "big") != zlib.crc32(data, zlib.crc32(kind)):
                raise PngError(
                    f"the {kind.decode()} chunk at byte {place} does not match its "
                    "checksum"
                )
            yield kind, data
        else:
            stream.seek(length + 4, 1)
            yield kind, b""
        place += 12 + length
