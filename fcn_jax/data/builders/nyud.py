"""NYUDv2 with 40 classes: colour, depth and HHA (Silberman et al. 2012; Gupta et al.).

Two sources: the tree that the reference repository reads (Berkeley's nyud.tar.gz), and
the official nyu_depth_v2_labeled.mat, see `nyud_labeled`. Ids in the files are 0 for no
label and 1..40; here 255 and 0..39. Ids of images are those of the official file plus
5000. The nets train on `trainval`.
"""

import functools
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging
from PIL import Image

from fcn_jax.data.builders import nyud_labeled
from fcn_jax.data.builders.dataset import Dataset, Encoded, Item
from fcn_jax.data.builders.matlab import label_png
from fcn_jax.data.builders.voc_lists import read_list, refuse_missing, refuse_shared
from fcn_jax.data.examples import DataError
from fcn_jax.data.hha import NYUD as CAMERA
from fcn_jax.data.hha import Camera, hha_from_depth
from fcn_jax.data.images import read_depth
from fcn_jax.data.labels import IGNORE, NYUD

COUNTS = {"train": 381, "val": 414, "trainval": 795, "test": 654}
DIGESTS = {
    "train": "cdfe948a71d2f9b45f1d28584919560a",
    "val": "26aba6757016772024862d67d9844ef8",
    "test": "e310e298307628c9bc1ebded4ea39ed5",
}
"""MD5 of the published lists, some of which end without a newline."""

ORIGIN = (
    "http://dl.caffe.berkeleyvision.org/nyud.tar.gz, or "
    "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html (no licence stated, for "
    "research)"
)
LISTS_ORIGIN = "https://github.com/shelhamer/fcn.berkeleyvision.org, data/nyud/"
TABLE = {0: IGNORE, **{k: k - 1 for k in range(1, 41)}}
CROP_TOP, CROP_LEFT = 45, 40
"""Rows and columns of the 480 x 640 picture that Gupta's crop leaves out."""


def read_tree(source: Path, lists: Path) -> dict[str, list[Item]]:
    """The examples of train, val, trainval and test.

    Args:
        source: the tree, with data/images/, data/depth/ and segmentation/; or holds
            nyu_depth_v2_labeled.mat.
        lists: holds train.txt, val.txt and test.txt, if the source does not; for the
            labeled file also splits.mat and classMapping40.mat.

    Raises:
        DataError: for what is missing, and for lists that are as long as the published
            ones but not they.
    """
    labeled = source / nyud_labeled.FILE
    if labeled.is_file():
        ids = _listed(source, lists, needed=False)
        return nyud_labeled.read_labeled(labeled, (lists, source), ids, with_hha)
    tree = _tree(source)
    ids = _listed(tree, lists, needed=True)
    refuse_shared(ids["train"], ids["val"], f"train.txt and val.txt of {LISTS_ORIGIN}")
    ids["trainval"] = sorted([*ids["train"], *ids["val"]])
    refuse_shared(ids["trainval"], ids["test"], f"the lists of {LISTS_ORIGIN}")
    computed = not (tree / "data" / "hha").is_dir()
    if computed:
        logging.info("%s has no data/hha/; HHA is computed from the depth", tree)
    return {split: _items(tree, ids[split], split, computed) for split in COUNTS}


def _tree(source: Path) -> Path:
    pieces = ("data/images", "data/depth", "segmentation")
    for place in (source, source / "nyud", source / "data" / "nyud"):
        lacking = [piece for piece in pieces if not (place / piece).is_dir()]
        if not lacking:
            return place
        if len(lacking) < len(pieces):
            raise DataError(
                f"{place} lacks {lacking[0]}/ of the tree; extract {ORIGIN}"
            )
    raise DataError(
        f"{source} holds neither {nyud_labeled.FILE} nor a tree with "
        f"{', '.join(f'{piece}/' for piece in pieces)}; get one of them from {ORIGIN}"
    )


def _listed(tree: Path, lists: Path, *, needed: bool) -> dict[str, list[str]]:
    """Ids of train, val and test; without the lists, {} unless they are needed."""
    found = {}
    for split, digest in DIGESTS.items():
        places = [place / f"{split}.txt" for place in (lists, tree)]
        path = next((path for path in places if path.is_file()), None)
        if path is None:
            if not needed:
                return {}
            raise DataError(
                f"{places[0]} is missing; put {split}.txt of {LISTS_ORIGIN} there, or "
                "name its directory with --lists"
            )
        ids = read_list(path, LISTS_ORIGIN)
        sums = {
            hashlib.md5(("\n".join(ids) + end).encode(), usedforsecurity=False)
            for end in ("", "\n")
        }
        if len(ids) == COUNTS[split] and digest not in {s.hexdigest() for s in sums}:
            raise DataError(
                f"{path} names {len(ids)} images as the published list does, but not "
                f"the same ones: take {split}.txt of {LISTS_ORIGIN}"
            )
        found[split] = ids
    return found


def _items(tree: Path, ids: Sequence[str], split: str, computed: bool) -> list[Item]:
    kinds = ["images", "depth", *([] if computed else ["hha"])]
    files = [f"data/{kind}/img_{name}.png" for name in ids for kind in kinds]
    files += [f"segmentation/img_{name}.mat" for name in ids]
    refuse_missing(tree, files, ORIGIN, of=f"split {split}")
    return [_item(tree, name, computed) for name in ids]


def _item(tree: Path, name: str, computed: bool) -> Item:
    data, file = tree / "data", f"img_{name}.png"
    depth = (data / "depth" / file).read_bytes
    camera = CAMERA.cropped(CROP_TOP, CROP_LEFT)
    return Item(
        name=name,
        inputs={
            "color": (data / "images" / file).read_bytes,
            "depth": depth,
            "hha": functools.partial(with_hha, depth, camera, f"img_{name}")
            if computed
            else (data / "hha" / file).read_bytes,
        },
        labels={
            "semantic": functools.partial(
                label_png,
                tree / "segmentation" / f"img_{name}.mat",
                "segmentation",
                TABLE,
                remedy=f"get the file again from {ORIGIN}",
            )
        },
        files=f"img_{name}",
    )


def with_hha(depth: Encoded, camera: Camera, where: str) -> bytes:
    """HHA of an encoded depth map, as PNG."""
    distances = read_depth(depth(), where=where)[:, :, 0]
    buffer = io.BytesIO()
    encoded = hha_from_depth(distances.astype(np.float64), camera)
    Image.fromarray(encoded).save(buffer, "PNG")
    return buffer.getvalue()


DATASET = Dataset(
    name="nyud_v2",
    version="1.0.0",
    outputs={"semantic": NYUD},
    inputs=("color", "depth", "hha"),
    counts=COUNTS,
    void=None,
    read_tree=read_tree,
    origin=ORIGIN,
    archives=(),
)
