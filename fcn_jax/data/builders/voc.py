"""PASCAL VOC 2011 and 2012, segmentation: 20 classes and background.

Everingham, Van Gool, Williams, Winn and Zisserman, "The PASCAL Visual Object Classes
(VOC) challenge" (IJCV 2010). Photographs and palette PNG labels pass through byte for
byte; id 255, the band around objects and what is difficult, is void already.

Both releases are read from VOC<year>/, in the source itself or where their archives put
it: VOCdevkit/VOC2012, TrainVal/VOCdevkit/VOC2011.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fcn_jax.data.builders.archives import VOC2011 as VOC2011_ARCHIVE
from fcn_jax.data.builders.archives import VOC2012 as VOC2012_ARCHIVE
from fcn_jax.data.builders.archives import Archive
from fcn_jax.data.builders.dataset import Dataset, Item
from fcn_jax.data.builders.voc_lists import (
    list_digest,
    read_list,
    refuse_missing,
    refuse_shared,
    warn_altered,
)
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import VOC

PIECES = ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass")
PARENTS = ("", "VOCdevkit", "TrainVal/VOCdevkit")  # TrainVal/ is of the 2011 archive


@dataclass(frozen=True)
class Release:
    """One year of the challenge.

    Attributes:
        year: in the names of the directories.
        archive: the published file.
        counts: number of images in each list of ImageSets/Segmentation.
        digests: `list_digest` of those lists whose digest is known.
    """

    year: int
    archive: Archive
    counts: Mapping[str, int]
    digests: Mapping[str, str]

    @property
    def origin(self) -> str:
        """Where it is published, and under which licence."""
        return f"{self.archive.url} ({self.archive.licence})"


RELEASE_2011 = Release(
    year=2011,
    archive=VOC2011_ARCHIVE,
    counts={"train": 1112, "val": 1111, "trainval": 2223},
    digests={},
)
RELEASE_2012 = Release(
    year=2012,
    archive=VOC2012_ARCHIVE,
    counts={"train": 1464, "val": 1449, "trainval": 2913},
    digests={
        "train": "223101833d3a86c8a837814f3e7afe88",
        "val": "5510db06bbb92848a0bf6109eba6d646",
    },
)


def read_tree(release: Release, source: Path, lists: Path) -> dict[str, list[Item]]:
    """Return the examples of train, val and trainval.

    Args:
        release: the year wanted.
        source: the directory that holds the tree.
        lists: not needed; the tree has its lists.

    Raises:
        DataError: for a tree, list or file that is missing, a list that is not one id a
            line or is another year's, or an image of both train and val.
    """
    del lists
    tree = require_tree(source, release)
    ids = {split: read_split(tree, release, split) for split in release.counts}
    refuse_shared(
        ids["train"],
        ids["val"],
        f"train and val of {tree}; take the lists published in {release.origin}",
    )
    return {
        split: voc_items(tree, own, release.origin, of=f"split {split}")
        for split, own in ids.items()
    }


def find_tree(source: Path, release: Release) -> Path | None:
    """Return the tree of a release below a directory, if every piece of it is there."""
    trees = _candidates(source, release)
    return next((tree for tree in trees if not _lacking(tree)), None)


def require_tree(source: Path, release: Release) -> Path:
    """Return the tree of a release below a directory.

    Raises:
        DataError: naming what is missing.
    """
    tree = find_tree(source, release)
    if tree is not None:
        return tree
    name = f"VOC{release.year}"
    begun = [t for t in _candidates(source, release) if len(_lacking(t)) < len(PIECES)]
    if begun:
        what = f"{begun[0]} lacks {', '.join(f'{p}/' for p in _lacking(begun[0]))}"
    else:
        places = ", ".join(f"{parent}/{name}".lstrip("/") for parent in PARENTS)
        what = f"{source} holds no {name} tree ({places}, or the tree itself)"
    raise DataError(
        f"{what}; extract {release.archive.file}, published at {release.origin}"
    )


def _candidates(source: Path, release: Release) -> list[Path]:
    name = f"VOC{release.year}"
    trees = [source / parent / name for parent in PARENTS]
    own = source.resolve().name
    if own == name or not re.fullmatch(r"VOC\d{4}", own):  # not another year's
        trees.append(source)
    return trees


def _lacking(tree: Path) -> list[str]:
    return [piece for piece in PIECES if not (tree / piece).is_dir()]


def read_split(tree: Path, release: Release, split: str) -> list[str]:
    """Return the image ids of a list of ImageSets/Segmentation, see `read_voc_list`."""
    path = tree / PIECES[0] / f"{split}.txt"
    return read_voc_list(path, release, split)


def read_voc_list(path: Path, release: Release, split: str) -> list[str]:
    """Return the image ids of a split's list, compared with what is known of it.

    Another number of images is left to the sentence that `prepare` ends with; as many,
    but others, is said in the log.

    Raises:
        DataError: see `read_list`; for the list of another year.
    """
    ids = read_list(path, release.origin)
    digest = list_digest(ids)
    for other in (RELEASE_2011, RELEASE_2012):
        if other.year != release.year and digest in other.digests.values():
            raise DataError(
                f"{path} is a list of VOC{other.year}, not of VOC{release.year}; take "
                f"ImageSets/Segmentation/{split}.txt of {release.origin}"
            )
    warn_altered(ids, str(path), release.counts[split], release.digests.get(split))
    return ids


def voc_items(tree: Path, ids: Sequence[str], origin: str, *, of: str) -> list[Item]:
    """Return the photographs and labels of a tree that have these ids, in their order.

    Raises:
        DataError: where files are missing.
    """
    pairs = [(f"JPEGImages/{i}.jpg", f"SegmentationClass/{i}.png") for i in ids]
    refuse_missing(tree, [file for pair in pairs for file in pair], origin, of=of)
    return [
        Item(
            name=name,
            inputs={"color": (tree / image).read_bytes},
            labels={"semantic": (tree / label).read_bytes},
            files=f"{tree.name}/{image}, {label}",
        )
        for name, (image, label) in zip(ids, pairs, strict=True)
    ]


def _dataset(release: Release) -> Dataset:
    return Dataset(
        name=f"voc{release.year}",
        version="1.0.0",
        outputs={"semantic": VOC},
        inputs=("color",),
        counts=release.counts,
        void=None,
        read_tree=functools.partial(read_tree, release),
        origin=release.origin,
        archives=(release.archive,),
    )


VOC2011 = _dataset(RELEASE_2011)
VOC2012 = _dataset(RELEASE_2012)
