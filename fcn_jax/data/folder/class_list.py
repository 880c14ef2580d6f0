"""The classes of a folder data set, from its classes.txt.

A line is a class, `[values:] name [red green blue]`. Without values, labels store the
number of the line, from 0; with them, what is before the colon: `255: object`,
`7, 9-11: road`. The name `ignore` stands for pixels that count nowhere, as 255 does
where no line gives it to a class. Ids are the classes in the order of their lines.

Colours may also be `#rrggbb`, in brackets or in front of all names, and stand under a
heading. Two other forms are read: labelme's labels.txt, whose first line `__ignore__` is
255, and CVAT's labelmap.txt, `name:red,green,blue:parts:actions`.
"""

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.class_lines import (
    color_of,
    colors_behind,
    has_heading,
    refuse_foreign,
    refuse_long,
)
from fcn_jax.data.folder.text_lines import read_lines
from fcn_jax.data.labels import IGNORE, VOID_COLOR, Classes, Color, voc_palette

IGNORED_NAME = "ignore"
REFUSED = -1

_VALUED = re.compile(r"([0-9][0-9\s,-]*)[:\uff1a]\s*(\S.*)")
_CVAT_HEADER = re.compile(r"#\s*label\s*:\s*color", re.IGNORECASE)
_CVAT = re.compile(r"(\S.*?)\s*:\s*([0-9]+\s*,\s*[0-9]+\s*,\s*[0-9]+)?\s*:[^:]*:[^:]*")
_LABELME_FIRST = "__ignore__"
_NEIGHBOURS = ("classes.txt", "labelmap.txt", "labels.txt", "class_names.txt")
_NEIGHBOURS += ("class_dict.csv", "classes.csv", "classes", "classes.txt.txt")
_NEIGHBOURS += (
    "classes.names",
    "obj.names",
    "names.txt",
    "codes.txt",
    "label_colors.txt",
)


