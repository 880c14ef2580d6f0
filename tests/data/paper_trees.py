"""Miniature trees of SIFT Flow, PASCAL-Context and NYUDv2 in their official layouts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

SCENES = "spatial_envelope_256x256_static_8outdoorcategories"


def _image(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))


def _lists(folder: Path, lists: Mapping[str, Sequence[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in lists.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def write_sift_flow(tree: Path, lists: Mapping[str, Sequence[str]]) -> None:
    """Images/, SemanticLabels/ and GeoLabels/, with the two lists beside them."""
    rng = np.random.default_rng(1)
    for part in ("Images", "SemanticLabels", "GeoLabels"):
        (tree / part / SCENES).mkdir(parents=True)
    _lists(tree, lists)
    for name in (name for names in lists.values() for name in names):
        _image(rng, (17, 23)).save(tree / "Images" / SCENES / f"{name}.jpg")
        semantic = rng.integers(0, 34, (17, 23), dtype=np.uint8)
        geometric = rng.choice([-1, 1, 2, 3], (17, 23)).astype(np.int16)
        for part, ids in (("SemanticLabels", semantic), ("GeoLabels", geometric)):
            scipy.io.savemat(tree / part / SCENES / f"{name}.mat", {"S": ids})


def write_pascal_context(tree: Path, lists: Mapping[str, Sequence[str]]) -> None:
    """VOC2010's photographs and Main lists, and trainval/ with the label maps."""
    rng = np.random.default_rng(2)
    voc = tree / "VOCdevkit" / "VOC2010"
    (voc / "JPEGImages").mkdir(parents=True)
    (tree / "trainval").mkdir()
    _lists(voc / "ImageSets" / "Main", lists)
    for name in (name for names in lists.values() for name in names):
        _image(rng, (19, 14)).save(voc / "JPEGImages" / f"{name}.jpg")
        ids = rng.integers(1, 460, (19, 14), dtype=np.uint16)
        scipy.io.savemat(tree / "trainval" / f"{name}.mat", {"LabelMap": ids})


def write_nyud(tree: Path, lists: Mapping[str, Sequence[str]]) -> None:
    """The Berkeley layout, HHA included."""
    rng = np.random.default_rng(3)
    for part in ("data/images", "data/depth", "data/hha", "segmentation"):
        (tree / part).mkdir(parents=True)
    _lists(tree, lists)
    for name in (name for names in lists.values() for name in names):
        for part in ("images", "hha"):
            _image(rng, (21, 18)).save(tree / "data" / part / f"img_{name}.png")
        depth = rng.integers(700, 9000, (21, 18), dtype=np.uint16)
        Image.fromarray(depth).save(tree / "data" / "depth" / f"img_{name}.png")
        ids = rng.integers(0, 41, (21, 18), dtype=np.uint8)
        path = tree / "segmentation" / f"img_{name}.mat"
        scipy.io.savemat(path, {"segmentation": ids})
