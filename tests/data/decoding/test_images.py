"""Reading pictures and label maps: what comes out, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageFile

from fcn_jax.data.decoding.images import (
    image_size,
    label_encoding,
    read_color,
    read_label,
)
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import voc_palette
from tests.data.image_bytes import encoded, png, saved

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
IDS = RNG.choice(np.array([0, 1, 2, 3, 255], np.uint8), (6, 9))
COLORS = ((0, 0, 0), (10, 20, 30), (255, 0, 0), (0, 0, 255))


def palette_image(ids, colors=None):
    palette = list(voc_palette(256))
    if colors is not None:
        palette[: len(colors)] = colors
    image = Image.fromarray(ids)
    image.putpalette([level for color in palette for level in color])
    return image


def rgb_label():
    colors = np.zeros((256, 3), np.uint8)
    colors[:4] = COLORS
    colors[255] = (224, 224, 192)
    return colors[IDS]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(RGB), RGB),
        (encoded(RGB[..., 0]), np.repeat(RGB[..., :1], 3, axis=-1)),
        (encoded(RGB, mode="RGBA"), RGB),
        (
            encoded(RGB[..., 0], mode="LA"),
            np.repeat(RGB[..., :1], 3, axis=-1),
        ),
        (saved(palette_image(IDS)), np.array(voc_palette(256), np.uint8)[IDS]),
        (
            saved(palette_image(IDS), transparency=bytes(range(256))),
            np.array(voc_palette(256), np.uint8)[IDS],
        ),
        (
            encoded((RGB[..., 0] > 127), mode="1"),
            np.repeat((RGB[..., :1] > 127) * np.uint8(255), 3, axis=-1),
        ),
    ],
    ids=["rgb", "grey", "rgba", "grey-alpha", "palette", "palette-alpha", "bilevel"],
)
def test_read_color_gives_the_stored_values(data, expected):
    """Oracle: the arrays that were encoded; alpha dropped, grey in three channels."""
    image = read_color(data, where="x")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)
    image[:] = 0  # writable


def test_read_color_converts_cmyk_without_a_profile():
    """Oracle: RGB = 255 - CMY where K is 0; JPEG at top quality is off by little."""
    flat = np.empty((16, 16, 4), np.uint8)
    flat[:] = (200, 100, 50, 0)
    data = saved(Image.fromarray(flat, mode="CMYK"), "JPEG", quality=100)
    image = read_color(data, where="x")
    assert np.abs(image.astype(int) - (55, 155, 205)).max() <= 3


def test_read_color_reads_files_and_jpeg(tmp_path):
    """Oracle: the encoded array, within JPEG's loss on a flat image."""
    flat = np.full((20, 30, 3), (40, 90, 160), np.uint8)
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(flat, "JPEG", quality=95))
    image = read_color(path, where="x")
    assert image.shape == flat.shape
    assert np.abs(image.astype(int) - flat).max() <= 3
    assert image_size(path, where="x") == (20, 30)


@pytest.mark.parametrize(
    "data",
    [
        saved(palette_image(IDS, COLORS)),
        encoded(IDS),
        encoded(IDS.astype(np.uint16)),
        encoded(rgb_label()),
    ],
    ids=["palette", "grey", "grey16", "rgb"],
)
def test_every_label_encoding_gives_the_same_ids(data):
    """Oracle: the ids that were encoded."""
    ids = read_label(data, where="x", colors=COLORS)
    assert ids.dtype == np.uint8
    np.testing.assert_array_equal(ids, IDS)


@pytest.mark.parametrize(
    ("depth", "rows", "expected"),
    [
        (1, [[0b10100000], [0b01000000]], [[1, 0, 1], [0, 1, 0]]),
        (2, [[0b00011000], [0b11100100]], [[0, 1, 2], [3, 2, 1]]),
        (4, [[0x01, 0x20], [0xFE, 0x30]], [[0, 1, 2], [15, 14, 3]]),
    ],
)
def test_narrow_grey_labels_are_not_stretched(depth, rows, expected):
    """Oracle: the bits of PNG files written by hand."""
    data = png(3, 2, depth, 0, rows)
    np.testing.assert_array_equal(read_label(data, where="x"), expected)