@dataclasses.dataclass(frozen=True)
class ClassList:
    """The meaning of label values.

    Attributes:
        classes: names and colours of the ids, those of VOC where the file has none.
        colors: colours that labels may have, of ids 0..K-1 and then of what is ignored;
            None where the file gives none.
        values: the id of each stored value 0..255, -1 where it has none; None where
            values are ids.
    """

    classes: Classes
    colors: tuple[Color, ...] | None
    values: tuple[int, ...] | None


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A line: the values that labels store, None by its number."""

    values: tuple[int, ...] | None
    name: str
    color: Color | None


def read_class_list(path: Path) -> ClassList:
    """Read a classes.txt.

    Raises:
        DataError: for a missing file, a line of another form, a name, colour or value
            that two classes have, and values or colours that only some have.
    """
    if not path.is_file():
        raise DataError(
            f"there is no {path}{_offer(path)}; write one class name a line into it, in "
            f"the order of their ids from 0 (without the ignore id {IGNORE}), each with "
            "or without its colour as red green blue"
        )
    lines = read_lines(path)
    try:
        return _class_list(_entries(lines))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def _offer(path: Path) -> str:
    """An existing class list under a name that other programs use, if any."""
    if not path.parent.is_dir():
        return ""
    there = {own.name.lower(): own for own in sorted(path.parent.iterdir())}
    for name in _NEIGHBOURS:
        if name in there and there[name].is_file():
            return (
                f", but a {there[name].name}; copy it to classes.txt, if it lists the "
                "classes"
            )
    return ""


def _entries(lines: Sequence[str]) -> list[_Entry]:
    """The lines of any of the forms."""
    refuse_long(lines)
    header = bool(lines and _CVAT_HEADER.match(lines[0]))
    if header or (lines and all(_CVAT.fullmatch(line) for line in lines)):
        return [_cvat_entry(line, n) for n, line in enumerate(lines, 1)][header:]
    lines = colors_behind(lines)
    refuse_foreign(lines)
    first = lines[0] if lines else ""
    if first == _LABELME_FIRST:
        return [_Entry(None, *color_of(line, n)) for n, line in enumerate(lines, 1)][1:]
    if has_heading(lines):
        return [_entry(line, n) for n, line in enumerate(lines, 1)][1:]
    return [_entry(line, n) for n, line in enumerate(lines, 1)]


def _entry(line: str, number: int) -> _Entry:
    valued = _VALUED.fullmatch(line)
    if not valued:
        return _Entry(None, *color_of(line, number))
    return _Entry(_values(valued[1], number), *color_of(valued[2], number))


def _values(text: str, number: int) -> tuple[int, ...]:
    """`7, 9-11` as 7, 9, 10, 11."""
    values: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*([0-9]{1,3})(?:\s*-\s*([0-9]{1,3}))?\s*", part)
        if not ends or not int(ends[1]) <= int(ends[2] or ends[1]) <= IGNORE:
            raise DataError(
                f"line {number} gives the values {text.strip()[:40]!r}; they must be "
                f"numbers 0..{IGNORE} parted by commas, or ranges as 9-11"
            )
        values += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return tuple(values)


def _cvat_entry(line: str, number: int) -> _Entry:
    if number == 1 and _CVAT_HEADER.match(line):
        return _Entry(None, line, None)
    found = _CVAT.fullmatch(line)
    if not found:
        raise DataError(
            f"line {number} is {line[:60]!r}; in a labelmap of CVAT it must be "
            "name:red,green,blue:parts:actions"
        )
    return _Entry(None, *color_of(f"{found[1]} {found[2] or ''}", number))


def _class_list(entries: Sequence[_Entry]) -> ClassList:
    entries = [
        dataclasses.replace(own, name=unicodedata.normalize("NFC", own.name))
        for own in entries
    ]
    kept = [own for own in entries if own.name.lower() != IGNORED_NAME]
    names = tuple(own.name for own in kept)
    colors = _colors(entries, len(kept))
    if _LABELME_FIRST in names and colors is None:
        raise DataError(
            f"{_LABELME_FIRST} stands in the first line of a labels.txt of labelme and "
            "nowhere else; call what is not to count `ignore`"
        )
    classes = Classes(
        names, colors[: len(names)] if colors else voc_palette(min(len(names), 256))
    )
    return ClassList(classes, colors, _value_table(entries))


def _colors(entries: Sequence[_Entry], count: int) -> tuple[Color, ...] | None:
    """Colours of the classes, then of what is ignored; None where there are none."""
    ordered = sorted(entries, key=lambda own: own.name.lower() == IGNORED_NAME)
    colors = tuple(own.color for own in ordered if own.color is not None)
    of_classes = sum(own.color is not None for own in ordered[:count])
    if colors and of_classes != count:
        raise DataError(
            f"it gives colours to {of_classes} of its {count} classes; give one to each "
            "or to none"
        )
    repeated = [color for color, n in Counter(colors).items() if n > 1]
    if repeated:
        raise DataError(
            f"it gives the colour {repeated[0]} to more than one class; choose another"
        )
    if VOID_COLOR in colors[:count]:
        raise DataError(
            f"it gives the colour {VOID_COLOR} to a class, but it stands for void; "
            "choose another"
        )
    for color in colors[count:]:
        if max(color) > 255:
            raise DataError(f"the colour {color} must have three levels 0..255")
    return colors or None


def _value_table(entries: Sequence[_Entry]) -> tuple[int, ...] | None:
    """`[256]` ids of stored values; None where values are ids."""
    valued = sum(own.values is not None for own in entries)
    ignored = [own for own in entries if own.name.lower() == IGNORED_NAME]
    if valued == 0 and not ignored:
        return None
    if 0 < valued < len(entries):
        raise DataError(
            f"{valued} of its {len(entries)} lines begin with values; begin each line "
            "with the values that labels store (`7: road`), or none"
        )
    table: dict[int, int] = {}
    label = 0
    for line, own in enumerate(entries):
        is_class = own.name.lower() != IGNORED_NAME
        for value in (line,) if own.values is None else own.values:
            if value in table:
                raise DataError(
                    f"the value {value} stands in more than one line; leave it in one"
                )
            table[value] = label if is_class else IGNORE
        label += is_class
    table.setdefault(IGNORE, IGNORE)
    return tuple(table.get(value, REFUSED) for value in range(256))
