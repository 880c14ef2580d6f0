"""Names and colours in the lines of a list of classes, and lists of other kinds.

Each line becomes a class id, so a line that means something else shifts all that follow.
"""

import re
import string
from collections.abc import Sequence

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.text_lines import has_unseen
from fcn_jax.data.labels import Color

LONGEST_LINE = 500  # characters

_FORM = "`name`, `name red green blue` or `value: name`, one class a line"
_PUNCTUATION = string.punctuation + string.whitespace
_COLOR = re.compile(r"(.*?)[\s,;]+[(\[]?([0-9]+)[\s,;]+([0-9]+)[\s,;]+([0-9]+)[)\]]?")
_HEX_COLOR = re.compile(
    r"(.*?)[\s,;]+#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})"
)
COLOR_FIRST = re.compile(r"([0-9]+)\s+([0-9]+)\s+([0-9]+)\s+(\S.*)")
_HEADING = re.compile(
    r"(?:(?:class|label)[_ ]?)?names?|class(?:es)?|labels?|categor(?:y|ies)",
    re.IGNORECASE,
)
_LEVELS_HEADING = re.compile(
    rf"(?:{_HEADING.pattern})\s*[,;\s]\s*r(?:ed)?\s*[,;\s]\s*g(?:reen)?\s*[,;\s]\s*b(?:lue)?",
    re.IGNORECASE,
)
_FORMATTED = ("{\\rtf", "<html", "<!doctype", "<?xml")
_NUMBERED = re.compile(r"([0-9]+)[\s,;.)=-]+(\S.*)")
_FOUR_LEVELS = re.compile(r".*\S[\s,]+([0-9]+[\s,]+){3}255")
_NUMBER_LAST = re.compile(r"(\S.*?)[\s,;:=]+([0-9]+)")


def color_of(line: str, number: int) -> tuple[str, Color | None]:
    """`name [red green blue]` with blanks or commas between, as a name and a colour.

    Args:
        line: without its values.
        number: of the line, from 1.

    Raises:
        DataError: for a name that is empty, no text or a list, and for a colour that is
            not three levels.
    """
    decimal, hexadecimal = _COLOR.fullmatch(line), _HEX_COLOR.fullmatch(line)
    found = decimal or hexadecimal
    name = " ".join((found[1] if found else line).split())
    _check_form(name, line, number, bare=found is None)
    if not found:
        return name, None
    levels = [int(level[:4], 10 if decimal else 16) for level in found.groups()[1:]]
    if max(levels) > 255:
        raise DataError(
            f"line {number} is {line[:60]!r}; the levels of a colour are three levels "
            "0..255"
        )
    return name, (levels[0], levels[1], levels[2])


def _check_form(name: str, line: str, number: int, *, bare: bool) -> None:
    start = f"line {number} is {line[:60]!r}"
    if not name or not name.strip(_PUNCTUATION):
        raise DataError(
            f"{start}, which names no class; each line must be {_FORM}, since the number "
            "of a line is its class id"
        )
    if has_unseen(name):
        raise DataError(f"{start}, which has characters that cannot be shown; type it")
    if name.lower().startswith(_FORMATTED):
        raise DataError(
            f"{start}, which is formatted text; save the file as plain text"
        )
    if name.startswith(("#", "//")):
        raise DataError(f"{start}; comments are not read, so remove it")
    if _is_list(name):
        raise DataError(f"{start}, which is a list; write {_FORM}")
    if bare and re.search(r"[\s,][0-9]+[\s,]+[0-9]+$", name):
        raise DataError(
            f"{start}; a colour has three levels, so write a name, or a name and its "
            "colour as red green blue"
        )


def _is_list(name: str) -> bool:
    """Whether a line is of a list in Python, JSON, YAML or CSV."""
    return (
        name[0] in "\"'`"
        or name.startswith("- ")
        or name[-1] in ",;:{["
        or re.search(r"[\[{]([^\]}]*,|\s*['\"])", name) is not None
        or re.fullmatch(r"\(.*[,'\"].*\)", name) is not None
        or re.match(r"[0-9]+\s*[,;]", name) is not None
    )


def colors_behind(lines: Sequence[str]) -> list[str]:
    """`64 128 64 Animal` a line, as CamVid's label_colors.txt has it, as `name r g b`."""
    found = [COLOR_FIRST.fullmatch(line) for line in lines]
    if not all(found):
        return list(lines)
    return [f"{own[4]} {own[1]} {own[2]} {own[3]}" for own in found if own]


def has_heading(lines: Sequence[str]) -> bool:
    """Whether the first line is the heading of a table of names and colours.

    Raises:
        DataError: for a heading of names alone, which could also be a class.
    """
    if len(lines) < 2:
        return False
    if _HEADING.fullmatch(lines[0]):
        raise DataError(
            f"line 1 is {lines[0]!r}, which is a heading and would become the class of "
            "id 0; remove it"
        )
    return _LEVELS_HEADING.fullmatch(lines[0]) is not None


def refuse_long(lines: Sequence[str]) -> None:
    """Refuse a text, before anything is searched for in its lines.

    Raises:
        DataError: for a line that is no name.
    """
    longest = max(lines, key=len, default="")
    if len(longest) > LONGEST_LINE:
        raise DataError(
            f"a line of {len(longest)} characters begins with {longest[:60]!r}; write "
            f"{_FORM}"
        )


def refuse_foreign(lines: Sequence[str]) -> None:
    """Refuse what can be told of all lines together only.

    Args:
        lines: of the file, from its first.

    Raises:
        DataError: for a list on one line, ids before or behind names, and colours with
            four levels.
    """
    colored = any(_COLOR.fullmatch(own) or _HEX_COLOR.fullmatch(own) for own in lines)
    if len(lines) == 1 and not colored and re.search(r"[,;|\t]", lines[0]):
        raise DataError(f"line 1 is {lines[0][:60]!r}, which is a list; write {_FORM}")
    if len(lines) > 1:
        _refuse_numbers(lines, colored=colored)


def _refuse_numbers(lines: Sequence[str], *, colored: bool) -> None:
    first = repr(lines[0][:60])
    before = [found for line in lines if (found := _NUMBERED.fullmatch(line))]
    if len(before) == len(lines):
        raise DataError(
            f"each line begins with a number, as {first}; if it is the value in the "
            f"labels, write it with a colon, `{before[0][1]}: NAME`, else leave it out"
        )
    behind = [found for line in lines if (found := _NUMBER_LAST.fullmatch(line))]
    different = {found[1] for found in behind}, {found[2] for found in behind}
    if not colored and all(len(own) == len(lines) for own in (behind, *different)):
        raise DataError(
            f"each line ends with another number, as {first}; if it is the value in the "
            f"labels, write it in front, `{behind[0][2]}: NAME`, else leave it out"
        )
    if all(_FOUR_LEVELS.fullmatch(line) for line in lines):
        raise DataError(f"colours have four levels, as {first}; write red green blue")