def test_label_palette_of_few_bits_keeps_its_indices():
    """Oracle: the indices that were encoded, with 2 bits a pixel."""
    ids = np.array([[0, 1, 2, 3]], np.uint8)
    image = palette_image(ids)
    data = saved(image, bits=2)
    assert data[24] == 2
    np.testing.assert_array_equal(read_label(data, where="x"), ids)


SHUFFLE = RNG.permutation(256)


@pytest.mark.parametrize("dtype", ["palette", "few colours", "two bits"])
def test_palette_labels_are_read_by_colour_where_colours_are_known(dtype):
    """Oracle: the ids that were painted, whatever the palette's order and bits."""
    colors = dict(enumerate(COLORS)) | {255: (224, 224, 192)}
    used = [255, 3, 0, 2, 1] if dtype != "two bits" else [3, 255, 0, 1]
    ids = RNG.choice(np.array(used, np.uint8), (7, 5))
    place = {id: SHUFFLE[id] if dtype == "palette" else used.index(id) for id in used}
    image = Image.fromarray(np.vectorize(place.get, otypes=[np.uint8])(ids))
    palette = np.full((256, 3), 77, np.uint8)
    for id, index in place.items():
        palette[index] = colors[id]
    count = 256 if dtype == "palette" else len(used)
    image.putpalette(palette[:count].tobytes())
    data = saved(image, bits=2 if dtype == "two bits" else 8)
    np.testing.assert_array_equal(read_label(data, where="x", colors=COLORS), ids)
    stored = read_label(data, where="x")
    np.testing.assert_array_equal(stored, np.array(image))


def test_palette_labels_whose_colours_no_class_has_are_refused():
    """Oracle: the two pixels of colour 5 of VOC, which is none of the four."""
    ids = np.array([[0, 1, 5], [5, 2, 0]], np.uint8)
    with pytest.raises(DataError, match=r"no class has, \(128, 0, 128\) \(2 pixels\)"):
        read_label(saved(palette_image(ids, COLORS)), where="x", colors=COLORS)


def test_an_index_beyond_the_palette_is_refused():
    """Oracle: three colours of which there is no number 3."""
    ids = np.array([[0, 1, 3]], np.uint8)
    image = Image.fromarray(ids)
    image.putpalette([level for color in COLORS[:3] for level in color])
    with pytest.raises(DataError, match="3 colours and its pixels the index 3"):
        read_label(saved(image, bits=8), where="x", colors=COLORS)


BLACK_AND_WHITE = ((0, 0, 0), (255, 255, 255))
FOUR_GREYS = ((255, 255, 255), (170, 170, 170), (85, 85, 85), (0, 0, 0))


@pytest.mark.parametrize(
    ("data", "colors", "expected"),
    [
        (png(3, 1, 1, 0, [[0b10100000]]), BLACK_AND_WHITE, [[1, 0, 1]]),
        (png(3, 1, 8, 0, [[1, 0, 255]]), BLACK_AND_WHITE, [[1, 0, 255]]),
        (png(3, 1, 8, 0, [[0, 170, 85]]), FOUR_GREYS, [[3, 1, 2]]),
        (png(2, 1, 8, 0, [[128, 0]]), ((0, 0, 0), (128, 128, 128)), [[1, 0]]),
        (png(2, 1, 4, 0, [[0x20]]), COLORS, [[2, 0]]),
        (png(2, 1, 8, 0, [[9, 0]]), COLORS, [[9, 0]]),
    ],
    ids=["1 bit", "ids", "greys", "two greys", "4 bits", "unknown"],
)
def test_grey_labels_where_colours_are_known(data, colors, expected):
    """Oracle: ids by hand; a value that is no id and no colour is left to the check."""
    np.testing.assert_array_equal(read_label(data, where="x", colors=colors), expected)


