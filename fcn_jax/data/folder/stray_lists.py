"""Files of a folder that look like split lists but are not read as such.

What they hold back would be trained on. A file is harmless that names every image, and no
split, or says what a list says that is read.
"""

import codecs
import dataclasses
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.listing import is_hidden
from fcn_jax.data.folder.split_lines import fields_of, known_stem, named_stem

LIST_ENDINGS = ("", ".txt", ".lst", ".list", ".csv", ".tsv")
STRUCTURED = (".json", ".yaml", ".yml")
_CLOSED = (".npy", ".npz", ".mat", ".pkl", ".pickle", ".xlsx", ".xls", ".ods")

NEVER_LISTS = ("classes", "readme", "license", "licence", "copying", "requirements")
_WORDS = re.compile(
    r"train|training|val|valid|validation|test|testing|dev|hold_?out|splits?|fold[0-9]*",
    re.IGNORECASE,
)
_LIST_WORDS = ("list", "lists", "id", "ids", "idx", "indices", "set", "sets", "names")
_DEPTH = 2  # directories below the folder that are searched
_FILES = 1000  # of a directory
_JUDGED = 2**14  # bytes of a file that are read
_LOOKED_THROUGH = 2**22


@dataclasses.dataclass(frozen=True)
class _Mentions:
    """What a file says: the stems it names, whether it is a list, and names splits."""

    stems: frozenset[str]
    is_list: bool
    has_words: bool


def stray_problems(
    root: Path,
    read: Collection[Path],
    lists: Mapping[str, frozenset[str]],
    known: Collection[str],
) -> list[str]:
    """A sentence for each file that looks like a split list and is none of those read.

    Args:
        root: the folder.
        read: the lists that are read.
        lists: by their path in the folder, the stems of those lists.
        known: stems of the images and labels.
    """
    problems = []
    others = f", since {', '.join(list(lists)[:3])} are" if lists else ""
    of_voc = any(file.startswith("ImageSets/Segmentation/") for file in lists)
    for path in _candidates(root, _DEPTH):
        file = path.relative_to(root).as_posix()
        # Beside its lists for segmentation VOC has some for each class.
        if (
            path in read
            or path.stem in known
            or (of_voc and file.startswith("ImageSets/"))
        ):
            continue
        found = _mentions(path, known)
        copied = any(
            Path(own).stem.lower() == path.stem.lower() and stems == found.stems
            for own, stems in lists.items()
        )
        harmless = found.stems.issuperset(known) and not found.has_words
        if found.is_list and not copied and not harmless:
            problems.append(
                f"{file} looks like a split list and is not read{others}; write what it "
                "says into splits/train.txt, val.txt and so on, a stem a line, and move "
                "it out of the folder"
            )
    return problems


def foreign_problems(root: Path, place: str) -> list[str]:
    """A sentence for each visible file of a directory of lists that cannot be one."""
    directory = root / place
    if not directory.is_dir():
        return []
    return [
        f"{place}/{path.name} is not read, since its ending is none of "
        f"{', '.join(LIST_ENDINGS[1:])}; convert it to stems, one a line, or move it away"
        for path in sorted(directory.iterdir())
        if path.is_file()
        and not is_hidden(path.name)
        and path.suffix.lower() not in LIST_ENDINGS
        and path.stem.lower() not in NEVER_LISTS
    ]


def closed_problems(root: Path) -> list[str]:
    """A sentence for each file that by its name is a split list, in a form not read."""
    return [
        f"{path.name} is a split list by its name, and {path.suffix} files are not read; "
        "write its stems into splits/train.txt, val.txt and so on, one a line, and move it "
        "out of the folder"
        for path in sorted(root.iterdir())
        if path.suffix.lower() in _CLOSED and _is_split_name(path.stem)
    ]


def _is_split_name(stem: str) -> bool:
    words = [word for word in re.split(r"[\W_]+", stem.lower()) if word]
    named = [word for word in words if _WORDS.fullmatch(word)]
    return bool(named) and set(words) <= {*named, *_LIST_WORDS}


def _candidates(directory: Path, depth: int) -> Iterator[Path]:
    """Text files below a directory, without hidden ones."""
    looked = 0
    try:
        with os.scandir(directory) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except PermissionError:
        return
    for entry in ordered:
        path = directory / entry.name
        if is_hidden(entry.name):
            continue
        if entry.is_dir():
            if depth > 0:
                yield from _candidates(path, depth - 1)
        elif (
            path.suffix.lower() in (*LIST_ENDINGS, *STRUCTURED)
            and path.stem.lower() not in NEVER_LISTS
            and looked < _FILES
            and entry.is_file()
        ):
            looked += 1
            yield path


def _mentions(path: Path, known: Collection[str]) -> _Mentions:
    """What the beginning of a text says of the images."""
    if path.suffix.lower() in STRUCTURED:
        return _structured(path, _text(path, _LOOKED_THROUGH), known)
    lines = _lines(_text(path, _JUDGED))[:50]
    naming = sum(_stem(line, known) is not None for line in lines)
    if not naming or 2 * naming < len(lines):
        return _Mentions(frozenset(), is_list=False, has_words=False)
    lines = _lines(_text(path, _LOOKED_THROUGH))
    stems = frozenset(stem for line in lines if (stem := _stem(line, known)))
    words = any(_WORDS.fullmatch(field) for line in lines for field in fields_of(line))
    return _Mentions(stems, is_list=True, has_words=words)


def _text(path: Path, count: int) -> str:
    """The first bytes of a file as text; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(count)
    except OSError:
        return ""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig", "ignore")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _stem(line: str, known: Collection[str]) -> str | None:
    """The image of a line or of a row of a table; None where it names none."""
    try:
        stem, _ = named_stem(line, known)
        if stem in known:
            return stem
    except DataError:
        pass
    if not re.search("[,;\t]", line):
        return None
    return next((stem for f in fields_of(line) if (stem := known_stem(f, known))), None)


def _structured(path: Path, text: str, known: Collection[str]) -> _Mentions:
    """JSON and YAML: any words; short numbers are not taken for stems."""
    tokens = [token for token in re.split(r"[\s,;:\"'\[\]{}()]+", text) if token]
    stems = frozenset(
        stem
        for token in tokens
        if not re.fullmatch(r"[0-9]{1,3}", token) and (stem := known_stem(token, known))
    )
    parts = re.split(r"[\W_]+", path.stem)
    words = any(_WORDS.fullmatch(token) for token in (*tokens, *parts))
    return _Mentions(stems, is_list=bool(stems) and words, has_words=words)
