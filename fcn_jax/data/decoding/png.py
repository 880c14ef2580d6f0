"""The chunks of a PNG file (PNG specification, sections 5 and 11).

Pillow compares no checksum of pixels, and does not tell the bits of a channel.
"""

import dataclasses
import io
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

from fcn_jax.data.decoding.metadata import LONGEST_TEXT, Stripped

SIGNATURE = b"\x89PNG\r\n\x1a\n"

GREY, COLOR, PALETTE, GREY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6  # colour types

_DEPTHS = {  # bits of a channel that each may have (section 11.2.2)
    GREY: (1, 2, 4, 8, 16),
    COLOR: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    COLOR_ALPHA: (8, 16),
}
_CHANNELS = {GREY: 1, COLOR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOR_ALPHA: 4}
_PASSES = (  # of an interlaced image: left, top, step across, step down (section 8.2)
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_BLOCK = 2**20  # bytes read at once of what is not kept
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_XMP, _EXIF = _TAGS = b"XML:com.adobe.xmp", b"Raw profile type exif"  # keywords


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
    """

    height: int
    width: int
    depth: int
    color_type: int
    palette: tuple[tuple[int, int, int], ...]
    transparency: bytes


def read_header(stream: BinaryIO) -> Header:
    """Return the chunks before the pixels, whose checksums are compared.

    Args:
        stream: at its beginning; it can seek.

    Raises:
        PngError: for other files, and where they are damaged.
    """
    wanted = (b"IHDR", b"PLTE", b"tRNS")
    found: dict[bytes, bytes] = {}
    for kind, data in chunks(stream, keep=wanted, compare_all=False):
        if kind == b"IDAT":
            break
        if kind in wanted:
            found[kind] = data
    width, height, depth, color_type = struct.unpack(">IIBB", found[b"IHDR"][:10])
    if not (width and height and depth in _DEPTHS.get(color_type, ())):
        raise PngError(
            f"its header has {width}x{height} pixels of {depth} bits, colour type "
            f"{color_type}"
        )
    levels = found.get(b"PLTE", b"") if color_type == PALETTE else b""
    colors = zip(levels[::3], levels[1::3], levels[2::3], strict=False)
    return Header(
        height=height,
        width=width,
        depth=depth,
        color_type=color_type,
        palette=tuple(colors),
        transparency=found.get(b"tRNS", b""),
    )


def strip(stream: BinaryIO, *, pixels: bool) -> Stripped:
    """Return the PNG's chunks that decide its pixels, and those with its orientation.

    Args:
        stream: at its beginning; it can seek.
        pixels: whether they are wanted; without, what comes before them is enough.

    Raises:
        PngError: for other files, a wrong checksum, of any chunk where pixels are
            wanted, and then for a missing end.
    """
    kinds = _PIXELS if pixels else _PIXELS[:3]
    parts, texts, exif, frames = [SIGNATURE], {}, b"", 1
    data_of_pixels = []
    for kind, data in chunks(
        stream, keep=(*kinds, b"eXIf", b"acTL", *_TEXT), compare_all=pixels
    ):
        if kind in _PIXELS:
            parts += [struct.pack(">I", len(data)), kind, data]
            parts.append(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
        elif kind in _TEXT:
            keyword, _, text = data.partition(b"\0")
            if keyword in _TAGS and keyword not in texts:
                texts[keyword] = _inflated(kind, text)
        elif kind == b"eXIf":
            exif = data
        elif kind == b"acTL":
            frames = int.from_bytes(data[:4], "big")
        if kind == b"IDAT":
            data_of_pixels.append(data)
            if not pixels:
                break
    if pixels:
        _refuse_missing_pixels(parts[3], data_of_pixels)
    exif = exif or _of_hexadecimal(texts.get(_EXIF, b""))
    content = io.BytesIO(b"".join(parts))
    return Stripped(content, exif, texts.get(_XMP, b""), frames > 1)


def _refuse_missing_pixels(header: bytes, data: list[bytes]) -> None:
    """Refuse a stream that ends between two rows, where Pillow leaves the others black.

    Args:
        header: the data of the header chunk.
        data: of the chunks of pixels.
    """
    width, height, depth, color_type = struct.unpack(">IIBB", header[:10])
    bits = depth * _CHANNELS.get(color_type, 1)
    passes = _PASSES if header[12] else ((0, 0, 1, 1),)
    needed = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            needed += rows * (1 + -(-columns * bits // 8))
    inflater, found = zlib.decompressobj(), 0
    for part in data:
        while part and found < needed:
            found += len(inflater.decompress(part, _BLOCK))
            part = inflater.unconsumed_tail
    if found < needed:
        raise PngError(f"its pixels end after {found} of {needed} bytes")


def chunks(
    stream: BinaryIO, *, keep: Collection[bytes], compare_all: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind of each chunk, and the data of those to keep.

    Args:
        stream: at its beginning; it can seek.
        keep: kinds whose data are wanted, and checksums compared; of others the data
            are empty.
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


def _inflated(kind: bytes, text: bytes) -> bytes:
    """Return the text after its keyword, as far as it is looked at."""
    if kind == b"iTXt":
        compressed = text[:1] == b"\1"
        text = text[2:].split(b"\0", 2)[-1]  # after method, language, translation
    else:
        compressed = kind == b"zTXt"
        text = text[1:] if compressed else text
    if not compressed:
        return text[:LONGEST_TEXT]
    try:
        return zlib.decompressobj().decompress(text, LONGEST_TEXT)
    except zlib.error:
        return b""


def _of_hexadecimal(profile: bytes) -> bytes:
    """Return the block in a raw profile: three lines of head, then digits."""
    digits = b"".join(profile.split(b"\n")[3:])
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""