@pytest.mark.parametrize(
    ("data", "colors"),
    [
        (png(2, 1, 8, 0, [[0, 255]]), BLACK_AND_WHITE),
        (png(4, 1, 2, 0, [[0b00011011]]), FOUR_GREYS),
        (png(2, 1, 1, 0, [[0]]), FOUR_GREYS),
    ],
    ids=["0 and 255", "2 bits", "all black"],
)
def test_grey_labels_that_can_be_read_in_two_ways_are_refused(data, colors):
    """Oracle: both readings are valid and differ, by hand."""
    with pytest.raises(DataError, match="are class ids, and as greys the colours"):
        read_label(data, where="x", colors=colors)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (saved(palette_image(IDS, COLORS)), ("palette", 8, 256)),
        (saved(palette_image(IDS % 4), bits=2), ("palette", 2, 4)),
        (encoded(IDS > 1, mode="1"), ("grey", 1, 0)),
        (png(2, 1, 4, 0, [[0x20]]), ("grey", 4, 0)),
        (encoded(IDS), ("grey", 8, 0)),
        (encoded(IDS.astype(np.uint16)), ("grey", 16, 0)),
        (encoded(RGB), ("color", 8, 0)),
        (encoded(IDS, mode="LA"), ("grey with alpha", 8, 0)),
        (encoded(RGB, mode="RGBA"), ("color with alpha", 8, 0)),
    ],
)
def test_label_encoding_tells_how_values_are_stored(data, expected, tmp_path):
    """Oracle: what was asked of the encoder, and the palette it was given."""
    path = tmp_path / "a.png"
    path.write_bytes(data)
    found = label_encoding(path, where="x")
    assert (found.kind, found.depth, len(found.palette)) == expected
    assert found == label_encoding(data, where="x")
    if expected[0] == "palette":
        own = COLORS if expected[1] == 8 else voc_palette(4)
        assert found.palette[:4] == own


@pytest.mark.parametrize(
    "data",
    [encoded(RGB, "JPEG"), b"", encoded(RGB)[:30], encoded(RGB)[:20] + b"?" * 99],
)
def test_label_encoding_refuses_what_is_no_png(data):
    """Oracle: the first bytes of the PNG specification, and its checksums."""
    with pytest.raises(DataError, match="^my label: "):
        label_encoding(data, where="my label")


