"""The Semantic Boundaries Dataset, whole-image labels: 20 classes and background.

Hariharan, Arbelaez, Bourdev, Maji and Malik, "Semantic contours from inverse detectors"
(ICCV 2011): labels of 11,355 images of PASCAL VOC 2011, whose classes and ids they
have. Unlike VOC's own there is no void band; every pixel is 0..20.

The tree is dataset/ of the archive: img/<id>.jpg, cls/<id>.mat, train.txt and val.txt.
Photographs pass through byte for byte; GTcls.Segmentation of the MATLAB files becomes
a PNG.
"""

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fcn_jax.data.builders import archives
from fcn_jax.data.builders.dataset import Dataset, Item
from fcn_jax.data.builders.mat5 import read_array
from fcn_jax.data.builders.voc_lists import read_list, refuse_missing, refuse_shared
from fcn_jax.data.examples import DataError, describe_counts
from fcn_jax.data.labels import VOC

COUNTS = {"train": 8498, "val": 2857}
ORIGIN = (
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
    "semantic_contours/benchmark.tgz (no licence stated; photographs of Flickr)"
)
PIECES = ("img", "cls")
PLACES = tuple(
    f"{parent}{inner}"
    for parent in ("", "sbd/", "SBD/", "benchmark/")
    for inner in ("benchmark_RELEASE/dataset", "dataset", "")
)


def read_tree(source: Path, lists: Path) -> dict[str, list[Item]]:
    """Return the examples of train and val.

    Args:
        source: the directory that holds the tree.
        lists: not needed; the tree has its lists.

    Raises:
        DataError: for a tree, list or file that is missing, a list that is not one id a
            line, or an image of both splits.
    """
    del lists
    tree = require_tree(source)
    ids = {split: read_split(tree, split) for split in COUNTS}
    refuse_shared(
        ids["train"],
        ids["val"],
        f"train and val of {tree}; take the lists of {ORIGIN}",
    )
    return {
        split: sbd_items(tree, own, of=f"split {split}") for split, own in ids.items()
    }


def require_tree(source: Path) -> Path:
    """Return the tree below a directory.

    Raises:
        DataError: naming what is missing.
    """
    trees = [source / place for place in PLACES]
    for tree in trees:
        if all((tree / piece).is_dir() for piece in PIECES):
            return tree
    begun = [t for t in trees if any((t / piece).is_dir() for piece in PIECES)]
    if begun:
        absent = next(p for p in PIECES if not (begun[0] / p).is_dir())
        what = f"{begun[0]} lacks {absent}/"
    else:
        what = (
            f"{source} holds no SBD tree (dataset/ with img/, cls/, train.txt and "
            "val.txt, in it, in benchmark_RELEASE/ or in sbd/)"
        )
    raise DataError(f"{what}; extract {ORIGIN}")


def read_split(tree: Path, split: str) -> list[str]:
    """Return the image ids of a split.

    Raises:
        DataError: see `read_list`.
    """
    return read_list(tree / f"{split}.txt", ORIGIN)


def sbd_items(tree: Path, ids: Sequence[str], *, of: str) -> list[Item]:
    """Return the photographs and labels that have these ids, in their order.

    Raises:
        DataError: where files are missing.
    """
    pairs = [(f"img/{name}.jpg", f"cls/{name}.mat") for name in ids]
    refuse_missing(tree, [file for pair in pairs for file in pair], ORIGIN, of=of)
    return [
        Item(
            name=name,
            inputs={"color": (tree / image).read_bytes},
            labels={"semantic": functools.partial(label_png, tree / label)},
            files=f"SBD {image}, {label}",
        )
        for name, (image, label) in zip(ids, pairs, strict=True)
    ]


def label_png(path: Path) -> bytes:
    """Return a cls/<id>.mat file as grey PNG, see `segmentation`."""
    buffer = io.BytesIO()
    Image.fromarray(segmentation(path)).save(buffer, "PNG")
    return buffer.getvalue()


def segmentation(path: Path) -> np.ndarray:
    """Return the label map of a cls/<id>.mat file.

    Args:
        path: MATLAB 5 file with the struct GTcls, whose field Segmentation holds ids.

    Returns:
        `[H, W] uint8`, ids 0..20.

    Raises:
        DataError: for a damaged file, another struct, or other ids; 255 is refused too,
            which SBD has not.
        OSError: where the file cannot be read.
    """
    remedy = f"get the file again from {ORIGIN}"
    ids = read_array(path, "GTcls", "Segmentation", remedy=remedy)
    if ids.ndim != 2 or not ids.size:
        raise DataError(
            f"{path}: GTcls.Segmentation is of the shape {ids.shape}; it must be "
            f"(height, width): {remedy}"
        )
    outside, pixels = np.unique(ids[~np.isin(ids, range(len(VOC)))], return_counts=True)
    if outside.size:
        counts = dict(zip(outside.tolist(), pixels.tolist(), strict=True))
        raise DataError(
            f"{path}: GTcls.Segmentation has the ids {describe_counts(counts)}; SBD's "
            f"are 0..20, without void: {remedy}"
        )
    return ids.astype(np.uint8)


DATASET = Dataset(
    name="sbd",
    version="1.0.0",
    outputs={"semantic": VOC},
    inputs=("color",),
    counts=COUNTS,
    void=None,
    read_tree=read_tree,
    origin=ORIGIN,
    archives=(archives.SBD,),
)
