"""Miniature PASCAL VOC and SBD trees in the layout of the published archives."""

import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from PIL import Image

from fcn_jax.data.labels import voc_palette

TEST_DATA = Path(os.environ.get("FCN_JAX_TEST_DATA", ""))

needs_test_data = pytest.mark.skipif(
    not (os.environ.get("FCN_JAX_TEST_DATA") and (TEST_DATA / "voc_sample").is_dir()),
    reason="FCN_JAX_TEST_DATA names no directory with voc_sample/ in it",
)


def _generator(*parts: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32("/".join(parts).encode()))


def size_of(name: str) -> tuple[int, int]:
    """(height, width), never the same, so that swapped axes fail."""
    height, more = _generator("size", name).integers((5, 1), (12, 9))
    return int(height), int(height + more)


def picture(name: str, kind: str = "voc") -> np.ndarray:
    """What is saved as JPEG; `kind` tells VOC's photograph from SBD's."""
    return _generator(kind, name).integers(0, 256, (*size_of(name), 3), dtype=np.uint8)


def voc_label(name: str) -> np.ndarray:
    """Ids 0..20 within a band of 255."""
    ids = _generator("label", name).integers(0, 21, size_of(name), dtype=np.uint8)
    ids[0, :] = ids[:, 0] = 255
    ids[1, 1] = 20
    return ids


def sbd_label(name: str) -> np.ndarray:
    """Ids 0..20, no void."""
    ids = _generator("sbd label", name).integers(0, 21, size_of(name), dtype=np.uint8)
    ids[0, 0], ids[-1, 0] = 20, 0
    return ids


def write_palette_png(path: Path, ids: np.ndarray) -> None:
    """Indices with the VOC palette, as the published labels are."""
    image = Image.fromarray(ids)
    image.putpalette([level for color in voc_palette(256) for level in color])
    assert image.mode == "P"
    image.save(path)


def write_lists(folder: Path, lists: Mapping[str, Sequence[str]]) -> None:
    """One text file a split, one id a line."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, ids in lists.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in ids))


def write_voc(tree: Path, lists: Mapping[str, Sequence[str]]) -> Path:
    """A VOC<year>/ tree with a train, a val and, unless given, a trainval list."""
    both = sorted({name for ids in lists.values() for name in ids})
    write_lists(tree / "ImageSets" / "Segmentation", {"trainval": both, **lists})
    for folder in ("JPEGImages", "SegmentationClass"):
        (tree / folder).mkdir()
    for name in both:
        Image.fromarray(picture(name)).save(tree / "JPEGImages" / f"{name}.jpg")
        write_palette_png(tree / "SegmentationClass" / f"{name}.png", voc_label(name))
    return tree


def write_mat(path: Path, ids: np.ndarray, *, compressed: bool = True) -> None:
    """The struct GTcls with its three fields, Boundaries a cell of sparse maps."""
    boundaries = np.empty((20, 1), object)
    for k in range(20):
        boundaries[k, 0] = scipy.sparse.csc_matrix(ids == k + 1)
    present = np.setdiff1d(ids, [0])[:, None]
    fields = {
        "Segmentation": ids,
        "Boundaries": boundaries,
        "CategoriesPresent": present,
    }
    scipy.io.savemat(path, {"GTcls": fields}, do_compression=compressed)


def write_sbd(tree: Path, lists: Mapping[str, Sequence[str]]) -> Path:
    """A dataset/ tree; every other label file is compressed."""
    write_lists(tree, lists)
    for folder in ("img", "cls"):
        (tree / folder).mkdir()
    names = [name for ids in lists.values() for name in ids]
    for index, name in enumerate(names):
        Image.fromarray(picture(name, "sbd")).save(tree / "img" / f"{name}.jpg")
        write_mat(
            tree / "cls" / f"{name}.mat", sbd_label(name), compressed=bool(index % 2)
        )
    return tree


def pixels(path: Path) -> np.ndarray:
    """A file as Pillow alone reads it."""
    with Image.open(path) as image:
        return np.array(image)
