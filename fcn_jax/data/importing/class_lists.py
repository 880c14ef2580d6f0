"""The list of classes that a tree has beside its pictures, or that is given."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.class_lines import COLOR_FIRST
from fcn_jax.data.folder.class_list import REFUSED, read_class_list
from fcn_jax.data.folder.text_lines import read_lines
from fcn_jax.data.importing.tree import Tree
from fcn_jax.data.labels import Classes, Color, voc_palette
from fcn_jax.runtime.locations import located

LISTS = (
    *("classes.txt", "class_names.txt", "labels.txt", "label_names.txt"),
    *("labelmap.txt", "label_map.txt", "names.txt", "codes.txt"),
    *(
        "label_colors.txt",
        "class_dict.csv",
        "classes.csv",
        "class_dict_seg.csv",
        "_classes.csv",
    ),
)
IGNORED_NAMES = ("ignore", "__ignore__")  # of this project, and of labelme


@dataclasses.dataclass(frozen=True)
class ClassList:
    """A list of classes.

    Attributes:
        names: in the order of the ids.
        colors: in masks, of the names; None where the list gives none.
        values: id of each value in masks, 255 for ignored ones; None where the list
            gives none.
        void: colours of what is ignored.
        origin: the file, for messages and the table.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...] | None
    values: Mapping[int, int] | None
    void: tuple[Color, ...]
    origin: str


def find_list(tree: Tree, given: str) -> ClassList | None:
    """Read the class list of --classes, or else the one in the tree.

    Raises:
        DataError: where the tree has lists that differ, or the list cannot be read.
    """
    if given:
        path = Path(located(given))
        if not path.is_file():
            raise DataError(f"--classes={given}: there is no such file")
        return read_list(path, str(path))
    found = [file for file in tree.files if file.name.lower() in LISTS]
    lists = [read_list(tree.path(file), str(file)) for file in found]
    for other in lists[1:]:
        if dataclasses.replace(other, origin=lists[0].origin) != lists[0]:
            raise DataError(
                f"{tree.root} has two lists of classes, {lists[0].origin} and "
                f"{other.origin}; say which counts with --classes=FILE"
            )
    return lists[0] if lists else None


def read_list(path: Path, origin: str) -> ClassList:
    """Read a list in the forms of classes.txt, with the colours first, or Roboflow's.

    Args:
        path: the file.
        origin: what it is called.

    Raises:
        DataError: for a line of another form, and names, colours or values that two
            classes have.
    """
    lines = read_lines(path)
    matches = [COLOR_FIRST.fullmatch(line) for line in lines]
    if lines and all(matches):
        return _colors_first([match.groups() for match in matches if match], origin)
    if lines and re.fullmatch(r"pixel value\s*,\s*class", lines[0], re.IGNORECASE):
        return _valued(lines[1:], origin)
    found = read_class_list(path)
    count = len(found.classes)
    values = found.values
    return ClassList(
        names=found.classes.names,
        colors=found.colors[:count] if found.colors else None,
        values={v: i for v, i in enumerate(values) if i != REFUSED} if values else None,
        void=found.colors[count:] if found.colors else (),
        origin=origin,
    )


def _colors_first(lines: Sequence[Sequence[str]], origin: str) -> ClassList:
    """Read lines such as `64 128 64 Animal`, as in CamVid's label_colors.txt."""
    entries = [
        (" ".join(name.split()), (int(red[:4]), int(green[:4]), int(blue[:4])))
        for red, green, blue, name in lines
    ]
    kept = [entry for entry in entries if entry[0].lower() not in IGNORED_NAMES]
    void = tuple(color for name, color in entries if (name, color) not in kept)
    names, colors = tuple(name for name, _ in kept), tuple(color for _, color in kept)
    try:
        Classes(names, colors)
    except ValueError as error:
        raise DataError(f"{origin}: {error}") from error
    if len({*colors, *void}) < len(entries):
        raise DataError(f"{origin} gives a colour to two classes; choose another")
    return ClassList(names, colors, None, void, origin)


def _valued(lines: Sequence[str], origin: str) -> ClassList:
    """Read lines such as `0, background`, as in Roboflow's _classes.csv."""
    entries = [re.fullmatch(r"([0-9]{1,3})\s*,\s*(\S.*)", line) for line in lines]
    found = [(int(own[1]), own[2]) for own in entries if own]
    values = {value: label for label, (value, _) in enumerate(found)}
    names = tuple(name for _, name in found)
    if len(values) < len(lines) or max(values, default=256) > 255:
        raise DataError(
            f"{origin}: each line must be a value 0..255 and a name, each value once"
        )
    try:
        Classes(names, voc_palette(len(names)))
    except ValueError as error:
        raise DataError(f"{origin}: {error}") from error
    return ClassList(names, None, values, (), origin)


def is_ignored(name: str) -> bool:
    """Tell whether a name stands for ignored pixels."""
    return name.lower() in IGNORED_NAMES
