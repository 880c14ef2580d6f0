"""Which class each value or colour of masks is, or why nothing says so."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.class_lists import ClassList, is_ignored
from fcn_jax.data.importing.export import Class
from fcn_jax.data.importing.masks import (
    COLOR,
    Mask,
    Survey,
    code_color,
    color_code,
    spoken,
)
from fcn_jax.data.importing.options import Options, value_code
from fcn_jax.data.importing.value_problems import (
    COLORS,
    VALUES,
    VOID,
    contradiction,
    counts_of,
    refuse_two_values,
    undecided,
    unknown_sentence,
)
from fcn_jax.data.labels import IGNORE, Color

IGNORED = "ignore"


@dataclasses.dataclass(frozen=True)
class ValueTable:
    """What masks are read by.

    Attributes:
        by: "values" or "colours".
        ids: class id of each value or colour; 255 for ignored ones.
        classes: in the order of the ids.
        rules: (what, rule), for the table.
        nearest: whether other values become the nearest one of `ids`.
    """

    by: str
    ids: Mapping[int, int]
    classes: tuple[Class, ...]
    rules: tuple[tuple[str, str], ...] = ()
    nearest: bool = False

    @property
    def ignored(self) -> tuple[str, ...]:
        """The values that become 255."""
        word = "colour" if self.by == COLORS else "value"
        return tuple(f"{word} {spoken(c)}" for c, i in self.ids.items() if i == IGNORE)

    def label(self, mask: Mask, where: str) -> np.ndarray:
        """Return class ids of a mask, `[H, W] uint8`.

        Raises:
            DataError: for a value that the table does not have.
        """
        stored = mask.colors() if self.by == COLORS else mask.values()
        if stored is None:
            raise DataError(f"{where}: it has colours and the others have values")
        known = np.array(sorted(self.ids), np.int32)
        ids = np.array([self.ids[int(code)] for code in known], np.uint8)
        codes, inverse = np.unique(stored, return_inverse=True)
        place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        exact = known[place] == codes
        if not exact.all():
            if not self.nearest:
                raise DataError(
                    f"{where}: no class has {spoken(int(codes[~exact][0]))}"
                )
            place[~exact] = [_nearest(int(code), known) for code in codes[~exact]]
        return ids[place][inverse].reshape(stored.shape)


def table_of(
    surveys: Mapping[str, Survey], listed: ClassList | None, options: Options
) -> ValueTable:
    """Decide how masks are read.

    Args:
        surveys: what each mask holds, by its name in messages.
        listed: the list of classes of the source; `options` go before it.
        options: --map, --names, --ignore, --reduce_zero_label and --nearest.

    Raises:
        DataError: where it is not decided which value is which class, masks hold values
            without a class, or files contradict each other.
    """
    if options.nearest and not options.map:
        raise DataError("--nearest needs the values of the classes; give --map as well")
    lossy = next((name for name, one in surveys.items() if one.lossy), None)
    if lossy and not options.nearest:
        raise DataError(
            f"{lossy}: JPEG and WebP change the values of masks; take the masks as they "
            "were before, or give --map and --nearest, with which every pixel becomes "
            "the nearest of these values"
        )
    by, entries, origin = _entries(surveys, listed, options)
    problem = contradiction(surveys) if by == VALUES else ""
    if problem:
        raise DataError(problem)
    counts = counts_of(surveys, by)
    ids, classes, ignored = _numbered(entries, by, options)
    ids |= dict.fromkeys(ignored, IGNORE)
    rules = [("classes", origin), ("masks", f"read by their {by}")]
    if not options.map and VOID[by] in counts and VOID[by] not in ids:
        refuse_two_values(counts, by, entries)
        ids[VOID[by]] = IGNORE
        rules.append(("void", f"{spoken(VOID[by])}, as no class has it"))
    unknown = {code: n for code, n in counts.items() if code not in ids}
    if options.nearest:
        near, total = sum(unknown.values()), counts.total()
        rules.append(
            (
                "nearest",
                f"{near} of {total} pixels had other values ({near / total:.2%})",
            )
        )
    elif unknown:
        raise DataError(unknown_sentence(unknown, counts, surveys, by, entries))
    return ValueTable(by, ids, classes, tuple(rules), options.nearest)


def _entries(
    surveys: Mapping[str, Survey], listed: ClassList | None, options: Options
) -> tuple[str, list[tuple[int, str]], str]:
    """Return how masks are read, each value's class name, and its source."""
    if options.map:
        return _mapped(surveys, options)
    start = 1 if options.reduce_zero_label else 0
    zero = ", from 1, and 0 is ignored" if start else ", from 0"
    if options.names:
        return VALUES, list(enumerate(options.names, start)), f"--names{zero}"
    if listed is None:
        raise DataError(undecided(surveys))
    if listed.values is not None and not start:
        by_id = sorted(listed.values.items(), key=lambda own: own[1])
        valued = [(value, _name(listed, number)) for value, number in by_id]
        valued = [own for own in valued if own != (IGNORE, IGNORED)]
        return VALUES, valued, f"values and names of {listed.origin}"
    if listed.colors is not None and not start:
        colored = [
            (color_code(color), name)
            for name, color in zip(listed.names, listed.colors, strict=True)
        ]
        colored += [(color_code(color), IGNORED) for color in listed.void]
        grey = all(one.kind == "grey" for one in surveys.values())
        if not grey or _fits(surveys, colored):
            return COLORS, colored, f"colours and names of {listed.origin}"
    named = list(enumerate(listed.names, start))
    return VALUES, named, f"names of {listed.origin}{zero}"


