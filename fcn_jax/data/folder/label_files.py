"""The label files of a folder: their ids, and whether equal values mean the same."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fcn_jax.data.decoding.images import LabelEncoding, label_encoding, read_label
from fcn_jax.data.examples import DataError, blurred, describe_counts
from fcn_jax.data.folder.class_list import REFUSED, ClassList
from fcn_jax.data.labels import IGNORE
from fcn_jax.data.tools.scan import scan

_BY_VALUE = ("grey", "grey with alpha")
_COLORED = LabelEncoding("palette or color", 8, ())


def read_ids(path: Path, *, where: str, classes: ClassList | None) -> np.ndarray:
    """Read a label as class ids: by colour where it has some, else by its values.

    Args:
        path: a label PNG.
        where: names the label in messages.
        classes: what values and colours mean; None reads values as they are.

    Returns:
        `[H, W] uint8`; without a table of values not yet checked against the classes.

    Raises:
        DataError: as `read_label`, and for values that the table does not have.
    """
    if classes is None or classes.values is None:
        return read_label(path, where=where, colors=classes and classes.colors)
    colors = classes.colors
    if colors and label_encoding(path, where=where).kind not in _BY_VALUE:
        ids = read_label(path, where=where, colors=colors)
        return np.where(ids < len(classes.classes), ids, IGNORE).astype(np.uint8)
    stored = read_label(path, where=where)
    ids = np.array(classes.values)[stored]
    if (ids == REFUSED).any():
        values, pixels = np.unique(stored[ids == REFUSED], return_counts=True)
        counts = dict(zip(values.tolist(), pixels.tolist(), strict=True))
        raise DataError(
            f"{where}: no line of classes.txt has the label values "
            f"{describe_counts(counts)}; give them to a class (`{values[0]}: NAME`) or "
            f"ignore them (`{values[0]}: ignore`){blurred(counts)}"
        )
    return ids.astype(np.uint8)


def encoding_problems(labels: Sequence[Path], classes: ClassList | None) -> list[str]:
    """Labels whose values may have another meaning than those of the others.

    Where classes have colours, these count in palette and RGB labels, and only values
    of grey ones are compared (which lie beside none, if a table of values is for them);
    labels that cannot be read at all are left to reading.

    Args:
        labels: those that are used.
        classes: what values and colours mean.
    """
    by_color = bool(classes and classes.colors)
    by_value = classes is not None and classes.values is not None
    kinds: dict[LabelEncoding, list[Path]] = {}
    for path, own in zip(labels, scan(_encoding, labels), strict=True):
        if own is None or (own.kind.startswith("color") and not by_color):
            continue
        if by_color and own.kind not in _BY_VALUE:
            if not by_value:
                continue
            # A label of one value that was saved again as grey would be read by its
            # values.
            own = _COLORED
        kinds.setdefault(own, []).append(path)
    if len(kinds) < 2:
        return []
    usual = Counter({own: len(paths) for own, paths in kinds.items()}).most_common(1)[
        0
    ][0]
    others = [(own, path) for own in kinds if own != usual for path in kinds[own]]
    first, path = others[0]
    names = ", ".join(other.name for _, other in others[1:6])
    more = ", ..." if len(others) > 6 else ""
    return [
        f"labels/{kinds[usual][0].name} is {_described(usual)} and labels/{path.name} "
        f"{_described(first)}{_difference(usual, first)}, so equal values need not mean "
        "the same class"
        + (f" (nor in {names}{more})" if names else "")
        + "; save all labels in one way, from what they were made of, or, where their "
        "colours are right, give each class its colour in classes.txt"
    ]


def _encoding(path: Path) -> LabelEncoding | None:
    try:
        return label_encoding(path, where=path.name)
    except (DataError, OSError):
        return None


def _described(encoding: LabelEncoding) -> str:
    return f"a {encoding.depth}-bit {encoding.kind} PNG"


def _difference(one: LabelEncoding, other: LabelEncoding) -> str:
    """How two palettes differ, where that is the difference."""
    if (one.kind, one.depth) != (other.kind, other.depth):
        return ""
    for index, colors in enumerate(zip(one.palette, other.palette, strict=False)):
        if colors[0] != colors[1]:
            return f" in which {index} is {colors[1]} and not {colors[0]}"
    return f" with {len(other.palette)} colours instead of {len(one.palette)}"
