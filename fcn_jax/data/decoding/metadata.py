"""What an image file says besides its pixels, of which the orientation alone counts.

Pillow reads all of it, warns of or stumbles over tags of other types than usual, and
calls a file damaged for long texts.
"""

import re
import struct
from typing import BinaryIO, NamedTuple

UPRIGHT = 1
LONGEST_TEXT = 2**20  # bytes in which an orientation is looked for

_ORIENTATION = 0x0112  # EXIF 2.32, section 4.6.4
_TYPES = {1: "B", 3: "H", 4: "I"}  # of integers (TIFF 6.0, section 2)
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


class Stripped(NamedTuple):
    """An image file in parts.

    Attributes:
        content: what the pixels depend on, as a file.
        exif: the block of EXIF tags; empty without.
        xmp: the XMP document; empty without.
        several: whether the file holds more pictures.
    """

    content: BinaryIO
    exif: bytes
    xmp: bytes
    several: bool


def orientation(exif: bytes, xmp: bytes) -> int:
    """Return 2 to 8 where a tag asks to turn the picture, else 1.

    Other values have no meaning, and programs that show pictures ignore them.
    """
    found = _of_exif(exif.removeprefix(b"Exif\0\0"))
    if found is None:
        match = _IN_XMP.search(xmp[:LONGEST_TEXT])
        found = int(match[1]) if match else UPRIGHT
    return found if 2 <= found <= 8 else UPRIGHT


def _of_exif(block: bytes) -> int | None:
    """Return the tag's value in the first directory; None without, 0 if no number."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", block, place)
            if tag == _ORIENTATION and (kind not in _TYPES or values != 1):
                return 0
            if tag == _ORIENTATION:
                return struct.unpack_from(order + _TYPES[kind], block, place + 8)[0]
    except struct.error:  # the block ends before its directory does
        return None
    return None
