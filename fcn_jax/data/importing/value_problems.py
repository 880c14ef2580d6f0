"""What is undecided or contradictory about the values of masks, in sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.masks import Survey, color_code, spoken
from fcn_jax.data.labels import IGNORE, VOID_COLOR

VALUES, COLORS = "values", "colours"
VOID = {VALUES: IGNORE, COLORS: color_code(VOID_COLOR)}


def counts_of(surveys: Mapping[str, Survey], by: str) -> Counter[int]:
    """Count pixels by value or colour, over all masks."""
    total: Counter[int] = Counter()
    for one in surveys.values():
        total.update(one.colors if by == COLORS else one.values or {})
    return total


def contradiction(surveys: Mapping[str, Survey]) -> str:
    """Between which files a value changes its meaning; empty where it does not."""
    homes: dict[tuple[str, int], str] = {}
    shown: dict[int, tuple[int, str]] = {}
    for name, one in surveys.items():
        if one.values is None:
            return (
                f"{name} is in colours, and classes are given by values; give the colour "
                "of each class, --map=#rrggbb:NAME,... or --classes=FILE with name r g b"
            )
        if one.kind == "palette":
            for value, color in one.color_of.items():
                before = shown.setdefault(value, (color, name))
                if before[0] != color:
                    return (
                        f"{before[1]} and {name} have palettes that differ: index {value} "
                        f"is {spoken(before[0])} in one and {spoken(color)} in the other; "
                        "give --map=#rrggbb:NAME,... to read colours"
                    )
        if set(one.values) != {0}:
            kind = "palette" if one.kind == "palette" else "grey"
            homes.setdefault((kind, min(one.bits, 8)), name)
    if len(homes) > 1:
        (first, one), (second, other), *_ = homes.items()
        return (
            f"{one} is {_encoding(*first)} and {other} {_encoding(*second)}, between "
            "which programs change the values and not the picture; give "
            "--map=#rrggbb:NAME,... to read what is seen"
        )
    return ""


def _encoding(kind: str, bits: int) -> str:
    return f"{bits}-bit grey" if kind == "grey" else "a palette image"


def refuse_two_values(
    counts: Counter[int], by: str, entries: Sequence[tuple[int, str]]
) -> None:
    """Refuse 255 as void where it is what two classes are told apart by.

    Raises:
        DataError: for masks of 255 and one other value, and two classes or more.
    """
    if by == VALUES and len(counts) < 3 and len(entries) > 1:
        value, name = next(iter(entries))
        raise DataError(
            f"the masks hold the values {_shares(counts, counts.total())}, and 255 stands "
            f"for ignored pixels; if it is a class, give --map={value}:{name},"
            f"255:{entries[-1][1]}, else --ignore=255"
        )


def undecided(surveys: Mapping[str, Survey]) -> str:
    """Say what the user must decide about masks whose classes are unknown."""
    by = VALUES if all(one.values is not None for one in surveys.values()) else COLORS
    counts = counts_of(surveys, by)
    codes = sorted(set(counts) - {VOID[by]} if len(counts) > 2 else counts)
    found = f"the masks hold the {by} {_shares(counts, counts.total())}, and nothing says what they are"
    pairs = ",".join(f"{spoken(code)}:NAME{i}" for i, code in enumerate(codes[:6]))
    pairs += ",..." if len(codes) > 6 else ""
    void = (
        ""
        if VOID[by] in codes or VOID[by] not in counts
        else (
            f"; {spoken(VOID[by])} is then ignored, unless it is given to a class too"
        )
    )
    if len(codes) == 2:
        one, two = (spoken(code) for code in codes)
        return (
            f"{found}; give --map={one}:background,{two}:object, or the other way round"
            f"{void}"
        )
    if by == VALUES and codes == list(range(len(codes))):
        names = ",".join(f"NAME{code}" for code in codes[:6])
        more = ",..." if len(codes) > 6 else ""
        return (
            f"{found}; give --names={names}{more} in the order of the values, or "
            f"--classes=FILE with a name a line{void}"
        )
    blurred = (
        "; many values come of blurred edges, for which there is --nearest"
        if len(codes) > 64
        else ""
    )
    return f"{found}; give --map={pairs} or --classes=FILE{blurred}{void}"


def unknown_sentence(
    unknown: Mapping[int, int],
    counts: Counter[int],
    surveys: Mapping[str, Survey],
    by: str,
    entries: Sequence[tuple[int, str]],
) -> str:
    """Say what to do about values that belong to no class.

    Args:
        unknown: these values and their pixels.
        counts: all values and their pixels.
        surveys: what each mask holds, by its name.
        by: "values" or "colours".
        entries: the values of the classes and their names.
    """
    file = next(
        name
        for name, one in surveys.items()
        if set(unknown) & set((one.colors if by == COLORS else one.values) or ())
    )
    present = sorted(set(counts) - ({VOID[by]} - {code for code, _ in entries}))
    remedy = "add them to --map or --classes, or give --ignore=" + ",".join(
        spoken(code) for code in list(unknown)[:8]
    )
    if by == VALUES and len(present) == len(entries):
        pairs = zip(present, (name for _, name in entries), strict=True)
        remedy = "if the names are in the order of the values, give --map=" + ",".join(
            f"{spoken(code)}:{name}" for code, name in pairs
        )
    return (
        f"the masks hold {by} that no class has: "
        f"{_shares(Counter(unknown), counts.total())}, first in {file}; {remedy}"
    )


def _shares(counts: Counter[int], total: int, limit: int = 8) -> str:
    some = sorted(counts.most_common(limit))
    more = f" and {len(counts) - limit} more" if len(counts) > limit else ""
    return ", ".join(f"{spoken(c)} ({n / total:.1%})" for c, n in some) + more
