"""The segments of a JPEG file (ISO 10918-1, annex B)."""

import io
import struct
from typing import BinaryIO

from fcn_jax.data.decoding.metadata import Stripped

_START, _SCAN = b"\xff\xd8", 0xDA
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_METADATA = {*range(0xE1, 0xEE), 0xEF, 0xFE}  # not JFIF's and Adobe's, on colour


def strip(stream: BinaryIO, *, pixels: bool) -> Stripped:
    """Return the JPEG with what its pixels depend on, and what tells its orientation.

    Where segments end in something else the rest is left as it is, for the decoder.

    Args:
        stream: at its beginning; it can seek.
        pixels: whether they are wanted; without, what comes before them is enough.
    """
    content, exif, xmp, several = [stream.read(2)], b"", b"", False
    while len(head := stream.read(4)) == 4:
        _, marker, length = struct.unpack(">BBH", head)
        if head[0] != 0xFF or length < 2 or marker < 0xC0 or marker == _SCAN:
            content.append(head)
            break
        data = stream.read(length - 2)
        if marker not in _METADATA:
            content += [head, data]
        elif data.startswith(_EXIF):
            exif += data[len(_EXIF) :]
        elif data.startswith(_XMP):
            xmp = data[len(_XMP) :]
        several |= marker == 0xE2 and data.startswith(b"MPF\0")
    # A decoder reads the head of the first scan before it tells the size.
    content.append(stream.read() if pixels else stream.read(2**16))
    return Stripped(io.BytesIO(b"".join(content)), exif, xmp, several)


def scans(stream: BinaryIO) -> int:
    """About how often a decoder goes over the pixels; leaves the stream where it was."""
    place = stream.tell()
    stream.seek(0)
    found = stream.read().count(b"\xff\xda")
    stream.seek(place)
    return found
