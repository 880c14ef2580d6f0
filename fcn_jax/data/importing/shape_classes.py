"""Classes of tools that draw named shapes: what is not drawn is the background."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.class_lists import ClassList, is_ignored
from fcn_jax.data.importing.export import Class
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.tree import named
from fcn_jax.data.labels import IGNORE, Color

BACKGROUNDS = ("background", "_background_", "__background__")


@dataclasses.dataclass(frozen=True)
class ShapeClasses:
    """Which class each label of shapes is.

    Attributes:
        classes: in the order of the ids.
        ids: class id of each label; 255 for ignored ones.
        empty: id of the pixels that no shape covers.
        ignored: what becomes 255, for the table.
        rule: where the order comes from, for the table.
    """

    classes: tuple[Class, ...]
    ids: Mapping[str, int]
    empty: int
    ignored: tuple[str, ...]
    rule: str


def classes_of(
    found: Sequence[str],
    options: Options,
    *,
    used: Collection[str] | None = None,
    listed: ClassList | None = None,
    origins: Mapping[str, str] | None = None,
    colors: Mapping[str, Color] | None = None,
    order: str,
) -> ShapeClasses:
    """Decide the ids of labels.

    Pixels that no shape covers are `background`, id 0, or what the list calls so; with
    --ignore=background they are ignored, and there is no such class.

    Args:
        found: the labels that the source has, in the order that counts without a list.
        options: --map, --names and --ignore.
        used: those of them that shapes have; None for all. Only these need a class.
        listed: a list of classes; None where there is none.
        origins: what the source calls each label, for the table; `label 'cat'` where
            None.
        colors: of labels, where the source gives them.
        order: says what the order of `found` is, for the table.

    Raises:
        DataError: for labels without a class.
    """
    names = [name for name in found if not is_ignored(name)]
    if options.names:
        names, order = list(options.names), "--names"
    elif listed is not None:
        names, order = list(listed.names), f"of {listed.origin}"
    of_label = {name: name for name in names}
    if options.map:
        of_label = dict(options.map)
        ordered = list(dict.fromkeys(of_label.values()))
        names = list(options.names) or ordered
        order = "--names" if options.names else "--map, in its order"
    empty = next((name for name in names if name in BACKGROUNDS), "background")
    ignored = {name for name in (*found, *of_label.values()) if is_ignored(name)}
    dropped = {*options.ignore, *ignored}
    needed = [name for name in found if used is None or name in used]
    unknown = [name for name in needed if name not in of_label and name not in dropped]
    if unknown:
        raise DataError(
            f"shapes have the labels {', '.join(map(repr, unknown[:8]))}, which are not "
            f"among the classes ({', '.join(names)[:200]}); add them to the list, or give "
            f"--ignore={','.join(unknown[:8])}"
        )
    idle = [name for name in options.ignore if name not in {*found, *names, empty}]
    if idle:
        raise DataError(
            f"--ignore has {idle[0]!r}, which no shape is called; labels are "
            f"{', '.join([*names, empty])[:200]}"
        )
    ordered = [empty, *(name for name in names if name != empty)]
    kept = [name for name in ordered if name not in dropped]
    if not kept:
        raise DataError("every class is ignored; leave one out of --ignore")
    ids = {label: _id(name, kept) for label, name in of_label.items()}
    ids |= dict.fromkeys(dropped, IGNORE)
    return ShapeClasses(
        classes=tuple(
            Class(
                name,
                _origin(name, name == empty, of_label, origins or {}),
                (colors or {}).get(name),
            )
            for name in kept
        ),
        ids=ids,
        empty=_id(empty, kept),
        ignored=tuple(
            "what no shape covers" if name == empty else f"label {name!r}"
            for name in sorted(dropped & {*found, empty})
        ),
        rule=f"background first, then {order}",
    )


def without_shapes(pictures: Sequence[object]) -> tuple[tuple[str, str], ...]:
    """Return a row for the pictures without shapes; none if all have some."""
    if not pictures:
        return ()
    return ((f"without shapes: {named(pictures)}", "background everywhere"),)


def _id(name: str, kept: Sequence[str]) -> int:
    return kept.index(name) if name in kept else IGNORE


def _origin(
    name: str, empty: bool, of_label: Mapping[str, str], origins: Mapping[str, str]
) -> str:
    labels = [label for label, other in of_label.items() if other == name]
    said = [origins.get(label, f"label {label!r}") for label in labels]
    return ", ".join(["what no shape covers", *said][not empty :])
