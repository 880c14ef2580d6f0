"""Damaged, hostile and unusual image files: refused in one line, or read rightly."""

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.decoding.images import (
    image_size,
    label_encoding,
    read_color,
    read_label,
)
from fcn_jax.data.examples import DataError
from tests.data import fuzz_images
from tests.data.image_bytes import (
    SIGNATURE,
    chunk,
    encoded,
    exif,
    orientation,
    png,
    png_of,
    saved,
    with_exif,
    with_segment,
)

COLORS = fuzz_images.COLORS
RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
IDS = np.random.default_rng(1).integers(0, 4, (6, 9), dtype=np.uint8)
SIDE = 8192  # of the largest images that may be decoded


@pytest.mark.parametrize("name", fuzz_images.labels())
def test_no_flipped_bit_of_a_label_gives_other_ids(name):
    """Oracle: the ids before; every second bit of the file in turn."""
    data = fuzz_images.labels()[name]
    before = {
        colors: read_label(data, where="x", colors=colors) for colors in (COLORS,)
    }
    if not name.startswith("rgb"):
        before[None] = read_label(data, where="x")
    for bit in range(0, 8 * len(data), 2):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        for colors, ids in before.items():
            try:
                found = read_label(bytes(damaged), where="x", colors=colors)
            except DataError:
                continue
            np.testing.assert_array_equal(found, ids)


@pytest.mark.parametrize("seeds", ["labels", "pictures"])
def test_mutated_files_are_read_or_refused(seeds):
    """Oracle: the type of the error, its one line, two seconds and 200 MB."""
    valid = getattr(fuzz_images, seeds)()
    assert (
        fuzz_images.campaign(
            300, 1, list(valid.values() if seeds == "labels" else valid)
        )
        == []
    )


def cut(data, *, keep):
    return data[:keep] if keep > 0 else data[: len(data) + keep]


@pytest.mark.parametrize("keep", [-1, -4, -12, -13, -20, 60, 33, 20, 8])
def test_png_files_without_their_end_are_refused(keep):
    """Oracle: what Pillow accepts too, a PNG that lacks its last chunk."""
    for read in (read_color, read_label):
        with pytest.raises(DataError, match="cannot be decoded"):
            read(cut(png_of(IDS, 0), keep=keep), where="x")


def test_pixels_that_do_not_match_their_checksum_are_refused():
    """Oracle: a valid stream of other pixels under the checksum of the first."""
    first, other = png_of(IDS, 0), png_of((IDS + 1) % 4, 0)
    checksum = slice(-16, -12)  # of the pixels, before the twelve bytes of the end
    mixed = other[:-16] + first[checksum] + other[-12:]
    with Image.open(io.BytesIO(mixed)) as image:
        np.testing.assert_array_equal(np.array(image), (IDS + 1) % 4)  # Pillow reads it
    for read in (read_color, read_label):
        with pytest.raises(DataError, match="IDAT chunk at byte 33 does not match"):
            read(mixed, where="x")


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("kind", [0, 2, 3])
def test_pixels_that_end_between_two_rows_are_refused(rows, kind):
    """Oracle: Pillow reads each of these files, and leaves the other rows black."""
    before = chunk(b"PLTE", bytes(range(12))) if kind == 3 else b""
    whole = png_of(RGB if kind == 2 else IDS, kind, before=before)
    start = whole.index(b"IDAT") - 4
    length = 1 + IDS.shape[1] * (3 if kind == 2 else 1)
    pixels = zlib.decompress(whole[start + 8 : -16])
    short = chunk(b"IDAT", zlib.compress(pixels[: rows * length]))
    data = whole[:start] + short + chunk(b"IEND", b"")
    if rows:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    for read in (read_color, read_label):
        with pytest.raises(DataError, match=f"pixels end after {rows * length} of"):
            read(data, where="x")


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 5), (8, 8), (9, 13)])
@pytest.mark.parametrize("depth", [1, 4, 8])
def test_interlaced_labels_are_read(size, depth):
    """Oracle: the ids; the passes are written by hand (PNG specification, section 8.2)."""
    ids = np.random.default_rng(3).integers(0, 2, size, dtype=np.uint8)
    rows = b""
    for left, top, across, down in (
        *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
        *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
    ):
        for row in ids[top::down, left::across]:
            if row.size:
                bits = np.unpackbits(row[:, None], axis=-1)[:, -depth:]
                rows += b"\0" + np.packbits(bits.ravel()).tobytes()
    header = struct.pack(">IIBBBBB", size[1], size[0], depth, 0, 0, 0, 1)
    parts = (
        chunk(b"IHDR", header),
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    )
    found = read_label(SIGNATURE + b"".join(parts), where="x")
    np.testing.assert_array_equal(found, ids)


