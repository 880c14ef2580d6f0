"""Every mode of an image in each of its uses: the right value, or a refusal.

The files are written by hand where a specification is short enough; the expected
arrays are those that were written, never read back.
"""

import zlib

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.decoding.images import (
    PICTURE_FORMATS,
    image_size,
    read_color,
    read_label,
)
from fcn_jax.data.examples import DataError
from tests.data.image_bytes import (
    chunk,
    encoded,
    orientation,
    png_of,
    saved,
    with_exif,
    with_segment,
)

RNG = np.random.default_rng(2)
COLORS = ((0, 0, 0), (10, 20, 30), (255, 0, 0), (0, 0, 255))
VOID = (224, 224, 192)
SIZE = (5, 7)
IDS = RNG.choice(np.array([0, 1, 2, 3, 255], np.uint8), SIZE)
TABLE = np.zeros((256, 3), np.uint8)
TABLE[:4], TABLE[255] = COLORS, VOID
PAINTED = TABLE[IDS]
FEW = IDS % 4  # ids for which two bits are enough
BITS = IDS % 2
THREE = np.where(IDS == 3, 0, IDS)
PHOTO = RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
GREY = PHOTO[..., 0]
ALPHA = RNG.integers(0, 255, SIZE, dtype=np.uint8)
OPAQUE = np.full(SIZE, 255, np.uint8)
PLTE = chunk(b"PLTE", TABLE.tobytes())
PROFILE = chunk(b"iCCP", b"any\0\0" + zlib.compress(bytes(4000)))

MODE, BITS16, ROTATION = "colour mode|channels", "16 bits", "asks for a rotation"
NO_COLORS, COLOR = "classes have no colours", "colours that no class has"
CLEAR, BEYOND, PAGES = "transparent", "the index 255", "several pages"
NOT_PNG, NOT_READ = "not a readable PNG file", "not a readable JPEG"


def grey3(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=-1)


def image(array, mode):
    return Image.frombytes(
        mode, array.shape[1::-1], np.ascontiguousarray(array).tobytes()
    )


def palette_image(mode="P"):
    result = image(IDS if mode == "P" else np.dstack([IDS, ALPHA]), mode)
    result.putpalette(TABLE.tobytes())
    return result


def wide(levels):
    """The same levels of 16 bits."""
    return levels.astype(np.uint16) * 257


def clear(*levels):
    """The chunk that makes a grey, a colour or an index transparent."""
    return chunk(b"tRNS", bytes(levels))


ORDER = np.array([2, 0, 3, 1])
SHUFFLED = chunk(b"PLTE", TABLE[ORDER].tobytes())
SHORT = chunk(b"PLTE", TABLE[:3].tobytes())

