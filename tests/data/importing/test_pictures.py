"""Pictures that are written. Oracle: bytes on disk, pixels as Pillow reads them."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from fcn_jax.data.examples import DataError
from tests.data.importing.exports import (
    imported,
    label_map,
    labels,
    names,
    picture,
    same,
    save,
    write_json,
)


def pixels(path):
    with Image.open(path) as image:
        return np.array(image), image.format, image.getexif().get(0x0112)


@pytest.mark.parametrize(
    ("ending", "written"), [(".jpg", ".jpg"), (".JPEG", ".jpeg"), (".png", ".png")]
)
def test_jpeg_and_png_keep_their_bytes(tmp_path, ending, written):
    source = tmp_path / "source"
    path = source / "images" / f"a{ending}"
    save(path, picture(0))
    save(source / "masks" / "a.png", label_map(0, 2))
    target, table = imported(source, names=("a", "b"))
    assert (target / "images" / f"a{written}").read_bytes() == path.read_bytes()
    assert table["pictures"] == "1 copied byte for byte"


def test_jpeg_bytes_called_png(tmp_path):
    source = tmp_path / "source"
    save(source / "a.jpg", picture(0))
    (source / "images").mkdir()
    content = (source / "a.jpg").read_bytes()
    (source / "a.jpg").rename(source / "images" / "a.png")
    save(source / "masks" / "a.png", label_map(0, 2))
    target, _ = imported(source, names=("a", "b"))
    assert (target / "images" / "a.jpg").read_bytes() == content


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA"])
@pytest.mark.parametrize("ending", [".tif", ".bmp", ".webp"])
def test_others_keep_their_pixels(tmp_path, ending, mode):
    source = tmp_path / "source"
    path = source / "images" / f"a{ending}"
    path.parent.mkdir(parents=True)
    Image.fromarray(picture(0)).convert(mode).save(path, lossless=True)
    save(source / "masks" / "a.png", label_map(0, 2))
    target, table = imported(source, names=("a", "b"))
    with Image.open(path) as image, Image.open(target / "images" / "a.png") as other:
        assert other.format == "PNG"
        np.testing.assert_array_equal(
            np.array(other.convert("RGBA")), np.array(image.convert("RGBA"))
        )
    assert "to PNG" in table["pictures"]


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_more_than_8_bits_are_refused(tmp_path, mode):
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    values = picture(0)[..., 0].astype(np.uint16 if mode == "I;16" else np.float32)
    Image.fromarray(values).save(source / "images" / "a.tif")
    save(source / "masks" / "a.png", label_map(0, 2))
    with pytest.raises(DataError, match="no equal as PNG of 8 bits"):
        imported(source, names=("a", "b"))


def test_several_frames_are_refused(tmp_path):
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    frames = [Image.fromarray(picture(i)) for i in range(2)]
    frames[0].save(source / "images" / "a.tif", save_all=True, append_images=frames[1:])
    save(source / "masks" / "a.png", label_map(0, 2))
    with pytest.raises(DataError, match="several pages"):
        imported(source, names=("a", "b"))


TURNS = {  # orientation -> how numpy turns the stored pixels upright
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def save_turned(path, orientation, size=(9, 14)):
    """A PNG with a tag; the stored pixels are `picture(0)`."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(0, size)).save(path, exif=exif)


@pytest.mark.slow
@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("exif", ["turned", "stored"])
def test_turned_pictures_with_masks(tmp_path, orientation, exif):
    """The size of the mask tells, or else --exif."""
    source = tmp_path / "source"
    save_turned(source / "images" / "a.png", orientation)
    upright = TURNS[orientation](picture(0))
    wanted = upright if exif == "turned" else picture(0)
    ids = label_map(0, 2, wanted.shape[:2])
    save(source / "masks" / "a.png", ids)
    if orientation < 5:
        with pytest.raises(DataError, match="--exif=turned or --exif=stored"):
            imported(source, names=("a", "b"))
        target, _ = imported(source, names=("a", "b"), exif=exif)
    else:
        target, _ = imported(source, names=("a", "b"))
    got, form, tag = pixels(target / "images" / "a.png")
    np.testing.assert_array_equal(got, wanted)
    assert form == "PNG"
    assert tag is None
    same(labels(target), {"a": ids})


@pytest.mark.parametrize("orientation", TURNS)
def test_labelme_shows_pictures_turned(tmp_path, orientation):
    source = tmp_path / "source"
    save_turned(source / "a.png", orientation, (12, 12))
    box = {"label": "cell", "points": [[1, 2], [4, 8]], "shape_type": "rectangle"}
    write_json(
        source / "a.json",
        {"shapes": [box], "imagePath": "a.png", "imageHeight": 12, "imageWidth": 12},
    )
    target, table = imported(source)
    got, _, tag = pixels(target / "images" / "a.png")
    np.testing.assert_array_equal(got, TURNS[orientation](picture(0, (12, 12))))
    assert tag is None
    ids = np.zeros((12, 12), np.uint8)
    ids[2:9, 1:5] = 1
    same(labels(target), {"a": ids})
    assert table["pictures"] == "1 turned by the EXIF tag, as PNG"


def test_jpeg_pixels_that_are_turned_are_not_compressed_again(tmp_path):
    source = tmp_path / "source"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = source / "images" / "a.jpg"
    path.parent.mkdir(parents=True)
    Image.fromarray(picture(0)).save(path, exif=exif)
    save(source / "masks" / "a.png", label_map(0, 2, (14, 9)))
    target, _ = imported(source, names=("a", "b"))
    got, _, _ = pixels(target / "images" / "a.png")
    np.testing.assert_array_equal(got, np.rot90(pixels(path)[0], -1))
    assert names(target) == ["a", "b"]
