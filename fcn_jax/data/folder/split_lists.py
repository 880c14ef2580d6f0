"""Finding the split lists of a folder data set in the usual places.

A list that is there and not read would let the images that it holds back be trained on,
so every file that looks like one is read or is a problem.
"""

import dataclasses
from collections.abc import Collection
from pathlib import Path

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.listing import is_hidden
from fcn_jax.data.folder.split_lines import read_stems
from fcn_jax.data.folder.stray_lists import (
    LIST_ENDINGS,
    NEVER_LISTS,
    closed_problems,
    foreign_problems,
    stray_problems,
)

PLACES = ("splits", "ImageSets/Segmentation", "ImageSets", ".")
COMMON_NAMES = ("train", "val", "test", "trainval", "valid", "validation", "dev")

_LISTS_OF_CLASSES = ("labels", "labelmap", "class_names", "class_dict")


@dataclasses.dataclass(frozen=True)
class SplitList:
    """The list of a split.

    Attributes:
        file: its path in the folder, for messages.
        stems: what it lists, in its order; those without files too.
    """

    file: str
    stems: tuple[str, ...]


def read_splits(
    root: Path, known: Collection[str]
) -> tuple[dict[str, SplitList], list[str]]:
    """The lists of the first of `PLACES` that has some, by name.

    Args:
        root: the folder.
        known: stems of its images and labels.

    Returns:
        The lists, none where there are none; and a sentence for each that is not read,
        each line that names no image, and each two lists of one split.
    """
    paths = next((found for own in PLACES if (found := _lists_in(root, own))), [])
    splits: dict[str, SplitList] = {}
    problems = []
    for path in paths:
        file = path.relative_to(root).as_posix()
        try:
            stems, found = read_stems(path, file, known)
        except DataError as error:
            problems.append(str(error))
            continue
        problems += found
        name = _split_name(path)
        other = splits.setdefault(name, SplitList(file, tuple(stems)))
        if set(other.stems) != set(stems):
            problems.append(
                f"{other.file} and {file} are both lists of the split {name}, and differ; "
                "keep one of them"
            )
    files = {own.file: frozenset(own.stems) for own in splits.values()}
    for place in PLACES[:-1]:
        problems += foreign_problems(root, place)
    problems += stray_problems(root, paths, files, known)
    if not paths:
        problems += closed_problems(root)
    first = [name for name in COMMON_NAMES if name in splits]
    return {name: splits[name] for name in (*first, *splits)}, problems


def _split_name(path: Path) -> str:
    """The name of a file without its ending, TRAIN as train."""
    name = path.stem if path.suffix.lower() in LIST_ENDINGS else path.name
    return name.lower() if name.lower() in COMMON_NAMES else name


def _lists_in(root: Path, place: str) -> list[Path]:
    """The files of a directory that are lists; in the folder itself, by their names."""
    directory = root / place
    if not directory.is_dir():
        return []
    files = [
        path
        for path in sorted(directory.iterdir())
        if path.is_file() and _may_be_list(path)
    ]
    if place != ".":
        return files
    return [path for path in files if _split_name(path) in COMMON_NAMES]


def _may_be_list(path: Path) -> bool:
    return (
        not is_hidden(path.name)
        and path.suffix.lower() in LIST_ENDINGS
        and path.stem.lower() not in (*NEVER_LISTS, *_LISTS_OF_CLASSES)
    )
