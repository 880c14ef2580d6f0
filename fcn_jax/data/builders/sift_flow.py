"""SIFT Flow: 33 semantic and 3 geometric classes of 2,686 outdoor scenes.

Liu, Yuen and Torralba, "Nonparametric scene parsing via label transfer" (PAMI 2011);
the geometric labels are of Tighe and Lazebnik, "SuperParsing" (ECCV 2010), whose archive
is read here. It has no lists; those of shelhamer/fcn.berkeleyvision.org leave out the
two images without labels.

Photographs pass through byte for byte. The variable S of the MATLAB files becomes a
PNG of its ids less one. The semantic void is 0. The geometric one is -1, but 0 is read
as void too, as the reference's arithmetic does (-1 becomes 0, 0 wraps around to 255).
"""

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

from fcn_jax.data.builders.archives import SIFT_FLOW
from fcn_jax.data.builders.dataset import Dataset, Item
from fcn_jax.data.builders.matlab import label_png
from fcn_jax.data.builders.voc_lists import read_list, refuse_missing, refuse_shared
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import IGNORE, SIFT_FLOW_GEOMETRIC, SIFT_FLOW_SEMANTIC

COUNTS = {"trainval": 2486, "test": 200}
DIGESTS = {
    "trainval": "c804fd212beeec26629642783275d090",
    "test": "edbdae48f6fbdb3b2664f2b11191201e",
}
ORIGIN = (
    "http://www.cs.unc.edu/~jtighe/Papers/ECCV10/siftflow/SiftFlowDataset.zip "
    "(no licence stated; photographs of LabelMe)"
)
LISTS_ORIGIN = (
    "https://github.com/shelhamer/fcn.berkeleyvision.org, data/sift-flow/ "
    "(BSD-2-Clause)"
)
SCENES = "spatial_envelope_256x256_static_8outdoorcategories"
FOLDERS = {
    "color": f"Images/{SCENES}",
    "semantic": f"SemanticLabels/{SCENES}",
    "geometric": f"GeoLabels/{SCENES}",
}
TABLES = {
    "semantic": {0: IGNORE, **{k + 1: k for k in range(33)}},
    "geometric": {-1: IGNORE, 0: IGNORE, 1: 0, 2: 1, 3: 2},
}


def read_tree(source: Path, lists: Path) -> dict[str, list[Item]]:
    """Return the examples of trainval and test.

    Args:
        source: holds Images/, SemanticLabels/ and GeoLabels/, or SiftFlowDataset/ with
            them.
        lists: holds trainval.txt and test.txt, if the source does not.

    Raises:
        DataError: for a directory, list or file that is missing, a list that is as long
            as the published one but not it, or an image of both splits.
    """
    tree = _tree(source)
    ids = {split: _split(split, (lists, source, tree)) for split in COUNTS}
    refuse_shared(
        ids["trainval"],
        ids["test"],
        f"trainval.txt and test.txt; take the lists of {LISTS_ORIGIN}",
    )
    return {split: _items(tree, own, split) for split, own in ids.items()}


def _tree(source: Path) -> Path:
    places = [source, source / "SiftFlowDataset"]
    lacking = {
        place: [f for f in FOLDERS.values() if not (place / f).is_dir()]
        for place in places
    }
    best = min(places, key=lambda place: len(lacking[place]))
    if lacking[best]:
        raise DataError(
            f"{best} lacks {', '.join(f'{f}/' for f in lacking[best])} of the SIFT Flow "
            f"tree; extract {ORIGIN}"
        )
    return best


def _split(split: str, places: Sequence[Path]) -> list[str]:
    paths = [place / f"{split}.txt" for place in places]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DataError(
            f"{paths[0]} is missing; SIFT Flow's archive has no lists, so put "
            f"{split}.txt of {LISTS_ORIGIN} there, or name its directory with --lists"
        )
    ids = read_list(path, LISTS_ORIGIN)
    # The published lists end without a newline; copies with another end count as them.
    md5 = hashlib.md5("\n".join(ids).encode(), usedforsecurity=False).hexdigest()
    if len(ids) == COUNTS[split] and md5 != DIGESTS[split]:
        raise DataError(
            f"{path} names {len(ids)} images as the published list does, but its MD5 is "
            f"{md5}, not {DIGESTS[split]}: take {split}.txt of {LISTS_ORIGIN}"
        )
    return ids


def _items(tree: Path, ids: Sequence[str], split: str) -> list[Item]:
    suffixes = {"color": "jpg", "semantic": "mat", "geometric": "mat"}
    files = [
        {key: f"{FOLDERS[key]}/{name}.{suffixes[key]}" for key in FOLDERS}
        for name in ids
    ]
    flat = [file for own in files for file in own.values()]
    refuse_missing(tree, flat, ORIGIN, of=f"split {split}")
    remedy = f"get the file again from {ORIGIN}"
    return [
        Item(
            name=name,
            inputs={"color": (tree / own["color"]).read_bytes},
            labels={
                key: functools.partial(
                    label_png, tree / own[key], "S", table, remedy=remedy
                )
                for key, table in TABLES.items()
            },
            files=f"{name}.jpg, SemanticLabels and GeoLabels {name}.mat",
        )
        for name, own in zip(ids, files, strict=True)
    ]


DATASET = Dataset(
    name="sift_flow",
    version="1.0.0",
    outputs={"semantic": SIFT_FLOW_SEMANTIC, "geometric": SIFT_FLOW_GEOMETRIC},
    inputs=("color",),
    counts=COUNTS,
    void=None,
    read_tree=read_tree,
    origin=ORIGIN,
    archives=(SIFT_FLOW,),
)
