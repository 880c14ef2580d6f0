"""The files of images/ and labels/: what is read, what is said, what is nobody's."""

import re

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.source import open_folder
from fcn_jax.data.tools.check import check_folder
from tests.data.defects import make_folder


def test_hidden_files_are_no_pictures_to_check(tmp_path):
    """Oracle: the report of the folder before systems left their files in it."""
    root = make_folder(tmp_path)
    before = check_folder(root)
    for name in ("images", "labels", "splits", "."):
        for file in ("._i0.png", ".DS_Store", "Thumbs.db", "desktop.ini", "._val.txt"):
            (root / name / file).write_bytes(b"\0\5\x16\7")
        (root / name / "__MACOSX").mkdir()
        (root / name / "__MACOSX" / "._i1.png").write_bytes(b"x")
    assert check_folder(root) == before
    assert before.problems == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    "ending", [".tif", ".BMP", ".webp", ".gif", ".jpe", ".ppm", ".heic", ".npy"]
)
@pytest.mark.parametrize("place", ["images", "labels"])
@pytest.mark.parametrize("listed", [True, False])
def test_pictures_of_other_formats_are_no_silence(tmp_path, listed, place, ending):
    """Oracle: the one file, in the place of a pair's; the other pairs are counted."""
    root = make_folder(tmp_path, splits=listed)
    own = root / place / "i4.png"
    own.rename(own.with_suffix(ending))
    (problem,) = check_folder(root).problems
    assert f"{place}/i4{ending} is there and is not read; " in problem
    assert check_folder(root).pairs == 9
    with pytest.raises(DataError, match=f"{place}/i4{ending} is there and is not read"):
        open_folder(root, "train")


@pytest.mark.parametrize("ending", [".tif", ".BMP", ".webp", ".gif", ".jpe", ".npy"])
@pytest.mark.parametrize("place", ["images", "labels"])
def test_a_picture_more_is_no_silence_where_lists_do_not_say(tmp_path, place, ending):
    """Oracle: the one file, beside the pairs and beside one of its stem."""
    root = make_folder(tmp_path, splits=False)
    for stem in ("extra", "i4"):
        more = root / place / f"{stem}{ending}"
        more.write_bytes((root / place / "i2.png").read_bytes())
        (problem,) = check_folder(root).problems
        assert f"{place}/{more.name} is not read, since its ending is not" in problem
        more.unlink()
    assert check_folder(root).problems == ()


def test_a_jfif_is_a_jpeg(tmp_path):
    """Oracle: a flat colour, within the loss of the best quality."""
    root = make_folder(tmp_path)
    (root / "images" / "i9.png").unlink()
    flat = np.full((8, 13, 3), (200, 90, 40), np.uint8)
    picture = Image.fromarray(flat)
    picture.save(root / "images" / "i9.jfif", "JPEG", quality=100, subsampling=0)
    assert check_folder(root).problems == ()
    found = open_folder(root, "val")[0].inputs["color"]
    assert np.abs(found.astype(int) - flat).max() <= 3


@pytest.mark.parametrize(
    "name", ["{}_mask", "{}_gtFine_labelIds", "{}-seg", "mask_{}", "{}_L"]
)
def test_the_near_match_of_a_label_is_the_remedy(tmp_path, name):
    """Oracle: the ids as they were, once the file has the name that the sentence gives."""
    root = make_folder(tmp_path)
    before = open_folder(root, "val")[0].labels["semantic"]
    own = root / "labels" / "i9.png"
    other = own.rename(own.with_stem(name.format("i9")))
    (problem,) = [p for p in check_folder(root).problems if "has no file in" in p]
    assert (
        f"labels/{other.name} is near: if it is meant, give it the stem i9" in problem
    )
    other.rename(other.with_stem(re.findall(r"give it the stem (\S+)", problem)[0]))
    assert check_folder(root).problems == ()
    np.testing.assert_array_equal(
        open_folder(root, "val")[0].labels["semantic"], before
    )