# Each: the bytes; as a picture, to label or to train with; as a label, without and with
# colours of the classes. An array is what has to come out, a text the refusal.
PNG = {
    "1": (png_of(BITS, 0, 1), grey3(BITS * 255), BITS, BITS),
    "L 2 bits": (png_of(FEW, 0, 2), grey3(FEW * 85), FEW, FEW),
    "L 4 bits": (png_of(FEW, 0, 4), grey3(FEW * 17), FEW, FEW),
    "L": (png_of(IDS, 0), grey3(IDS), IDS, IDS),
    "L tRNS": (png_of(IDS, 0, before=clear(0, 1)), grey3(IDS), CLEAR, CLEAR),
    "L tRNS unused": (png_of(IDS, 0, before=clear(0, 9)), grey3(IDS), IDS, IDS),
    "LA opaque": (png_of(np.dstack([IDS, OPAQUE]), 4), grey3(IDS), IDS, IDS),
    "LA": (png_of(np.dstack([IDS, ALPHA]), 4), grey3(IDS), CLEAR, CLEAR),
    "LA 16 bits": (png_of(wide(np.dstack([IDS, OPAQUE])), 4, 16), *3 * [BITS16]),
    "P": (png_of(IDS, 3, before=PLTE), PAINTED, IDS, IDS),
    "P 2 bits": (
        png_of(FEW, 3, 2, before=SHUFFLED),
        TABLE[ORDER[FEW]],
        FEW,
        ORDER[FEW],
    ),
    "P tRNS": (png_of(IDS, 3, before=PLTE + clear(0)), PAINTED, IDS, CLEAR),
    "P short": (png_of(IDS, 3, before=SHORT), BEYOND, IDS, "the index 3"),
    "P short, void": (png_of(THREE, 3, before=SHORT), BEYOND, THREE, THREE),
    "RGB": (png_of(PHOTO, 2), PHOTO, NO_COLORS, COLOR),
    "RGB painted": (png_of(PAINTED, 2), PAINTED, NO_COLORS, IDS),
    "RGB tRNS": (
        png_of(PAINTED, 2, before=clear(0, 10, 0, 20, 0, 30)),
        PAINTED,
        NO_COLORS,
        CLEAR,
    ),
    "RGBA opaque": (png_of(np.dstack([PAINTED, OPAQUE]), 6), PAINTED, NO_COLORS, IDS),
    "RGBA": (png_of(np.dstack([PAINTED, ALPHA]), 6), PAINTED, CLEAR, CLEAR),
    "RGB 16 bits": (png_of(wide(PHOTO), 2, 16), *3 * [BITS16]),
    "RGBA 16 bits": (png_of(wide(np.dstack([PHOTO, OPAQUE])), 6, 16), *3 * [BITS16]),
    "I;16": (png_of(IDS, 0, 16), BITS16, IDS, IDS),
    "I;16 tRNS": (png_of(IDS, 0, 16, before=clear(0, 1)), BITS16, CLEAR, CLEAR),
    "I;16 > 255": (png_of(wide(IDS), 0, 16), BITS16, "16-bit label", "16-bit label"),
    "RGB ICC": (png_of(PAINTED, 2, before=PROFILE), PAINTED, NO_COLORS, IDS),
    "L ICC": (png_of(IDS, 0, before=PROFILE), grey3(IDS), IDS, IDS),
    "P ICC": (png_of(IDS, 3, before=PROFILE + PLTE), PAINTED, IDS, IDS),
}
FLAT = np.repeat(np.repeat(TABLE[[[1, 2], [3, 255]]], 16, axis=0), 16, axis=1)
INK = np.dstack([255 - FLAT, np.zeros(FLAT.shape[:2], np.uint8)])
BEST = {"quality": 100, "subsampling": 0}
JPEG = {
    "L": (encoded(FLAT[..., 0], "JPEG", **BEST), grey3(FLAT[..., 0])),
    "RGB": (encoded(FLAT, "JPEG", **BEST), FLAT),
    "RGB progressive": (encoded(FLAT, "JPEG", progressive=True, **BEST), FLAT),
    "CMYK": (saved(image(INK, "CMYK"), "JPEG", **BEST), FLAT),
    "RGB with ICC": (
        with_segment(
            encoded(FLAT, "JPEG", **BEST), 0xE2, b"ICC_PROFILE\0\1\1" + bytes(99)
        ),
        FLAT,
    ),
}
OTHER = {
    "TIFF 1": (encoded(BITS > 0, "TIFF"), grey3(BITS * 255)),
    "TIFF L": (encoded(GREY, "TIFF"), grey3(GREY)),
    "TIFF LA": (saved(image(np.dstack([GREY, ALPHA]), "LA"), "TIFF"), grey3(GREY)),
    "TIFF P": (saved(palette_image(), "TIFF"), PAINTED),
    "TIFF PA": (saved(palette_image("PA"), "TIFF"), PAINTED),
    "TIFF RGB": (encoded(PHOTO, "TIFF"), PHOTO),
    "TIFF RGB deflate": (encoded(PHOTO, "TIFF", compression="tiff_deflate"), PHOTO),
    "TIFF RGBA": (saved(image(np.dstack([PHOTO, ALPHA]), "RGBA"), "TIFF"), PHOTO),
    "TIFF CMYK": (saved(image(INK, "CMYK"), "TIFF"), FLAT),
    "TIFF I;16": (encoded(GREY.astype(np.uint16), "TIFF"), BITS16),
    "TIFF F": (encoded(GREY.astype(np.float32), "TIFF"), "32 bits"),
    "TIFF I": (encoded(GREY.astype(np.int32), "TIFF"), "32 bits"),
    "TIFF LAB": (saved(image(PHOTO, "LAB"), "TIFF"), MODE),
    "TIFF of two pages": (
        encoded(PHOTO, "TIFF", save_all=True, append_images=[Image.fromarray(GREY)]),
        PAGES,
    ),
    "BMP RGB": (encoded(PHOTO, "BMP"), PHOTO),
    "BMP P": (saved(palette_image(), "BMP"), PAINTED),
    "BMP L": (encoded(GREY, "BMP"), grey3(GREY)),
    "WebP RGB": (encoded(PHOTO, "WEBP", lossless=True), PHOTO),
    "WebP RGBA opaque": (
        encoded(np.dstack([PHOTO, OPAQUE]), "WEBP", lossless=True, exact=True),
        PHOTO,
    ),
    "WebP animation": (
        saved(
            Image.fromarray(PHOTO),
            "WEBP",
            save_all=True,
            append_images=[Image.fromarray(255 - PHOTO)],
        ),
        PAGES,
    ),
    "GIF": (encoded(GREY, "GIF"), "content is GIF"),
}