LONG = bytes(range(256)) * 12_000  # 3 MB
METADATA = {
    "text": chunk(b"tEXt", b"Comment\0" + LONG),
    "compressed text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LONG)),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + LONG),
    "compressed XMP": chunk(
        b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG)
    ),
    "profile": chunk(b"iCCP", b"any\0\0" + zlib.compress(LONG)),
    "many texts": 3000 * chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**16))),
    "unknown": chunk(b"prVt", LONG),
    "no zlib stream": chunk(b"zTXt", b"XML:com.adobe.xmp\0\0abc"),
}


@pytest.mark.parametrize("kind", METADATA)
def test_long_metadata_of_a_png_is_no_damage(kind):
    """Oracle: the pixels that were written."""
    for place in ("before", "after"):
        data = png_of(IDS, 0, **{place: METADATA[kind]})
        np.testing.assert_array_equal(read_label(data, where="x"), IDS)
        assert read_color(data, where="x")[2, 3, 1] == IDS[2, 3]
        assert image_size(data, where="x") == IDS.shape
        assert label_encoding(data, where="x").depth == 8


def test_long_metadata_of_a_jpeg_is_no_damage():
    """Oracle: the pixels without it."""
    plain = data = encoded(RGB, "JPEG")
    for marker in (0xE1, 0xE2, 0xED, 0xFE):
        for _ in range(12):
            data = with_segment(data, marker, LONG[:65_000])
    assert len(data) > 3e6
    np.testing.assert_array_equal(
        read_color(data, where="x"), read_color(plain, where="x")
    )


def test_orientation_in_other_metadata_is_found():
    """Oracle: Pillow's `getexif`, which looks in these places too."""
    xmp = b'<x tiff:Orientation="6"/>'
    profile = b"\nexif\n    %d\n%s\n" % (
        len(orientation(6)),
        orientation(6).hex().encode(),
    )
    texts = [
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
        chunk(b"tEXt", b"Raw profile type exif\0" + profile),
    ]
    for text in texts:
        data = png_of(RGB, 2, before=text)
        with Image.open(io.BytesIO(data)) as image:
            assert image.getexif()[0x0112] == 6
        turned = read_color(data, where="x", rotate=True)
        np.testing.assert_array_equal(turned, np.rot90(RGB, -1))
        with pytest.raises(DataError, match="orientation 6"):
            read_color(data, where="x")


SIX = struct.pack("<HH", 6, 0)
ODD_EXIF = {
    "resolution as text": exif((0x112, 3, 1, SIX), (0x11A, 2, 3, b"72\0\0")),
    "unit as text": exif((0x112, 3, 1, SIX), (0x128, 2, 2, b"2\0\0\0")),
    "date as number": exif((0x112, 3, 1, SIX), (0x132, 3, 1, SIX)),
    "unknown type": exif((0x112, 3, 1, SIX), (0x9000, 77, 9, SIX)),
    "a value outside": exif((0x112, 3, 1, SIX), (0x9286, 7, 999, b"\xff\xff\0\0")),
    "long": exif((0x112, 4, 1, SIX)),
}


@pytest.mark.parametrize("kind", ODD_EXIF)
def test_odd_tags_do_not_keep_a_picture_from_being_turned(kind):
    """Oracle: the stored pixels, a quarter turned to the right, as 6 means."""
    jpeg = encoded(RGB, "JPEG")
    plain = read_color(jpeg, where="x")
    found = read_color(with_exif(jpeg, ODD_EXIF[kind]), where="x", rotate=True)
    np.testing.assert_array_equal(found, np.rot90(plain, -1))


