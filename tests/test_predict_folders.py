"""The command line over folders of all sorts: no picture ends it for the others.

In the place of the network is the brightness of red, so that every label is known.
"""

import socket
import struct

import jax
import numpy as np
import pytest
from PIL import Image

from fcn_jax import predict
from fcn_jax.data.labels import VOC, Classes
from fcn_jax.inference import segmenter
from fcn_jax.runtime import cli
from tests.data.image_bytes import encoded, exif, orientation, png_of, with_exif

CLASSES = Classes(VOC.names[:4], VOC.palette[:4])


def red(image):
    """The label map: two bits of red."""
    return image[..., 0] >> 6


class Found:
    """What a device would be working on."""

    def __init__(self, image):
        self.image = image

    def labels(self):
        if self.image.shape[0] == 13:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory " * 99)
        return {"semantic": red(self.image)}


class Network:
    """Labels by red; fails on pictures of some heights, as networks can."""

    inputs = ("color",)
    outputs = {"semantic": CLASSES}
    dtype = "float32"

    def fit(self, size):
        return (8, 16), False

    def rows(self, fits, most):
        return {fit: most or 1 for fit in fits}

    def refuse_small(self, size, name):
        if min(size) < 3:
            raise ValueError(f"{name} is too small")

    def begin_batch(self, images, *, scores, rows):
        assert len(images) <= rows
        for image in images:
            if image.shape[0] == 11:
                raise MemoryError
            if image.shape[0] == 12:
                raise TypeError("a defect")
        return [Found(image) for image in images]


@pytest.fixture(autouse=True)
def _network(monkeypatch):
    monkeypatch.setattr(segmenter.Segmenter, "load", lambda *_: Network())
    for name in ("enable_compilation_cache", "trim_compiler_memory", "set_up_logging"):
        monkeypatch.setattr(predict, name, lambda: None)


def photo(seed, height=6, width=9):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def run(tmp_path, *names, capsys, batch=0):
    """Status, printed lines, lines of errors, and the label maps by name."""
    output = tmp_path / "out"
    arguments = [f"--checkpoint={tmp_path}", f"--output={output}", *map(str, names)]
    arguments.append(f"--batch={batch}")
    status = predict.main(arguments)
    printed = capsys.readouterr()
    errors = [x for x in printed.err.splitlines() if x.startswith("error: ")]
    maps = {}
    for path in sorted(output.rglob("*.png")):
        with Image.open(path) as picture:
            maps[str(path.relative_to(output))] = np.asarray(picture)
    return status, printed.out, errors, maps


def same(maps, expected):
    assert maps.keys() == expected.keys()
    for name, image in expected.items():
        np.testing.assert_array_equal(maps[name], red(image))


def test_nested_folders_keep_their_tree(tmp_path, capsys):
    """Oracle: red of the pixels that were written; the files that are none, counted."""
    photos = tmp_path / "photos"
    files = {
        "a.tif": encoded(photo(0), "TIFF"),
        "b/a.bmp": encoded(photo(1), "BMP"),
        "b/c/a.webp": encoded(photo(2), "WEBP", lossless=True),
        "b/d.png": encoded(photo(3)),
        "b/._d.png": b"of a Mac",
        "Thumbs.db": b"of Windows",
        "b/film.gif": encoded(photo(4)[..., 0], "GIF"),
        "notes.txt": b"none",
    }
    for name, data in files.items():
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(data)
    status, out, errors, maps = run(tmp_path, photos, capsys=capsys)
    assert (status, errors) == (0, [])
    assert "4 of 4 pictures labelled" in out
    assert "2 files were left out" in out
    assert "1 .gif" in out
    expected = {"a.png": photo(0), "b/a.png": photo(1)}
    same(maps, expected | {"b/c/a.png": photo(2), "b/d.png": photo(3)})
    status, out, errors, again = run(tmp_path, tmp_path, capsys=capsys)  # out is in it
    assert "4 of 4 pictures labelled" in out
    assert [name for name in again if name.startswith("photos/")] == [
        *("photos/a.png", "photos/b/a.png", "photos/b/c/a.png", "photos/b/d.png")
    ]


