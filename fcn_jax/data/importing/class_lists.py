"""Lists of classes in the forms that tools and data sets have them."""

import csv
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.splits import read_text
from fcn_jax.data.importing.tree import Tree
from fcn_jax.data.labels import Color
from fcn_jax.locations import located

LISTS = (
    *("classes.txt", "class_names.txt", "labels.txt", "label_names.txt"),
    *("labelmap.txt", "label_map.txt", "names.txt", "codes.txt"),
    *("label_colors.txt", "class_dict.csv", "classes.csv", "class_dict_seg.csv"),
)
IGNORED_NAMES = ("__ignore__",)  # labelme's id -1, which its masks store as 255


@dataclasses.dataclass(frozen=True)
class Listed:
    """A line of a list of classes.

    Attributes:
      name: of the class.
      color: in masks; None where the list gives none.
      value: in masks; None where the list gives none.
    """

    name: str
    color: Color | None = None
    value: int | None = None


@dataclasses.dataclass(frozen=True)
class ClassList:
    """A list of classes.

    Attributes:
      listed: in the order of the file, ignored names left out.
      ignored: names that stand for ignored pixels.
      origin: the file, for messages and the table.
    """

    listed: tuple[Listed, ...]
    ignored: tuple[str, ...]
    origin: str


def find_list(tree: Tree, given: str) -> ClassList | None:
    """The list of classes that is given, or else the one that the tree has.

    Raises:
      DataError: where the tree has several, or the list cannot be read.
    """
    if given:
        path = Path(located(given))
        if not path.is_file():
            raise DataError(f"--classes={given}: there is no such file")
        near = Tree(path.parent)
        return read_list(near, PurePosixPath(path.name), str(path))
    found = [file for file in tree.files if file.name.lower() in LISTS]
    lists = [read_list(tree, file, str(file)) for file in found]
    differing = [one for one in lists if one.listed != lists[0].listed]
    if differing:
        raise DataError(
            f"{tree.root} has two lists of classes, {lists[0].origin} and "
            f"{differing[0].origin}; say which counts with --classes=FILE"
        )
    return lists[0] if lists else None


def read_list(tree: Tree, file: PurePosixPath, origin: str) -> ClassList:
    """Reads one class a line.

    A line is `name`, `name r g b`, `r g b name`, CVAT's `name:r,g,b:parts:actions`,
    `name,r,g,b`, or `value: name`; all lines are of one form. Lines that begin with #
    are comments. labelme's `__ignore__` stands for ignored pixels.

    Args:
      tree: has the file.
      file: within it.
      origin: names it in messages.

    Raises:
      DataError: for an empty file, mixed forms, a line that is a list of names, or a name
        given twice.
    """
    lines = [line.strip() for line in read_text(tree, file).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise DataError(f"{origin} lists no classes")
    if re.match("(?i)(name|class),", lines[0]) and len(lines) > 1:
        lines = lines[1:]  # the header of a table
    for form in _FORMS:
        entries = [form(line) for line in lines]
        listed = [entry for entry in entries if entry is not None]
        if len(listed) == len(lines):
            return _checked(listed, origin)
        if listed and len(listed) > len(lines) // 2:
            line = lines[entries.index(None)]
            raise DataError(
                f"{origin} has the line {line!r}, of another form than the others; give "
                "all lines the same"
            )
    return _checked([Listed(line) for line in lines], origin)


def _checked(listed: list[Listed], origin: str) -> ClassList:
    for entry in listed:
        if re.match(r"[\[{(].*,", entry.name) or re.search(r"[\x00-\x1f]", entry.name):
            raise DataError(
                f"{origin} has the class {entry.name!r}, which looks like a list; write "
                "one name a line"
            )
    names = [entry.name for entry in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{origin} has the class {twice[0]!r} twice; keep one")
    return ClassList(
        listed=tuple(e for e in listed if e.name not in IGNORED_NAMES),
        ignored=tuple(name for name in names if name in IGNORED_NAMES),
        origin=origin,
    )


def _color(levels: tuple[str, ...]) -> Color | None:
    red, green, blue = (int(level) for level in levels)
    return (red, green, blue) if max(red, green, blue) < 256 else None


def _colored(pattern: str, name: int, color: int) -> Callable[[str], Listed | None]:
    """A form with a name and three levels, by the numbers of their groups."""

    def read(line: str) -> Listed | None:
        match = re.fullmatch(pattern, line)
        if not match:
            return None
        groups = match.groups()
        levels = _color(groups[color : color + 3])
        return Listed(" ".join(groups[name].split()), levels) if levels else None

    return read


def _table(line: str) -> Listed | None:
    cells = [cell.strip() for cell in next(csv.reader([line]))]
    if len(cells) != 4 or not all(re.fullmatch("[0-9]{1,3}", c) for c in cells[1:]):
        return None
    color = _color(tuple(cells[1:]))
    return Listed(" ".join(cells[0].split()), color) if color and cells[0] else None


def _valued(line: str) -> Listed | None:
    match = re.fullmatch(r"([0-9]{1,5})\s*[:,\s]\s*(\D.*)", line)
    if not match:
        return None
    return Listed(" ".join(match[2].split()), value=int(match[1]))


_N = "([0-9]{1,3})"
_FORMS = (
    _colored(rf"(.+):{_N},\s*{_N},\s*{_N}:[^:]*:[^:]*", 0, 1),
    _colored(rf"{_N}\s+{_N}\s+{_N}\s+(\S.*)", 3, 0),
    _colored(rf"(\S.*?)\s+{_N}\s+{_N}\s+{_N}", 0, 1),
    _table,
    _valued,
)
