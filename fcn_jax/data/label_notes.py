"""What is no fault of labels, and may not be meant."""

from collections.abc import Mapping

import numpy as np

from fcn_jax.data.class_list import IGNORED_NAME, ClassList
from fcn_jax.data.labels import IGNORE

_VOID_NAMES = ("void", "unlabeled", "unlabelled", "ignored", "dontcare")


def void_notes(classes: ClassList | None) -> list[str]:
    """A sentence for each class that by its name is not meant to count, and does."""
    return [
        f"the class {name!r} is learned and scored as the others are; where its pixels "
        f"are not to count, call it `{IGNORED_NAME}` in classes.txt"
        for name in (classes.classes.names if classes else ())
        if name.lower().replace(" ", "").replace("'", "") in _VOID_NAMES
    ]


def foreground_notes(
    pixels: Mapping[str, np.ndarray], classes: ClassList | None
) -> list[str]:
    """A sentence for labels that look like masks of 0 and 255 among labels of ids.

    Borders and unlabelled regions, which 255 is for, lie beside any class; a label in
    which it lies beside one alone, where others hold several and no 255, may be a mask.

    Args:
      pixels: `[256]` by id, of each label, by its file name.
      classes: of the labels.
    """
    lone: dict[int, list[str]] = {}
    mixed = False
    for name, counts in pixels.items():
        labelled = np.flatnonzero(counts[:IGNORE])
        if not counts[IGNORE]:
            mixed |= len(labelled) > 1
        elif len(labelled) > 1:
            return []
        elif len(labelled) == 1:
            lone.setdefault(int(labelled[0]), []).append(name)
    if classes is None or not mixed or len(lone) != 1:
        return []
    ((label, files),) = lone.items()
    return [
        f"{IGNORE} (ignored) lies beside {classes.classes.names[label]!r} alone, in "
        f"{len(files)} labels, as labels/{files[0]}, and no other label has it; if it "
        "stands for a class there, give these pixels its id"
    ]
