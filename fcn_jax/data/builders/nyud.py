"""NYUDv2, 40 classes: colour, depth and HHA of 1,449 indoor scenes.

Silberman, Hoiem, Kohli and Fergus, "Indoor segmentation and support inference from RGBD
images" (ECCV 2012), with the 40 classes of Gupta, Arbelaez and Malik (CVPR 2013). It is
read from the tree of shelhamer/fcn.berkeleyvision.org (nyud.tar.gz), whose pictures pass
through byte for byte, or from the official file, see `nyud_labeled`. Names are those of
the tree, the number in the official file plus 5000. The nets train on trainval.

The variable segmentation of the tree's MATLAB files is 0 for void and 1..40. HHA is the
tree's own, or computed from the depth where the tree has none.
"""

import functools
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from absl import logging
from PIL import Image

from fcn_jax.data.builders import nyud_labeled
from fcn_jax.data.builders.archives import GIB, Archive
from fcn_jax.data.builders.dataset import Dataset, Encoded, Item
from fcn_jax.data.builders.hha import NYUD as CAMERA
from fcn_jax.data.builders.hha import hha_from_depth
from fcn_jax.data.builders.matlab import label_png
from fcn_jax.data.builders.voc_lists import read_list, refuse_missing, refuse_shared
from fcn_jax.data.decoding.images import read_depth
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import IGNORE, NYUD

COUNTS = {"train": 381, "val": 414, "trainval": 795, "test": 654}
DIGESTS = {
    "train": "cdfe948a71d2f9b45f1d28584919560a",
    "val": "26aba6757016772024862d67d9844ef8",
    "test": "e310e298307628c9bc1ebded4ea39ed5",
}
"""MD5 of the published lists, of which train and test end without a newline."""

# 1,449 pictures of 425x560 pixels: colour, depth, HHA and labels, a few MiB at most.
ARCHIVE = Archive(
    file="nyud.tar.gz",
    bytes=None,
    md5=None,
    sha256=None,
    url="http://dl.caffe.berkeleyvision.org/nyud.tar.gz",
    licence="no licence stated",
    root="nyud",
    limit=8 * GIB,
)
ORIGIN = f"{ARCHIVE.url} ({ARCHIVE.licence})"
LISTS_ORIGIN = (
    "https://github.com/shelhamer/fcn.berkeleyvision.org, data/nyud/ "
    "(no licence stated for them)"
)
PIECES = ("data/images", "data/depth", "segmentation")
PARENTS = ("", "nyud", "data/nyud")
TABLE = {0: IGNORE, **{k + 1: k for k in range(40)}}

ROWS, COLUMNS = nyud_labeled.ROWS, nyud_labeled.COLUMNS
CAMERAS = {
    (480, 640): CAMERA,
    (425, 560): CAMERA.cropped(ROWS.start, COLUMNS.start),
}
"""By the size of the picture: whole, or cut as the tree's are."""


def read_tree(source: Path, lists: Path) -> dict[str, list[Item]]:
    """Return the examples of train, val, trainval and test.

    Args:
        source: holds data/ and segmentation/, in nyud/, data/nyud/ or itself; or the
            official labeled file. The tree is taken where there are both.
        lists: holds train.txt, val.txt and test.txt, if the source does not, which the
            tree needs. For the labeled file also splits.mat and classMapping40.mat;
            without the lists that has trainval and test alone.

    Raises:
        DataError: for a directory, list or file that is missing, HHA of some of the
            images, a list that is as long as the published one but not it, an image of
            two splits, or lists that contradict splits.mat.
    """
    tree = _tree(source)
    labeled = source / nyud_labeled.FILE
    if tree is None and labeled.is_file():
        return _labeled(labeled, (lists, source))
    if tree is None:
        raise DataError(
            f"{source} holds neither the tree of NYUDv2 ({', '.join(PIECES)}), nor "
            f"{nyud_labeled.FILE}; extract {ORIGIN}, or get {nyud_labeled.ORIGIN}"
        )
    ids = _read_lists((lists, source, tree))
    lacking = [f"{split}.txt" for split in DIGESTS if split not in ids]
    if lacking:
        raise DataError(
            f"{lists / lacking[0]} is missing; put {', '.join(lacking)} of "
            f"{LISTS_ORIGIN} there, or name their directory with --lists"
        )
    return _items(tree, _with_trainval(ids))


def _tree(source: Path) -> Path | None:
    """Return the tree in a directory; None where no part of it is there."""
    places = [source / parent for parent in PARENTS]
    lacking = {
        place: [piece for piece in PIECES if not (place / piece).is_dir()]
        for place in places
    }
    best = min(places, key=lambda place: len(lacking[place]))
    if len(lacking[best]) == len(PIECES):
        return None
    if lacking[best]:
        raise DataError(
            f"{best} lacks {', '.join(f'{piece}/' for piece in lacking[best])} of the "
            f"tree of NYUDv2; extract {ORIGIN}"
        )
    return best