def rotated(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


BAD_COLOR = {
    "gif": (encoded(RGB, "GIF"), "not a readable JPEG or PNG file.*content is GIF"),
    "text": (b"not an image", "not a readable JPEG or PNG"),
    "empty": (b"", "the file is empty; fetch or save it again"),
    "cut jpeg": (
        encoded(NOISE, "JPEG")[:2000],
        "cannot be decoded.*truncated",
    ),
    "cut png": (encoded(NOISE)[:4000], "cannot be decoded"),
    "broken png": (
        encoded(RGB)[:45] + b"\xff" * 10 + encoded(RGB)[55:],
        "cannot be decoded",
    ),
    "rgb16": (png(1, 1, 16, 2, [[1, 2, 3, 4, 5, 6]]), "16 bits a channel"),
    "grey16": (encoded(IDS.astype(np.uint16) * 257), "16 bits a channel"),
    "grey16 alpha": (png(1, 1, 16, 4, [[1, 2, 3, 4]]), "16 bits a channel"),
    "exif 6": (encoded(RGB, "JPEG", exif=rotated(6)), r"rotation \(orientation 6\)"),
    "exif png": (encoded(RGB, exif=rotated(3)), r"rotation \(orientation 3\)"),
}


@pytest.mark.parametrize("kind", BAD_COLOR)
def test_read_color_refuses(kind):
    """Oracle: the table of inputs that would train silently wrong."""
    data, message = BAD_COLOR[kind]
    with pytest.raises(DataError, match=f"^my picture: .*{message}"):
        read_color(data, where="my picture")


def test_exif_orientation_one_is_accepted():
    """Oracle: orientation 1 is the stored orientation."""
    data = encoded(RGB, exif=rotated(1))
    np.testing.assert_array_equal(read_color(data, where="x"), RGB)


BAD_LABEL = {
    "jpeg": (encoded(IDS, "JPEG"), "not a readable PNG file"),
    "16 bit": (encoded(np.full((2, 2), 300, np.uint16)), "16-bit label with ids 300"),
    "rgba": (encoded(np.dstack([RGB, RGB[..., :1]])), "transparent pixels"),
    "grey alpha": (encoded(np.dstack([IDS, IDS])), "transparent pixels"),
    "rgb16": (png(1, 1, 16, 2, [[0] * 6]), "label of mode RGB with 16 bits"),
    "cut": (encoded(NOISE[..., 0])[:2000], "cannot be decoded"),
    "exif": (encoded(IDS, exif=rotated(8)), r"orientation 8"),
    "unknown colours": (
        encoded(np.array([[[0, 0, 0], [1, 2, 3], [1, 2, 3]]], np.uint8)),
        r"colours that no class has, \(1, 2, 3\) \(2 pixels\)",
    ),
}


@pytest.mark.parametrize("kind", BAD_LABEL)
def test_read_label_refuses(kind):
    """Oracle: the table of label files whose ids cannot be known."""
    data, message = BAD_LABEL[kind]
    with pytest.raises(DataError, match=f"^my label: .*{message}"):
        read_label(data, where="my label", colors=COLORS)


def test_rgb_labels_need_colours():
    """Oracle: without colours an RGB label has no ids."""
    with pytest.raises(DataError, match="classes have no colours; give each line"):
        read_label(encoded(rgb_label()), where="x")


@pytest.mark.parametrize("read", [read_color, read_label, image_size])
def test_large_images_are_refused_on_their_header(read):
    """Oracle: a header of 20000x20000 without any pixels behind it."""
    data = png(20000, 20000, 8, 0, [])
    with pytest.raises(DataError, match="20000x20000|decompression bomb"):
        read(data, where="x")
    data = png(9000, 9000, 8, 0, [])
    with pytest.raises(DataError, match="9000x9000 pixels, more than the 67108864"):
        read(data, where="x")


def test_missing_files_are_named(tmp_path):
    """Oracle: the path that was asked for."""
    with pytest.raises(DataError, match="x: there is no file .*a.png"):
        read_color(tmp_path / "a.png", where="x")


def test_half_images_are_refused_where_pillow_would_accept_them(monkeypatch):
    """Oracle: Pillow's own switch, under which truncated files load."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(DataError, match="LOAD_TRUNCATED_IMAGES"):
        read_color(encoded(RGB), where="x")


def test_damaged_files_only_ever_raise_data_errors():
    """Oracle: 400 files with random bytes changed or cut; a decode or a DataError."""
    rng = np.random.default_rng(1)
    files = [
        encoded(np.tile(RGB, (5, 5, 1)), "JPEG", exif=rotated(1)),
        encoded(RGB, exif=rotated(1)),
        saved(palette_image(IDS)),
        encoded(IDS.astype(np.uint16)),
    ]
    for trial in range(400):
        data = bytearray(files[trial % len(files)])
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        if trial % 3 == 0:
            data = data[: int(rng.integers(len(data)))]
        for read in (read_color, read_label):
            try:
                array = read(bytes(data), where="x")
            except DataError:
                continue
            assert array.dtype == np.uint8


def test_conversions_are_said_once(tmp_path):
    """Oracle: the log of a process that reads two grey and two RGBA images."""
    for name, mode in (("a", "L"), ("b", "L"), ("c", "RGBA"), ("d", "RGBA")):
        (tmp_path / f"{name}.png").write_bytes(encoded(RGB, mode=mode))
    code = (
        "import pathlib, sys\n"
        "from fcn_jax.data.decoding.images import read_color\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    read_color(path, where=path.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is grey") == 1
    assert done.stderr.count("alpha") == 1
    assert "a.png" in done.stderr
    assert "b.png" not in done.stderr
