"""The stems that the lines of a split list name.

A stem, or what data sets write instead: a file name, a path with either slash, a path of
the image and one of the label, a stem and a flag as in VOC's lists of a class, a row of
a table. Lists are matched with the files of the folder, so that nothing is guessed where
a stem contains blanks, commas or dots.

The flags 1, 0 and -1 of VOC say whether a class is in the image. All images of such a
list are in the split, so flags that are equal are left out; where they differ, a reader
could mean the images with 1 alone, and the list is refused.
"""

import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.text_lines import has_unseen, read_lines

PICTURE_ENDING = re.compile(
    r"\.(jpe?g|jpe|jfif|png|tiff?|bmp|webp|gif|p[pgbn]m|npy|mat)$", re.IGNORECASE
)
_FLAGS = ("1", "-1", "0")
_HEADER_WORDS = (
    *("image", "images", "img", "name", "names", "file", "filename", "file_name"),
    *("files", "filenames", "id", "ids", "image_id", "imageid", "stem", "path"),
    *("image_path", "label", "labels", "mask", "masks", "annotation", "label_path"),
    *("image_name", "index", "split", "mask_path", "", "#", "no"),
)


def read_stems(
    path: Path, file: str, known: Collection[str]
) -> tuple[list[str], list[str]]:
    """The stems that a list names.

    Args:
        path: the list.
        file: what it is called in messages.
        known: stems of the images and labels there are.

    Returns:
        Stems in the order of the lines, those without files too; and a sentence for
        each line that cannot be read, and for flags that differ.

    Raises:
        DataError: where it is no text.
    """
    lines = [(n, line) for n, line in enumerate(read_lines(path), 1) if line]
    if lines and _is_header(lines[0][1], known):
        lines = lines[1:]
    stems, problems, flags = [], [], {}
    for number, line in lines:
        try:
            stem, flag = named_stem(line, known)
            if has_unseen(stem):
                raise DataError("which has characters that cannot be shown; type it")
        except DataError as error:
            problems.append(f"{file} line {number} is {line[:80]!r}, {error}")
            continue
        stems.append(stem)
        flags.setdefault(flag, number)
    if len(flags) > 1:
        of = " and ".join(
            f"{'no flag' if flag is None else f'the flag {flag}'} (line {number})"
            for flag, number in flags.items()
        )
        problems.append(
            f"{file} has lines with {of}: flags say which images hold a class, not which "
            "are in the split; write the stems that are to be in it, one a line"
        )
    return stems, problems


def _is_header(line: str, known: Collection[str]) -> bool:
    fields = [field.lower() for field in fields_of(line)]
    return all(field in _HEADER_WORDS for field in fields) and not any(
        known_stem(field, known) for field in (*fields_of(line), line)
    )


def named_stem(line: str, known: Collection[str]) -> tuple[str, str | None]:
    """The stem of a line, and its flag where it has one.

    Raises:
        DataError: where the line names two, or something else beside one.
    """
    exact = unicodedata.normalize("NFC", line)
    if exact in known:
        return exact, None
    fields = [field for field in fields_of(line) if field]  # none behind a last comma
    if len(fields) == 2 and fields[1] in _FLAGS and not re.search("[,;\t]", line):
        return known_stem(fields[0], known) or _stem(fields[0]), fields[1]
    found = [known_stem(field, known) for field in fields]
    named = list(dict.fromkeys(stem for stem in found if stem is not None))
    if len(named) > 1:
        raise DataError(
            f"which names {named[0]!r} and {named[1]!r}; an image and its label have the "
            "same stem, so write one stem a line, and rename labels that differ"
        )
    if not named:
        return _stem(line), None
    # A path with blanks in its names.
    whole = known_stem(line, known)
    if whole and not any(PICTURE_ENDING.search(field) for field in fields[:-1]):
        return whole, None
    rest = [field for field, stem in zip(fields, found, strict=True) if stem is None]
    strange = [field for field in rest if not re.fullmatch(r"-?[0-9]+", field)]
    if strange:
        raise DataError(
            f"which names {named[0]!r} and {strange[0][:60]!r}; write one stem a line, "
            "or the paths of an image and of its label, which have the same stem"
        )
    return named[0], None


def fields_of(line: str) -> list[str]:
    """Split at tabs, commas or semicolons if there are any, else at blanks."""
    for separator in ("\t", ",", ";"):
        if separator in line:
            return [_bare(field) for field in line.split(separator)]
    return [_bare(field) for field in line.split()]


def _bare(field: str) -> str:
    field = field.strip()
    quoted = len(field) > 1 and field[0] == field[-1] and field[0] in "\"'"
    return field[1:-1].strip() if quoted else field


def known_stem(text: str, known: Collection[str]) -> str | None:
    """The stem of an image or label that a text names; None where there is none."""
    whole = unicodedata.normalize("NFC", text)
    bare = _bare(whole)
    name = bare.replace("\\", "/").rsplit("/", 1)[-1]
    for stem in (whole, bare, name, PICTURE_ENDING.sub("", name)):
        if stem in known:
            return stem
    return None


def _stem(text: str) -> str:
    """The stem that a text names where no file has it."""
    name = unicodedata.normalize("NFC", _bare(text)).replace("\\", "/")
    return PICTURE_ENDING.sub("", name.rsplit("/", 1)[-1]) or name or text
