"""Problems of split lists: missing files, repeated ids, ids in two splits."""

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from fcn_jax.data.folder.listing import Listing
from fcn_jax.data.folder.split_lists import COMMON_NAMES, SplitList

# What people call the split that scores are of, besides val.
NEAR = {
    "train": ("training", "trn"),
    "val": ("valid", "validation", "dev", "eval", "test"),
}
_EVERYTHING = re.compile("all|full|total", re.IGNORECASE)
_TRAIN_AND_VAL = re.compile("train[-_+]?(and)?[-_+]?val.*", re.IGNORECASE)


def list_problems(own: SplitList, images: Listing, labels: Listing) -> list[str]:
    """Repeated ids of a split, and ids whose files are not there."""
    if not own.stems:
        return [f"{own.file} lists no ids; write one stem a line into it"]
    problems = [
        f"{own.file} lists {stem[:80]!r} {count} times; keep one of the lines"
        for stem, count in Counter(own.stems).items()
        if count > 1
    ]
    for stem in dict.fromkeys(own.stems):
        absent = [files for files in (images, labels) if stem not in files.files]
        if absent:
            places = " and ".join(f"{files.name}/" for files in absent)
            problems.append(
                f"{own.file} lists {stem[:80]!r}, which has no file in {places}; "
                + next(
                    (near for files in absent if (near := files.near(stem))),
                    "add the file or remove the line",
                )
            )
    return problems


def overlap_problems(splits: Mapping[str, Sequence[str]]) -> list[str]:
    """Ids that two splits share, a sentence for each two.

    Left out are unions, by their name (trainval, all) or since they consist of two or
    more other splits, and a part of a split that is called after it (train_small).
    """
    problems = []
    sets = {name: frozenset(stems) for name, stems in splits.items()}
    for one, other in itertools.combinations(splits, 2):
        shared = sorted(sets[one] & sets[other])
        pairs = ((one, other), (other, one))
        if not shared or any(_may_share(*pair, sets) for pair in pairs):
            continue
        problems.append(
            f"the splits {one} and {other} share {len(shared)} ids "
            f"({', '.join(shared[:5])}{', ...' if len(shared) > 5 else ''}), so scores "
            "would be of images trained on; keep each id in one of their lists"
        )
    return problems


def _may_share(whole: str, part: str, sets: Mapping[str, frozenset[str]]) -> bool:
    """Whether the first of two splits is meant to hold ids of the second."""
    if _EVERYTHING.fullmatch(whole):
        return True
    if _TRAIN_AND_VAL.fullmatch(whole):
        return not part.lower().startswith("test")
    if not sets[part] <= sets[whole]:
        return False
    suffix = part.removeprefix(whole)
    if suffix != part and not re.search("val|test|dev", suffix, re.IGNORECASE):
        return True
    parts = [own for name, own in sets.items() if name != whole and own < sets[whole]]
    return whole not in COMMON_NAMES and frozenset().union(*parts) == sets[whole]


def missing_problems(splits: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for train or val, where there are lists and none of it."""
    return [
        missing_sentence(split, splits)
        for split in ("train", "val")
        if splits and split not in splits
    ]


def missing_sentence(split: str, splits: Mapping[str, Sequence[str]]) -> str:
    """What to say of a split without a list, with the name that is nearest."""
    near = [name for name in NEAR.get(split, ()) if name in splits]
    near += difflib.get_close_matches(split, [n for n in splits if n not in near], n=1)
    flag = "train_split" if split == "train" else "eval_split"
    offer = (
        f"; rename the list of {near[0]}, if it is this one, or train with "
        f"--config.data.{flag}={near[0]}"
        if near
        else f"; write its stems into splits/{split}.txt, one a line"
    )
    return f"there is no list of the split {split}, but of {', '.join(splits)}{offer}"
