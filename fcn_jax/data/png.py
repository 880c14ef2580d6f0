"""The chunks of a PNG file (PNG specification, sections 5 and 11).

Pillow compares no checksum of pixels, does not tell the bits of a channel, and calls a
file damaged for a long text that no pixel depends on.
"""

import dataclasses
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"

GREY, COLOR, PALETTE, GREY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6  # colour types

_BLOCK = 2**20  # bytes read at once of what is not kept
_LONGEST_TEXT = 2**20  # bytes, after decompression, as Pillow reads them
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_ORIENTATION = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # keywords of texts


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
      transparency: opacity of each index, or the one value or colour that is
        transparent, two bytes a channel; empty without.
      frames: of an animation; 1 for a picture.
    """

    height: int
    width: int
    depth: int
    color_type: int
    palette: tuple[tuple[int, int, int], ...]
    transparency: bytes
    frames: int


def read_header(stream: BinaryIO) -> Header:
    """The chunks before the pixels, whose checksums are compared.

    Args:
      stream: at its beginning; it can seek.

    Raises:
      PngError: for other files, and where they are damaged.
    """
    wanted = (b"IHDR", b"PLTE", b"tRNS", b"acTL")
    found: dict[bytes, bytes] = {}
    for kind, data in chunks(stream, keep=wanted, compare_all=False):
        if kind == b"IDAT":
            break
        if kind in wanted:
            found[kind] = data
    width, height, depth, color_type = struct.unpack(">IIBB", found[b"IHDR"][:10])
    levels = found.get(b"PLTE", b"") if color_type == PALETTE else b""
    colors = zip(levels[::3], levels[1::3], levels[2::3], strict=False)
    return Header(
        height=height,
        width=width,
        depth=depth,
        color_type=color_type,
        palette=tuple(colors),
        transparency=found.get(b"tRNS", b""),
        frames=max(1, int.from_bytes(found.get(b"acTL", b"")[:4], "big")),
    )


def without_metadata(stream: BinaryIO, *, pixels: bool) -> bytes:
    """The PNG with what its pixels and its orientation depend on, and nothing else.

    Args:
      stream: at its beginning; it can seek.
      pixels: whether they are in it; without, what comes before them is enough.

    Raises:
      PngError: for other files, a wrong checksum, of any chunk where pixels are
        wanted, and then for a missing end.
    """
    keep = (*(_PIXELS if pixels else _PIXELS[:3]), b"eXIf", *_TEXT)
    parts, texts = [SIGNATURE], set()
    for kind, data in chunks(stream, keep=keep, compare_all=pixels):
        if kind in _TEXT:
            keyword = data.partition(b"\0")[0]
            wanted = keyword not in texts and _tells_orientation(kind, data)
            texts.add(keyword)
        else:
            wanted = kind in _PIXELS or kind == b"eXIf"
        if wanted:
            checksum = zlib.crc32(data, zlib.crc32(kind))
            parts += [struct.pack(">I", len(data)), kind, data]
            parts.append(struct.pack(">I", checksum))
        if kind == b"IDAT" and not pixels:
            break
    return b"".join(parts)


def chunks(
    stream: BinaryIO, *, keep: Collection[bytes], compare_all: bool
) -> Iterator[tuple[bytes, bytes]]:
    """The kind of each chunk, and the data of those to keep.

    Args:
      stream: at its beginning; it can seek.
      keep: kinds whose data are wanted, and checksums compared; of others the data are
        empty.
      compare_all: compare the checksums of the others too, instead of skipping them.

    Raises:
      PngError: for another signature or first chunk, a wrong checksum, a chunk that
        must be understood and is not known, or an end before the end chunk.
    """
    end = stream.seek(0, 2)
    stream.seek(0)
    if stream.read(8) != SIGNATURE:
        raise PngError("it does not begin as a PNG")
    place, kind = 8, b""
    while kind != b"IEND":
        head = stream.read(8)
        length = int.from_bytes(head[:4], "big")
        kind = head[4:]
        if len(kind) < 4 or place + 12 + length > end:
            raise PngError(f"it ends at byte {end}, within a chunk or before the last")
        if (place == 8) != (kind == b"IHDR") or (place == 8 and length != 13):
            raise PngError(f"it does not have one header, but a chunk at byte {place}")
        if not kind.isalpha() or (kind[:1].isupper() and kind not in _PIXELS):
            raise PngError(f"there is no known chunk at byte {place}")
        data, checksum = b"", zlib.crc32(kind)
        if kind in keep:
            data = stream.read(length)
            checksum = zlib.crc32(data, checksum)
        elif compare_all:
            for start in range(0, length, _BLOCK):
                block = stream.read(min(_BLOCK, length - start))
                checksum = zlib.crc32(block, checksum)
        else:
            stream.seek(length, 1)
        stored = int.from_bytes(stream.read(4), "big")
        if stored != checksum and (compare_all or kind in keep):
            raise PngError(
                f"the {kind.decode()} chunk at byte {place} does not match its checksum"
            )
        place += 12 + length
        yield kind, data


def _tells_orientation(kind: bytes, data: bytes) -> bool:
    """Whether a text is one of those in which Pillow looks for the orientation."""
    keyword, _, rest = data.partition(b"\0")
    if kind not in _TEXT or keyword not in _ORIENTATION:
        return False
    if kind == b"tEXt" or (kind == b"iTXt" and not rest[:1].strip(b"\0")):
        return len(rest) <= _LONGEST_TEXT
    text = rest[1:] if kind == b"zTXt" else rest[2:].split(b"\0", 2)[-1]
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(text, _LONGEST_TEXT)
    except zlib.error:
        return False
    return not inflater.unconsumed_tail
