"""PASCAL-Context: 59 classes and background, of all trainval images of VOC 2010.

Mottaghi et al., "The role of context for object detection and semantic segmentation in
the wild" (CVPR 2014). The label maps have 459 classes, of which the 59 most frequent
are the task; every other pixel is background, id 0, which the nets train like the others.
The order is that of shelhamer/fcn.berkeleyvision.org and of 59_labels.txt; others sort
the 59 by their ids in the files.

Photographs pass through byte for byte. The variable LabelMap of the MATLAB files
becomes a PNG.
"""

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from fcn_jax.data.builders.archives import PASCAL_CONTEXT as ARCHIVE
from fcn_jax.data.builders.archives import VOC2010
from fcn_jax.data.builders.dataset import Dataset, Item
from fcn_jax.data.builders.matlab import label_png
from fcn_jax.data.builders.voc_lists import read_list, refuse_missing, refuse_shared
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import PASCAL_CONTEXT

COUNTS = {"train": 4998, "val": 5105}
ORIGIN = (
    "https://www.cs.stanford.edu/~roozbeh/pascal-context/ (trainval.tar.gz; no licence "
    "stated)"
)
VOC_ORIGIN = (
    "https://thor.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar "
    "(photographs of Flickr, under no open licence, for research)"
)
VOC_PIECES = ("ImageSets/Main", "JPEGImages")

# The ids that classes 1..59 have in the label maps, in the order of the classes.
SOURCE_IDS = (
    *(2, 23, 25, 31, 34, 45, 59, 65, 72, 98, 397, 113, 207, 258, 284, 308, 347, 368),
    *(416, 427, 9, 18, 22, 33, 44, 46, 68, 80, 85, 104, 115, 144, 158, 159, 162, 187),
    *(189, 220, 232, 259, 260, 105, 296, 355, 295, 324, 326, 349, 354, 360, 366, 19),
    *(415, 420, 424, 440, 445, 454, 458),
)
SOURCE_CLASSES = 459
TABLE = {
    **dict.fromkeys(range(SOURCE_CLASSES + 1), 0),
    **{source: target for target, source in enumerate(SOURCE_IDS, 1)},
}
# Names of the task that labels.txt, of the 459 classes, spells otherwise.
ALIASES = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}


def read_tree(source: Path, lists: Path) -> dict[str, list[Item]]:
    """Return the examples of train and val.

    Args:
        source: holds trainval/ with the label maps, and VOC2010/, in VOCdevkit/ or not;
            labels.txt and 59_labels.txt, if they are there, are compared with the table.
        lists: may hold labels.txt and 59_labels.txt; the splits are VOC's own lists.

    Raises:
        DataError: for a directory, list or file that is missing, class names that do
            not fit the table, or an image of both splits.
    """
    voc, labels = _voc_tree(source), source / "trainval"
    if not labels.is_dir():
        raise DataError(
            f"{source} lacks trainval/ with the label maps; extract trainval.tar.gz of "
            f"{ORIGIN} there"
        )
    _check_names((source, lists, labels))
    ids = {
        split: read_list(voc / VOC_PIECES[0] / f"{split}.txt", VOC_ORIGIN)
        for split in COUNTS
    }
    refuse_shared(
        ids["train"],
        ids["val"],
        f"train and val of {voc}; take the lists of {VOC_ORIGIN}",
    )
    names = [name for own in ids.values() for name in own]
    images = [f"{VOC_PIECES[1]}/{name}.jpg" for name in names]
    refuse_missing(voc, images, VOC_ORIGIN, of="train and val")
    maps = [f"{name}.mat" for name in names]
    refuse_missing(labels, maps, ORIGIN, of="train and val")
    return {split: [_item(voc, labels, i) for i in own] for split, own in ids.items()}


def _voc_tree(source: Path) -> Path:
    places = [source / "VOCdevkit" / "VOC2010", source / "VOC2010", source]
    for place in places:
        if all((place / piece).is_dir() for piece in VOC_PIECES):
            return place
    for place in places:
        lacking = [piece for piece in VOC_PIECES if not (place / piece).is_dir()]
        if len(lacking) < len(VOC_PIECES):
            raise DataError(f"{place} lacks {lacking[0]}/; extract {VOC_ORIGIN}")
    raise DataError(
        f"{source} holds no VOC2010 tree with the photographs (VOCdevkit/VOC2010, "
        f"VOC2010, or the tree itself); extract {VOC_ORIGIN} there"
    )


def _item(voc: Path, labels: Path, name: str) -> Item:
    return Item(
        name=name,
        inputs={"color": (voc / VOC_PIECES[1] / f"{name}.jpg").read_bytes},
        labels={
            "semantic": functools.partial(
                label_png,
                labels / f"{name}.mat",
                "LabelMap",
                TABLE,
                remedy=f"get the file again from {ORIGIN}",
            )
        },
        files=f"VOC2010 JPEGImages/{name}.jpg, trainval/{name}.mat",
    )


def _check_names(places: Iterable[Path]) -> None:
    """Compare the user's lists of class names with the table.

    Raises:
        DataError: where the names of labels.txt or 59_labels.txt are not those that the
            table gives their ids, which would then mean other classes.
    """
    wanted = {
        "labels.txt": {
            source: ALIASES.get(name, name)
            for source, name in zip(SOURCE_IDS, PASCAL_CONTEXT.names[1:], strict=True)
        },
        "59_labels.txt": dict(enumerate(PASCAL_CONTEXT.names[1:], 1)),
    }
    sizes = {"labels.txt": SOURCE_CLASSES, "59_labels.txt": len(SOURCE_IDS)}
    for file, names in wanted.items():
        for path in [place / file for place in places if (place / file).is_file()]:
            found = _names(path)
            found.pop(0, None)  # background, in copies of 59_labels.txt
            other = [
                f"{key} is {found.get(key, 'missing')}, not {name}"
                for key, name in names.items()
                if found.get(key) != name
            ]
            if other or set(found) != set(range(1, sizes[file] + 1)):
                what = "; ".join(other[:3]) or f"it has {len(found)} classes"
                raise DataError(
                    f"{path} does not name the {sizes[file]} classes of the published "
                    f"file: {what}; take {file} of {ORIGIN}"
                )


def _names(path: Path) -> dict[int, str]:
    """Return names by id of lines as `2: aeroplane`; blanks in names do not count."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); take the file of {ORIGIN}"
        ) from error
    names = {}
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(r"\s*(\d{1,4})\s*:(.+)", line)
        if match and int(match[1]) not in names:
            names[int(match[1])] = match[2].replace(" ", "")
        elif line.strip():
            raise DataError(
                f"{path} line {number} is {line[:80]!r}; it must be an id, a colon and a "
                f"name, each id once: take the file of {ORIGIN}"
            )
    return names


DATASET = Dataset(
    name="pascal_context",
    version="1.0.0",
    outputs={"semantic": PASCAL_CONTEXT},
    inputs=("color",),
    counts=COUNTS,
    void=None,
    read_tree=read_tree,
    origin=f"{ORIGIN} and {VOC_ORIGIN}",
    archives=(VOC2010, ARCHIVE),
)