@pytest.mark.parametrize("block", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", bytes(50)])
def test_a_damaged_block_of_tags_asks_for_nothing(block):
    """Oracle: the pixels without it."""
    jpeg = encoded(RGB, "JPEG")
    plain = read_color(jpeg, where="x")
    for rotate in (False, True):
        found = read_color(with_exif(jpeg, block), where="x", rotate=rotate)
        np.testing.assert_array_equal(found, plain)


def test_the_first_picture_of_a_camera_file_is_read():
    """Oracle: the JPEG of the first picture alone."""
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    several = saved(first, "MPO", save_all=True, append_images=[second])
    found = read_color(several, where="x")
    np.testing.assert_array_equal(found, read_color(saved(first, "JPEG"), where="x"))


def test_animations_are_refused():
    """Oracle: two frames, of which a data set can mean one."""
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    data = saved(first, save_all=True, append_images=[second])
    for read in (read_color, read_label):
        with pytest.raises(DataError, match="^x: an animation"):
            read(data, where="x")


def test_a_jpeg_is_no_label_whatever_its_name():
    """Oracle: the reason and the way out, in words."""
    with pytest.raises(
        DataError, match="content is JPEG.*changes the values.*anew from"
    ):
        read_label(encoded(IDS, "JPEG"), where="labels/a.png")


def solid(depth, color_type, before=b"", width=SIDE, height=SIDE):
    """A PNG of equal pixels, in a few thousand bytes."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[color_type]
    row = bytes(1 + width * depth * channels // 8)
    packer = zlib.compressobj(9)
    data = b"".join(
        [*(packer.compress(row * 64) for _ in range(height // 64)), packer.flush()]
    )
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    parts = chunk(b"IHDR", header), before, chunk(b"IDAT", data), chunk(b"IEND", b"")
    return SIGNATURE + b"".join(parts)


def many_scans():
    """A progressive JPEG whose last pass over the pixels comes 500 times."""
    data = saved(Image.new("RGB", (3000, 3000)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + 500 * data[last:-2] + data[-2:]


def photograph():
    """Two million colours."""
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    return encoded(noise, compress_level=0)


ZEROS = zlib.compress(bytes(2**26), 9)
RAW = b"Raw profile type exif\0\0"
MEMORY, LABEL = "MB in memory", (SIDE, SIDE)
BOMBS = {
    "palette of 1 bit": (
        lambda: solid(1, 3, chunk(b"PLTE", bytes(6))),
        *(MEMORY, LABEL, LABEL),
    ),
    "palette": (
        lambda: solid(8, 3, chunk(b"PLTE", bytes(768))),
        *(MEMORY, LABEL, LABEL),
    ),
    "grey of 1 bit": (lambda: solid(1, 0), MEMORY, LABEL, LABEL),
    "grey 16": (lambda: png(SIDE, SIDE, 16, 0, []), MEMORY, MEMORY, MEMORY),
    "one column": (
        lambda: png(1, SIDE * SIDE // 2, 8, 0, []),
        MEMORY,
        MEMORY,
        MEMORY,
    ),
    "rgb": (lambda: png(SIDE, SIDE, 8, 2, []), MEMORY, MEMORY, MEMORY),
    "text": (
        lambda: solid(8, 0, chunk(b"zTXt", RAW + ZEROS), 64, 64),
        *((64, 64, 3), (64, 64), (64, 64)),
    ),
    "profile": (
        lambda: solid(8, 0, 20 * chunk(b"iCCP", b"p\0\0" + ZEROS), 64, 64),
        *((64, 64, 3), (64, 64), (64, 64)),
    ),
    "jpeg": (
        lambda: saved(Image.new("L", (SIDE, SIDE)), "JPEG"),
        *(MEMORY, "content is JPEG", "content is JPEG"),
    ),
    "scans": (many_scans, "about 509 scans", "content is JPEG", "content is JPEG"),
    "photograph": (
        *(photograph, (1500, 2000, 3), "classes have no colours"),
        "colours and more that no class has, as a photograph",
    ),
}


def growth(function):
    """What the call gives, its seconds of a processor, and the MB by which the process grew."""

    def resident(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return (
            int(next(line for line in lines if line.startswith(name)).split()[1]) / 1e3
        )

    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, start = resident("VmRSS"), time.thread_time()
    result = function()
    return result, time.thread_time() - start, resident("VmHWM") - before


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="Linux counts so"
)
@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_end_soon_and_small(kind, tmp_path):
    """Oracle: two seconds and 200 MB, and the array or the words for each reader."""
    make, picture, label, by_colour = BOMBS[kind]
    path = tmp_path / "a.png"
    path.write_bytes(make())

    def outcome(read):
        try:
            return read().shape
        except DataError as error:
            return str(error)

    for expected, read in (
        (picture, lambda: read_color(path, where="x")),
        (label, lambda: read_label(path, where="x")),
        (by_colour, lambda: read_label(path, where="x", colors=COLORS)),
    ):
        found, seconds, megabytes = growth(lambda read=read: outcome(read))
        if isinstance(expected, str):
            assert expected in found
            assert len(found) < 400
        else:
            assert found == expected
        assert seconds < 2
        assert megabytes < 200


def test_large_labels_are_read_as_small_ones():
    """Oracle: the ids that were written, over more than one band of rows."""
    ids = np.zeros((1500, 1000), np.uint8)
    ids[900:, 600:], ids[-1] = 1, 3
    table = np.array(COLORS, np.uint8)
    files = {
        "palette": png_of(ids, 3, before=chunk(b"PLTE", table.tobytes())),
        "grey": png_of(ids, 0),
        "rgb": png_of(table[ids], 2),
    }
    for data in files.values():
        np.testing.assert_array_equal(read_label(data, where="x", colors=COLORS), ids)
    image = read_color(files["palette"], where="x")
    np.testing.assert_array_equal(image, table[ids])
    ids[::600, 0] = 2
    with pytest.raises(
        DataError, match=r"no class has, \(255, 0, 0\) \(3 pixels\); add"
    ):
        read_label(
            png_of(table[ids], 2), where="x", colors=COLORS[:2] + ((9, 9, 9), COLORS[3])
        )