@pytest.mark.parametrize("batch", [0, 2, 5, 50])
def test_whatever_goes_wrong_with_a_picture_is_its_own_line(tmp_path, capsys, batch):
    """Oracle: which pictures are bad, and how, by hand; the others are labelled."""
    pages = [Image.fromarray(photo(9))]
    files = {
        "a_good.png": encoded(photo(0)),
        "b_cut.jpg": encoded(photo(1, 60, 60), "JPEG")[:500],
        "c_no_memory.png": encoded(photo(2, 11)),
        "d_defect.png": encoded(photo(3, 12)),
        "e_device.png": encoded(photo(4, 13)),
        "f_deep.tif": encoded(photo(5)[..., 0].astype(np.uint16), "TIFF"),
        "g_pages.tif": encoded(photo(6), "TIFF", save_all=True, append_images=pages),
        "h_small.png": encoded(photo(7, 2)),
        "i_empty.jpg": b"",
        "j_heic.jpg": b"\0\0\0\x18ftypheic" + bytes(99),
        "k_bomb.png": png_of(np.zeros((6000, 8000), np.uint8), 0),
        "z_good.png": encoded(photo(8)),
    }
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, data in files.items():
        (photos / name).write_bytes(data)
    status, out, errors, maps = run(tmp_path, photos, capsys=capsys, batch=batch)
    assert status == 2
    assert "2 of 12 pictures labelled" in out
    same(maps, {"a_good.png": photo(0), "z_good.png": photo(8)})
    words = {
        "b_cut.jpg": "cannot be decoded",
        "c_no_memory.png": "memory",
        "d_defect.png": "TypeError: a defect",
        "e_device.png": "memory",
        "f_deep.tif": "16 bits a channel",
        "g_pages.tif": "several pages",
        "h_small.png": "too small",
        "i_empty.jpg": "is empty",
        "j_heic.jpg": "content is HEIC",
        "k_bomb.png": "MB in memory",
    }
    assert len(errors) == len(words)
    for error, (name, word) in zip(errors, words.items(), strict=True):
        assert name in error
        assert word in error
        assert len(error) < 500


SIX = struct.pack("<HH", 6, 0)
BLOCKS = {
    "resolution": exif((0x112, 3, 1, SIX), (0x11A, 2, 3, b"72\0\0")),
    "date": exif((0x112, 3, 1, SIX), (0x132, 5, 1, struct.pack("<I", 38))) + bytes(8),
    "unit": exif((0x112, 3, 1, SIX), (0x128, 2, 2, b"2\0\0\0")),
    "long": exif((0x112, 4, 1, SIX)),
    "plain": orientation(6),
}


def test_odd_tags_of_photographs(tmp_path, capsys):
    """Oracle: a quarter turn of the stored pixels, a grey ramp of which red is known."""
    ramp = np.repeat(
        np.repeat(np.arange(4, dtype=np.uint8) * 64 + 32, 16)[:, None], 48, 1
    )
    jpeg = encoded(ramp, "JPEG", quality=100)
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, block in BLOCKS.items():
        (photos / f"{name}.jpg").write_bytes(with_exif(jpeg, block))
    status, _, errors, maps = run(tmp_path, photos, capsys=capsys)
    assert (status, errors) == (0, [])
    assert maps.keys() == {f"{name}.png" for name in BLOCKS}
    for found in maps.values():
        np.testing.assert_array_equal(found, np.rot90(ramp, -1) >> 6)


def test_what_a_killed_run_left_is_removed(tmp_path, capsys):
    """Oracle: the names, by hand: a dead process's file, this one's, and a result."""
    (tmp_path / "a.png").write_bytes(encoded(photo(0)))
    below = tmp_path / "out" / "day"
    below.mkdir(parents=True)
    left = below / f"b.png.partial-{socket.gethostname()}-999999999"
    for path in (left, below / "b.png"):
        path.write_bytes(encoded(photo(1)))
    run(tmp_path, tmp_path / "a.png", capsys=capsys)
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == [
        *("a.png", "b.png")
    ]


def test_pictures_that_need_too_much_are_refused_unread(tmp_path, capsys, monkeypatch):
    """Oracle: 16 bytes for each pixel of the header, by hand."""
    monkeypatch.setattr("fcn_jax.runtime.memory.available", lambda: 16 * 6 * 9)
    (tmp_path / "a.png").write_bytes(encoded(photo(0, 6, 9)))
    (tmp_path / "b.png").write_bytes(encoded(photo(1, 7, 9)))
    status, _, errors, maps = run(
        tmp_path, tmp_path / "a.png", tmp_path / "b.png", capsys=capsys
    )
    assert status == 2
    assert len(errors) == 1
    assert "b.png" in errors[0]
    assert "GB of memory" in errors[0]
    same(maps, {"a.png": photo(0, 6, 9)})


def test_tilde_is_the_home_directory(tmp_path, capsys, monkeypatch):
    """Oracle: red of the pixels, in the home directory; nothing is called `~`."""
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home / "photos" / "day", home / "net", here):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    asked = []
    load = segmenter.Segmenter.load
    monkeypatch.setattr(
        segmenter.Segmenter, "load", lambda path, *_: asked.append(path) or load()
    )
    (home / "photos" / "a.png").write_bytes(encoded(photo(0)))
    (home / "photos" / "day" / "b.png").write_bytes(encoded(photo(1)))
    (home / "c.png").write_bytes(encoded(photo(2)))
    words = "--checkpoint=~/net --output=~/out ~/photos ~/c*.png"
    with pytest.raises(SystemExit) as ended:
        cli.run(predict.main, words.split())
    assert not ended.value.code, capsys.readouterr().err
    assert [str(path) for path in asked] == [str(home / "net")]
    for name, seed in (("a.png", 0), ("day/b.png", 1), ("c.png", 2)):
        with Image.open(home / "out" / name) as picture:
            np.testing.assert_array_equal(np.asarray(picture), red(photo(seed)))
    assert list(here.iterdir()) == []
