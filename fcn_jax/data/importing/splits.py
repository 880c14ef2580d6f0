"""Names of splits, and the lists of what belongs to them."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.split_lists import SplitList, read_splits
from fcn_jax.data.importing.export import Entry, Export
from fcn_jax.data.importing.tree import Tree, named

SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "eval", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def folder_split(file: PurePosixPath) -> str:
    """Return the split that the innermost such folder names, or an empty text."""
    found = [SPLITS[f.lower()] for f in file.parts[:-1] if f.lower() in SPLITS]
    return found[-1] if found else ""


def with_lists(tree: Tree, export: Export) -> Export:
    """Return an export without split folders, with the splits of its lists.

    Lists are looked for beside the folder of the pictures and above it, as
    `split_lists.read_splits` does. A list trainval counts where train and val have none;
    lists of other names are no splits.

    Raises:
        DataError: where a list cannot be read, names pictures that have no unique name,
            or has none of the pictures; and for a picture that two splits have.
    """
    if any(entry.split for entry in export.entries):
        return export
    lists, where = _find_lists(tree, export.entries)
    left_out = list(export.left_out)
    splits = _named_splits(lists, where, left_out)
    if not splits:
        return dataclasses.replace(export, left_out=tuple(left_out))
    entries = {entry.name.stem: entry for entry in export.entries}
    split_of: dict[str, str] = {}
    rules = []
    for split, own in splits.items():
        stems = [stem for stem in own.stems if stem in entries]
        absent = [stem for stem in own.stems if stem not in entries]
        file = where / own.file
        if not stems and split != "test":
            raise DataError(
                f"{tree.path(file)} names no picture that has a label here (it has "
                f"{named(absent)}); correct or remove it"
            )
        for stem in stems:
            if split_of.setdefault(stem, split) != split:
                raise DataError(
                    f"{stem} is in the lists of {split_of[stem]} and {split}, so scores "
                    "would be of pictures trained on; keep it in one of them"
                )
        if stems:
            rules.append((f"split {split}", f"{len(stems)} pictures, listed in {file}"))
        if absent:
            left_out.append((f"{named(absent)} of {file}", "no such picture and label"))
    kept = [entry for stem, entry in entries.items() if stem in split_of]
    unlisted = len(entries) - len(kept)
    if unlisted:
        left_out.append(
            (f"{unlisted} pictures with labels", "no list of a split has them")
        )
    return dataclasses.replace(
        export,
        entries=tuple(
            dataclasses.replace(entry, split=split_of[entry.name.stem])
            for entry in kept
        ),
        rules=(*export.rules, *rules),
        left_out=tuple(left_out),
    )


def _find_lists(
    tree: Tree, entries: tuple[Entry, ...]
) -> tuple[Mapping[str, SplitList], PurePosixPath]:
    """Return the lists of the innermost folder that has some, and that folder."""
    counts = Counter(entry.name.stem for entry in entries)
    folders = {entry.name.parent for entry in entries}
    common = [parts[0] for parts in zip(*(f.parts for f in folders), strict=False)
              if len(set(parts)) == 1]  # fmt: skip
    for depth in range(len(common), -1, -1):
        where = PurePosixPath(*common[:depth])
        lists, problems = read_splits(tree.path(where), counts.keys())
        if problems and (lists or depth == 0):
            raise DataError(f"{tree.path(where)}: {problems[0]}")
        if not lists:
            continue
        repeated = [stem for stem, count in counts.items() if count > 1]
        if repeated:
            raise DataError(
                f"{tree.root} has lists of splits, and more than one picture called "
                f"{repeated[0]}, of which these may mean either; give each its own name"
            )
        return lists, where
    return {}, PurePosixPath()


def _named_splits(
    lists: Mapping[str, SplitList],
    where: PurePosixPath,
    left_out: list[tuple[str, str]],
) -> dict[str, SplitList]:
    """Return the lists that are splits, under the names that these have here."""
    names = {**SPLITS, "trainval": "train"}
    splits: dict[str, SplitList] = {}
    both = {names.get(name.lower()) for name in lists if name.lower() != "trainval"}
    for name, own in lists.items():
        split = names.get(name.lower())
        if split is None:
            left_out.append((str(where / own.file), "its name is no split's"))
        elif name.lower() == "trainval" and {"train", "val"} & both:
            left_out.append((str(where / own.file), "the lists of train and val count"))
        elif split in splits:
            raise DataError(
                f"{splits[split].file} and {own.file} are both lists of {split}; keep one"
            )
        else:
            splits[split] = own
    return splits