def _read_lists(places: Sequence[Path]) -> dict[str, list[str]]:
    """Return images of those splits whose lists are there; each once, in one split."""
    found = {}
    for split, digest in DIGESTS.items():
        paths = [place / f"{split}.txt" for place in places]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            continue
        found[split] = ids = read_list(path, LISTS_ORIGIN)
        # Copies with another end than the published lists count as them.
        texts = [("\n".join(ids) + end).encode() for end in ("", "\n")]
        sums = [hashlib.md5(text, usedforsecurity=False).hexdigest() for text in texts]
        if len(ids) == COUNTS[split] and digest not in sums:
            raise DataError(
                f"{path} names {len(ids)} images as the published list does, but its "
                f"MD5 is {sums[0]}, not {digest}: take {split}.txt of {LISTS_ORIGIN}"
            )
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        names = f"{one}.txt and {other}.txt; take the lists of {LISTS_ORIGIN}"
        refuse_shared(found.get(one, ()), found.get(other, ()), names)
    return found


def _with_trainval(ids: Mapping[str, list[str]]) -> dict[str, list[str]]:
    both = {**ids, "trainval": ids["train"] + ids["val"]}
    return {split: both[split] for split in COUNTS}


def _items(tree: Path, ids: Mapping[str, Sequence[str]]) -> dict[str, list[Item]]:
    given = any(
        (tree / f"data/hha/img_{name}.png").is_file()
        for names in ids.values()
        for name in names
    )
    _report_hha(f"read from {tree}/data/hha" if given else "computed from the depth")
    kinds = ("images", "depth", "hha") if given else ("images", "depth")
    for split, names in ids.items():
        files = [f"data/{kind}/img_{name}.png" for kind in kinds for name in names]
        files += [f"segmentation/img_{name}.mat" for name in names]
        refuse_missing(tree, files, ORIGIN, of=f"split {split}")
    return {split: [_item(tree, n, given) for n in own] for split, own in ids.items()}


def _report_hha(origin: str) -> None:
    logging.info("nyud_v2: HHA is %s", origin)


def _item(tree: Path, name: str, given: bool) -> Item:
    depth = tree / f"data/depth/img_{name}.png"
    hha: Encoded = (tree / f"data/hha/img_{name}.png").read_bytes
    if not given:
        hha = functools.partial(hha_png, depth.read_bytes, str(depth))
    color = tree / f"data/images/img_{name}.png"
    labels = tree / f"segmentation/img_{name}.mat"
    remedy = f"get the file again from {ORIGIN}"
    return Item(
        name=name,
        inputs={"color": color.read_bytes, "depth": depth.read_bytes, "hha": hha},
        labels={
            "semantic": functools.partial(
                label_png, labels, "segmentation", TABLE, remedy=remedy
            )
        },
        files=f"data/ img_{name}.png and segmentation/ img_{name}.mat",
    )


def hha_png(depth: Callable[[], bytes], where: str) -> bytes:
    """HHA of a depth map of NYUDv2, as PNG.

    Args:
        depth: gives the 16-bit PNG, 480x640 pixels or as the tree's are cut.
        where: names it in messages.

    Raises:
        DataError: see `read_depth`; for another size, of which the camera is not known.
        OSError: where the file cannot be read.
    """
    distances = read_depth(depth(), where=where)[:, :, 0]
    camera = CAMERAS.get((distances.shape[0], distances.shape[1]))
    if camera is None:
        height, width = distances.shape
        raise DataError(
            f"{where} is {height}x{width} pixels (height x width), and HHA is computed "
            "for 425x560 and 480x640 alone; put HHA made elsewhere in data/hha/"
        )
    buffer = io.BytesIO()
    Image.fromarray(hha_from_depth(distances, camera)).save(buffer, "PNG")
    return buffer.getvalue()


def _labeled(path: Path, places: Sequence[Path]) -> dict[str, list[Item]]:
    """Return the examples of the official file, by split where lists are there."""
    count, table, ids = nyud_labeled.read_meta(path, places)
    lists = _read_lists(places)
    if "train" in lists and "val" in lists:
        lists["trainval"] = lists["train"] + lists["val"]
    for split in ("trainval", "test"):
        if sorted(lists.get(split, ids[split])) != sorted(ids[split]):
            files = "train.txt and val.txt" if split == "trainval" else "test.txt"
            raise DataError(
                f"{files} do not name the {len(ids[split])} images of {split} that "
                f"splits.mat has; take the lists of {LISTS_ORIGIN}"
            )
    if "trainval" not in lists:
        lists = {"test": lists["test"]} if "test" in lists else {}
        logging.warning(
            "nyud_v2: only trainval and test are prepared; train and val need train.txt "
            "and val.txt of %s, in the source or in --lists",
            LISTS_ORIGIN,
        )
    _report_hha("computed from the depth")
    ids = ids | lists
    nyud_labeled.verify_published(path, count)
    return {
        split: [nyud_labeled.item(path, name, table, hha_png) for name in ids[split]]
        for split in COUNTS
        if split in ids
    }


DATASET = Dataset(
    name="nyud_v2",
    version="1.0.0",
    outputs={"semantic": NYUD},
    inputs=("color", "depth", "hha"),
    counts=COUNTS,
    void=None,
    read_tree=read_tree,
    origin=f"{ORIGIN}, or {nyud_labeled.ORIGIN}",
    archives=(ARCHIVE,),
)