def predicted(data):
    return read_color(data, where="x", rotate=True, formats=PICTURE_FORMATS)


def trained(data):
    return read_color(data, where="x")


def labelled(data):
    return read_label(data, where="x")


def labelled_by_colour(data):
    return read_label(data, where="x", colors=COLORS)


def compare(read, data, expected, tolerance=0):
    """Reads, and compares with an array or the text of a refusal."""
    if isinstance(expected, str):
        with pytest.raises(DataError, match=f"^x: .*({expected})"):
            read(data)
        return
    found = read(data)
    assert found.dtype == np.uint8
    assert found.flags.writeable
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("name", PNG)
def test_png(name):
    """Oracle: the arrays that were written, and the rules of each use."""
    data, picture, label, by_colour = PNG[name]
    compare(predicted, data, picture)
    compare(trained, data, picture)
    compare(labelled, data, label)
    compare(labelled_by_colour, data, by_colour)


@pytest.mark.parametrize("name", JPEG)
def test_jpeg(name):
    """Oracle: flat blocks of 16 x 16, within the loss of the best quality."""
    data, expected = JPEG[name]
    compare(predicted, data, expected, 3)
    compare(trained, data, expected, 3)
    compare(labelled, data, NOT_PNG)
    compare(labelled_by_colour, data, NOT_PNG)


@pytest.mark.parametrize("name", OTHER)
def test_formats_that_only_prediction_reads(name):
    """Oracle: the arrays that were written; nothing but pictures without labels."""
    data, expected = OTHER[name]
    compare(predicted, data, expected)
    compare(trained, data, NOT_READ)
    compare(labelled, data, NOT_PNG)


def stored(upright, value):
    """Pixels as a camera stores them (EXIF 2.32, tag 274), one at a time."""
    height, width = upright.shape[:2]
    rows, columns = (width, height) if value in (5, 6, 7, 8) else (height, width)
    result = np.empty((rows, columns, *upright.shape[2:]), upright.dtype)
    for r in range(rows):
        for c in range(columns):
            # where the 0th row, and the 0th column, are in the picture seen
            y, x = {
                2: (r, width - 1 - c),  # top, right
                3: (height - 1 - r, width - 1 - c),  # bottom, right
                4: (height - 1 - r, c),  # bottom, left
                5: (c, r),  # left, top
                6: (c, width - 1 - r),  # right, top
                7: (height - 1 - c, width - 1 - r),  # right, bottom
                8: (height - 1 - c, r),  # left, bottom
            }.get(value, (r, c))
            result[r, c] = upright[y, x]
    return result


@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 300, "6", "top"])
def test_orientations(value):
    """Oracle: EXIF's table of where row 0 and column 0 are; others have no meaning."""
    block = orientation(value)
    turned = value in range(2, 9)
    pixels = stored(PHOTO, value)
    files = [
        png_of(pixels, 2, before=chunk(b"eXIf", block)),
        png_of(pixels, 2, after=chunk(b"eXIf", block)),
        encoded(pixels, "WEBP", lossless=True, exif=b"Exif\0\0" + block),
    ]
    if isinstance(value, int):  # the tag belongs to the file itself
        files.append(encoded(pixels, "TIFF", tiffinfo={274: value}))
    if turned:
        tags = {"tiffinfo": {274: value}, "compression": "tiff_lzw"}
        files.append(encoded(pixels, "TIFF", **tags))
    for data in files:
        compare(predicted, data, PHOTO)
    for data in files[:2]:
        compare(trained, data, ROTATION if turned else PHOTO)
    flat = FLAT[:, :16]
    jpeg = with_exif(encoded(stored(flat, value), "JPEG", **BEST), block)
    compare(predicted, jpeg, flat, 3)
    compare(trained, jpeg, ROTATION if turned else flat, 3)
    assert image_size(jpeg, where="x", rotate=True) == flat.shape[:2]
    assert image_size(jpeg, where="x") == stored(flat, value).shape[:2]
    for kind, before in ((0, b""), (3, PLTE)):
        label = png_of(stored(IDS, value), kind, before=before + chunk(b"eXIf", block))
        compare(labelled, label, ROTATION if turned else IDS)
        compare(labelled_by_colour, label, ROTATION if turned else IDS)
