"""Finding the split lists of a folder data set, wherever its author put them.

A list that is there and not read would let the images that it holds back be trained on,
so every file that looks like one is read or is a problem.
"""

import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from fcn_jax.data.examples import DataError
from fcn_jax.data.listing import is_hidden
from fcn_jax.data.split_lines import looks_like_list, read_stems

PLACES = ("splits", "ImageSets/Segmentation", "ImageSets", ".")
ENDINGS = ("", ".txt", ".lst", ".list", ".csv", ".tsv")
COMMON_NAMES = ("train", "val", "test", "trainval", "valid", "validation", "dev")

_NO_LISTS = ("classes", "labels", "labelmap", "class_names", "class_dict", "readme")
_NO_LISTS += ("license", "licence", "copying", "requirements")
_DEPTH = 2  # directories below the folder in which unread lists are looked for
_FILES_LOOKED_AT = 1000


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
    place, paths = next(
        ((place, found) for place in PLACES if (found := _lists_in(root, place))),
        (None, []),
    )
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
    problems += _unread(root, place, paths, splits, known)
    first = [name for name in COMMON_NAMES if name in splits]
    return {name: splits[name] for name in (*first, *splits)}, problems


def _split_name(path: Path) -> str:
    """The name of a file without its ending, TRAIN as train."""
    name = path.stem if path.suffix.lower() in ENDINGS else path.name
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
        and path.suffix.lower() in ENDINGS
        and path.stem.lower() not in _NO_LISTS
    )


def _unread(
    root: Path,
    place: str | None,
    read: Sequence[Path],
    splits: Mapping[str, SplitList],
    known: Collection[str],
) -> list[str]:
    """A sentence for each file that is a list, or should be one, and is not read."""
    problems = [
        f"{path.relative_to(root).as_posix()} is not read, since its ending is none of "
        f"{', '.join(ENDINGS[1:])}; convert it to stems, one a line, or move it away"
        for path in (_foreign(root / place) if place not in (None, ".") else ())
    ]
    own_lists = ", ".join(own.file for own in list(splits.values())[:3])
    for path in _text_files(root, _DEPTH):
        file = path.relative_to(root).as_posix()
        # Beside its lists for segmentation VOC has some for each class.
        of_voc = place == "ImageSets/Segmentation" and file.startswith("ImageSets/")
        if path in read or of_voc or not looks_like_list(path, known):
            continue
        if not _is_harmless(path, file, splits, known):
            problems.append(
                f"{file} looks like a split list and is not read"
                + (f", since {own_lists} are" if splits else "")
                + "; move all lists into splits/, and what is no list out of the folder"
            )
    return problems


def _is_harmless(
    path: Path, file: str, splits: Mapping[str, SplitList], known: Collection[str]
) -> bool:
    """Whether a list is a copy of the one that is read, or names all files there are."""
    try:
        stems = set(read_stems(path, file, known)[0])
    except DataError:
        return False
    own = splits.get(_split_name(path))
    return stems.issuperset(known) or (own is not None and set(own.stems) == stems)


def _foreign(directory: Path) -> list[Path]:
    """Visible files of a directory of lists that cannot be lists."""
    return [
        path
        for path in sorted(directory.iterdir())
        if path.is_file()
        and not is_hidden(path.name)
        and path.suffix.lower() not in ENDINGS
        and path.stem.lower() not in _NO_LISTS
    ]


def _text_files(directory: Path, depth: int) -> Iterator[Path]:
    """Files that may be lists, below a directory, without hidden ones."""
    looked = 0
    try:
        with os.scandir(directory) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except PermissionError:
        return
    for entry in ordered:
        path = directory / entry.name
        if entry.is_dir(follow_symlinks=False):
            if depth > 0 and not is_hidden(entry.name):
                yield from _text_files(path, depth - 1)
        elif _may_be_list(path) and looked < _FILES_LOOKED_AT and entry.is_file():
            looked += 1
            yield path
