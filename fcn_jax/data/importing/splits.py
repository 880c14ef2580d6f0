"""Names of splits, and lists of what belongs to them."""

import dataclasses
from collections.abc import Iterable
from pathlib import PurePosixPath

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.export import Export
from fcn_jax.data.importing.tree import Tree, named

SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "eval", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LISTS = {**SPLITS, "trainval": "trainval", "default": "default"}
_ENDINGS = (".txt", ".lst")
_FOLDERS = ("segmentation", "imagesets", "splits", "main")
MAX_BYTES = 64 * 2**20


def folder_split(file: PurePosixPath) -> str:
    """The split that the innermost such folder of a file names; empty where none does."""
    found = [SPLITS[f.lower()] for f in file.parts[:-1] if f.lower() in SPLITS]
    return found[-1] if found else ""


@dataclasses.dataclass(frozen=True)
class Lists:
    """The split lists of a tree.

    Attributes:
      splits: the split of each listed picture; empty where there are no lists.
      rules: what was read and how.
      left_out: lists and lines that count nowhere, and why.
    """

    splits: dict[PurePosixPath, str]
    rules: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()


def with_lists(tree: Tree, export: Export) -> Export:
    """An export whose folders name no splits, with those of the lists of its tree.

    Raises:
      DataError: as `read_lists`.
    """
    if any(entry.split for entry in export.entries):
        return export
    lists = read_lists(tree, [entry.name for entry in export.entries])
    if not lists.splits:
        return dataclasses.replace(export, left_out=(*export.left_out, *lists.left_out))
    kept = tuple(
        dataclasses.replace(entry, split=lists.splits[entry.name])
        for entry in export.entries
        if entry.name in lists.splits
    )
    unlisted = len(export.entries) - len(kept)
    rest = ((f"{unlisted} pictures with labels", "no list of a split has them"),)
    return dataclasses.replace(
        export,
        entries=kept,
        rules=(*export.rules, *lists.rules),
        left_out=(*export.left_out, *lists.left_out, *(rest if unlisted else ())),
    )


def read_lists(tree: Tree, pictures: Iterable[PurePosixPath]) -> Lists:
    """Reads train.txt, val.txt, test.txt or trainval.txt, in the usual places.

    These are ImageSets/Segmentation/, ImageSets/, splits/ and the directory itself. A
    line is a stem, a file name or path, a pair of paths, or a stem and a flag 0 or 1. A
    list trainval counts where train and val have none; default is no split.

    Raises:
      DataError: where a line has another form, a picture is in two lists, or no line of a
        list names a picture.
    """
    found = _found(tree)
    rules, left_out = [], []
    if {"train", "val"} & set(found):
        _drop(found, "trainval", "train.txt and val.txt are read", left_out)
    _drop(found, "default", "it names no split", left_out)
    known = _Known(pictures)
    splits: dict[PurePosixPath, str] = {}
    for name, file in found.items():
        split = "train" if name == "trainval" else name
        listed, absent = _listed(tree, file, known)
        if not listed and split == "test":
            left_out.append((str(file), "none of its pictures has a label here"))
            continue
        if not listed:
            raise DataError(
                f"{tree.path(file)} names no picture that has a label here (its first "
                f"line is {absent[0] if absent else ''!r}); correct or remove it"
            )
        for picture in listed:
            if splits.setdefault(picture, split) != split:
                raise DataError(
                    f"{picture} is in the lists of {splits[picture]} and {split}, so "
                    "scores would be of pictures trained on; keep it in one of them"
                )
        rules.append((f"split {split}", f"{len(listed)} pictures, listed in {file}"))
        if absent:
            left_out.append((f"{named(absent)} of {file}", "no such picture and label"))
    return Lists(splits, tuple(rules), tuple(left_out))


def _found(tree: Tree) -> dict[str, PurePosixPath]:
    """The lists by their name; of several places the first of `_FOLDERS` counts."""
    found: dict[str, PurePosixPath] = {}
    for file in sorted(tree.ending(*_ENDINGS), key=_place):
        name = _LISTS.get(file.stem.lower())
        if name is None or _place(file)[0] > len(_FOLDERS):
            continue
        if name in found and _place(found[name])[0] == _place(file)[0]:
            raise DataError(
                f"both {found[name]} and {file} in {tree.root} list {name}; import one "
                "data set at a time, or remove one list"
            )
        found.setdefault(name, file)
    return found


def _place(file: PurePosixPath) -> tuple[int, str]:
    parent = file.parent.name.lower()
    at = _FOLDERS.index(parent) if parent in _FOLDERS else len(_FOLDERS)
    deep = parent not in _FOLDERS and len(file.parts) > 3
    return at + deep, str(file)


def _drop(
    found: dict[str, PurePosixPath],
    name: str,
    why: str,
    left_out: list[tuple[str, str]],
) -> None:
    if name in found:
        left_out.append((str(found.pop(name)), why))


class _Known:
    """Pictures by path without ending, and by stem where that is unique."""

    def __init__(self, pictures: Iterable[PurePosixPath]):
        self.exact: dict[str, PurePosixPath] = {}
        self.stems: dict[str, list[PurePosixPath]] = {}
        for picture in pictures:
            self.exact[str(picture)] = picture
            self.exact[str(picture.with_suffix(""))] = picture
            self.stems.setdefault(picture.name, []).append(picture)
            self.stems.setdefault(picture.stem, []).append(picture)

    def get(self, text: str) -> PurePosixPath | None:
        path = PurePosixPath(text.replace("\\", "/"))
        found = self.exact.get(str(path))
        if found is None:
            # From the longest tail of a path of another machine to its last part.
            fits = self.stems.get(path.name, [])
            tails = [f for f in fits if _same_tail(f, path)]
            fits = fits if len(fits) == 1 else tails
            found = fits[0] if len(fits) == 1 else None
        return found


def _same_tail(one: PurePosixPath, other: PurePosixPath) -> bool:
    return one.parent.name == other.parent.name


def _listed(
    tree: Tree, file: PurePosixPath, known: _Known
) -> tuple[list[PurePosixPath], list[str]]:
    """The pictures of a list, and its lines that name none."""
    listed: dict[PurePosixPath, None] = {}
    absent: list[str] = []
    for line in read_text(tree, file).splitlines():
        words = line.strip()
        if not words:
            continue
        picture = known.get(words)
        if picture is None:
            first, *rest = words.replace(",", " ").split()
            if rest == ["-1"]:
                raise DataError(
                    f"{tree.path(file)} has the line {words!r}: it lists which pictures "
                    "show a class, not a split; remove it"
                )
            picture = known.get(first)
        if picture is None:
            absent.append(words)
        else:
            listed[picture] = None
    return list(listed), absent


def read_text(tree: Tree, file: PurePosixPath) -> str:
    """The text of a small file, UTF-8 or UTF-16 with its mark.

    Raises:
      DataError: for more than 64 MiB or another encoding.
    """
    path = tree.path(file)
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} is larger than {MAX_BYTES} bytes; it is no list")
    content = path.read_bytes()
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from (
            error
        )