def _name(listed: ClassList, number: int) -> str:
    return IGNORED if number == IGNORE else listed.names[number]


def _fits(surveys: Mapping[str, Survey], colored: Sequence[tuple[int, str]]) -> bool:
    known = {code for code, _ in colored} | {VOID[COLORS]}
    return all(known >= set(one.colors) for one in surveys.values())


def _mapped(
    surveys: Mapping[str, Survey], options: Options
) -> tuple[str, list[tuple[int, str]], str]:
    """Parse the entries of --map: values, colours, or greys where these are meant."""
    entries = []
    for text, name in options.map:
        code = value_code(text)
        if code is None:
            raise DataError(
                f"--map has the value {text!r}; masks have numbers 0..65535 or colours, "
                "as #rrggbb"
            )
        entries.append((code, name))
    colors = [code >= COLOR for code, _ in entries]
    if any(colors) and not all(colors):
        raise DataError("--map mixes numbers and colours; give one kind")
    if all(colors):
        return COLORS, entries, "--map, in its order"
    entries.sort()
    if _are_greys({code for code, _ in entries}, surveys, options):
        greys = [(_as_grey(code), name) for code, name in entries]
        return COLORS, greys, "--map, whose values are the greys that are seen"
    return VALUES, entries, "--map, in the order of the values"


def _are_greys(
    mapped: set[int], surveys: Mapping[str, Survey], options: Options
) -> bool:
    """Tell whether the mapped values are brightnesses of the masks, not stored values.

    White is 255 in grey of 8 bits, 1 in grey of 1 bit, and any index of a palette.
    """
    ignored = {value_code(text) for text in options.ignore} - {None}
    wanted = {*mapped, *ignored}
    stored = contradiction(surveys) == "" and (
        options.nearest
        or all(wanted >= set(one.values or ()) for one in surveys.values())
    )
    greys = {_as_grey(value) for value in wanted if value is not None and value < 256}
    seen = options.nearest or all(greys >= set(one.colors) for one in surveys.values())
    return seen and not stored and max(mapped) < 256


def _as_grey(code: int) -> int:
    return COLOR + code * 0x010101 if code < 256 else code


def _numbered(
    entries: Sequence[tuple[int, str]], by: str, options: Options
) -> tuple[dict[int, int], tuple[Class, ...], list[int]]:
    """Return ids of values, the classes, and the values that are ignored."""
    word = "colour" if by == COLORS else "value"
    dropped = {name for _, name in entries if is_ignored(name)}
    ignored = []
    for text in options.ignore:
        code = value_code(text)
        if code is not None and by == COLORS:
            code = _as_grey(code)
        if text in {name for _, name in entries}:
            dropped.add(text)
        elif code is not None and (code >= COLOR) == (by == COLORS):
            ignored.append(code)
        else:
            raise DataError(
                f"--ignore has {text!r}, which is neither a class nor a {word}; the "
                f"classes are {', '.join(name for _, name in entries)}"
            )
    if options.reduce_zero_label and by == VALUES:
        ignored.append(0)
    ignored += [code for code, name in entries if name in dropped]
    kept = [(code, name) for code, name in entries if code not in ignored]
    names = list(dict.fromkeys(name for _, name in kept))
    if options.map and options.names:
        names = _ordered(names, options.names)
    ids = {code: names.index(name) for code, name in kept}
    if not names:
        raise DataError("every class is ignored; leave one out of --ignore")
    classes = []
    for name in names:
        codes = [code for code, other in kept if other == name]
        color = code_color(codes[0]) if by == COLORS else None
        origin = f"{word} {', '.join(spoken(code) for code in codes)}"
        classes.append(Class(name, origin, color))
    return ids, tuple(classes), ignored


def _ordered(found: Sequence[str], wanted: Sequence[str]) -> list[str]:
    if sorted(found) != sorted(wanted):
        raise DataError(
            f"--names has {', '.join(wanted)} and --map {', '.join(found)}; give both the "
            "same names, or leave --names out"
        )
    return list(wanted)


def _nearest(code: int, known: np.ndarray) -> int:
    if code < COLOR:
        return int(np.abs(known - code).argmin())
    wanted = np.array(code_color(code))
    colors = np.array([code_color(int(other)) for other in known])
    return int(((colors - wanted) ** 2).sum(axis=1).argmin())


def from_ids(listed: Sequence[tuple[str, Color, int]]) -> ValueTable:
    """Return the published table of a data set; all other values are ignored.

    Args:
        listed: name, colour and value of the classes, in the order of the ids.
    """
    by_value = {value: i for i, (_, _, value) in enumerate(listed)}
    ids = {value: by_value.get(value, IGNORE) for value in range(256)}
    classes = tuple(Class(name, f"value {v}", color) for name, color, v in listed)
    return ValueTable(VALUES, ids, classes)
