"""Splits that are made of PASCAL VOC and SBD together.

voc_aug is the usual training set of VOC 2012, 10,582 images: those of VOC 2012 train
with VOC's own labels, which have the void band, and those of SBD with SBD's labels;
none of VOC 2012 val, which it is evaluated on.

voc_reference is the protocol of the FCN paper's reference code: training on SBD train,
8,498 images with SBD's labels; evaluation on seg11valid, the 736 images of VOC 2011 val
that are not among them, with VOC's labels. The images of VOC 2011 are in VOC 2012 as
well, so that either tree will do; VOC 2012 lacks only the list of VOC 2011 val.
"""

from collections.abc import Sequence
from pathlib import Path

from fcn_jax.data.builders import archives, sbd
from fcn_jax.data.builders.dataset import Dataset, Item
from fcn_jax.data.builders.voc import (
    PARENTS,
    RELEASE_2011,
    RELEASE_2012,
    find_tree,
    read_split,
    read_voc_list,
    require_tree,
    voc_items,
)
from fcn_jax.data.builders.voc_lists import (
    list_digest,
    read_list,
    refuse_shared,
    warn_altered,
)
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import VOC

AUG_COUNTS = {"train": 10582, "val": RELEASE_2012.counts["val"]}
AUG_DIGEST = "215992f6fd958f89800449fdb4bbabe6"

SEG11VALID = "seg11valid.txt"
SEG11VALID_COUNT = 736
SEG11VALID_DIGEST = "7984b6ce736bd3666d8b7ee70b5401da"
SEG11VALID_ORIGIN = (
    "https://github.com/shelhamer/fcn.berkeleyvision.org, data/pascal/seg11valid.txt"
)
VAL_2011 = "voc2011_val.txt"


def read_aug(source: Path, lists: Path) -> dict[str, list[Item]]:
    """Return the examples of voc_aug: train, sorted by id, and VOC 2012 val.

    Args:
        source: the directory that holds a VOC 2012 and an SBD tree.
        lists: not needed; the trees have their lists.

    Raises:
        DataError: for trees, lists or files that are missing or wrong.
    """
    del lists
    tree, sbd_tree = require_tree(source, RELEASE_2012), sbd.require_tree(source)
    own = read_split(tree, RELEASE_2012, "train")
    val = read_split(tree, RELEASE_2012, "val")
    refuse_shared(
        own, val, f"train and val of {tree}; take the lists of {RELEASE_2012.origin}"
    )
    boundaries = {i for split in sbd.COUNTS for i in sbd.read_split(sbd_tree, split)}
    added = sorted(boundaries - set(own) - set(val))
    warn_altered([*own, *added], "voc_aug train", AUG_COUNTS["train"], AUG_DIGEST)
    origin = RELEASE_2012.origin
    train = voc_items(tree, own, origin, of="VOC 2012 train")
    train += sbd.sbd_items(sbd_tree, added, of="SBD train and val")
    return {
        "train": sorted(train, key=lambda item: item.name),
        "val": voc_items(tree, val, origin, of="VOC 2012 val"),
    }


def read_reference(source: Path, lists: Path) -> dict[str, list[Item]]:
    """Return the examples of voc_reference: SBD train, and seg11valid, sorted by id.

    Args:
        source: the directory that holds an SBD tree and one of VOC 2011 or VOC 2012.
        lists: the directory that holds seg11valid.txt or the list of VOC 2011 val, see
            `validation_ids`; where it does not, the source may.

    Raises:
        DataError: for trees, lists or files that are missing or wrong.
    """
    sbd_tree = sbd.require_tree(source)
    train = sbd.read_split(sbd_tree, "train")
    val = validation_ids(source, lists, train)
    release = RELEASE_2011 if find_tree(source, RELEASE_2011) else RELEASE_2012
    tree = require_tree(source, release)
    return {
        "train": sbd.sbd_items(sbd_tree, train, of="SBD train"),
        "val": voc_items(tree, val, release.origin, of="seg11valid"),
    }


def validation_ids(source: Path, lists: Path, train: Sequence[str]) -> list[str]:
    """Return the ids of seg11valid, sorted.

    Taken from seg11valid.txt, else VOC 2011 val less SBD train, whose list is
    voc2011_val.txt or VOC2011/ImageSets/Segmentation/val.txt. Derived from lists that
    are not the published ones there may be other than 736, which `prepare` says.

    Args:
        source: the directory of trees.
        lists: the directory of list files, looked at first.
        train: ids of SBD train.

    Raises:
        DataError: where neither list is there, seg11valid.txt is not the published
            one, 736 derived ids are not, or an id is in SBD train.
    """
    folders = list(dict.fromkeys((lists, source)))
    ready = [folder / SEG11VALID for folder in folders]
    path = next((path for path in ready if path.exists()), None)
    if path is not None:
        return _published_ids(path, train)
    path = _list_of_2011(source, folders)
    val = read_voc_list(path, RELEASE_2011, "val")
    ids = sorted(set(val) - set(train))
    if not ids:
        raise DataError(
            f"every image of {path} is in SBD train, so that seg11valid is empty; take "
            f"the lists of {RELEASE_2011.origin} and of {sbd.ORIGIN}"
        )
    if len(ids) == SEG11VALID_COUNT and list_digest(ids) != SEG11VALID_DIGEST:
        raise DataError(
            f"{path} less SBD train gives {len(ids)} images, but not those of "
            f"seg11valid (MD5 {list_digest(ids)}, not {SEG11VALID_DIGEST}); take the "
            f"lists of {RELEASE_2011.origin} and of {sbd.ORIGIN}"
        )
    return ids


def _published_ids(path: Path, train: Sequence[str]) -> list[str]:
    ids = sorted(read_list(path, SEG11VALID_ORIGIN))
    if list_digest(ids) != SEG11VALID_DIGEST:
        raise DataError(
            f"{path} is not the published list: it has {len(ids)} ids of MD5 "
            f"{list_digest(ids)}, not {SEG11VALID_COUNT} of {SEG11VALID_DIGEST}; take "
            f"{SEG11VALID_ORIGIN}, or remove it and give {VAL_2011}"
        )
    refuse_shared(
        train, ids, f"SBD train and {path}; take SBD's train.txt of {sbd.ORIGIN}"
    )
    return ids


def _list_of_2011(source: Path, folders: Sequence[Path]) -> Path:
    inner = "VOC2011/ImageSets/Segmentation/val.txt"
    paths = [folder / VAL_2011 for folder in folders]
    paths += [folder / parent / inner for folder in folders for parent in PARENTS]
    tree = find_tree(source, RELEASE_2011)
    if tree is not None:
        paths.append(tree / "ImageSets/Segmentation/val.txt")
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise DataError(
            "seg11valid, the val split of voc_reference, needs the list of VOC 2011 "
            f"val: put it into {folders[0]} as {VAL_2011} (ImageSets/Segmentation/"
            f"val.txt of {RELEASE_2011.origin}), or put {SEG11VALID} there "
            f"({SEG11VALID_ORIGIN}, BSD-2-Clause)"
        )
    return path


VOC_AUG = Dataset(
    name="voc_aug",
    version="1.0.0",
    outputs={"semantic": VOC},
    inputs=("color",),
    counts=AUG_COUNTS,
    void=None,
    read_tree=read_aug,
    origin=f"{RELEASE_2012.origin} and {sbd.ORIGIN}",
    archives=(archives.VOC2012, archives.SBD),
)

VOC_REFERENCE = Dataset(
    name="voc_reference",
    version="1.0.0",
    outputs={"semantic": VOC},
    inputs=("color",),
    counts={"train": sbd.COUNTS["train"], "val": SEG11VALID_COUNT},
    void=None,
    read_tree=read_reference,
    origin=f"{RELEASE_2011.origin} (or VOC 2012's) and {sbd.ORIGIN}",
    archives=(archives.VOC2011, archives.VOC2012, archives.SBD),
)
