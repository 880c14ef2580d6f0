"""Notes on valid labels that may not be intended."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fcn_jax.data.decoding.images import label_encoding
from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.class_list import IGNORED_NAME, ClassList
from fcn_jax.data.labels import IGNORE, voc_palette

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


def palette_notes(labels: Sequence[Path], classes: ClassList | None) -> list[str]:
    """A sentence where palettes have the colours of VOC in another order.

    Most tools write these colours in VOC's order. In another one they were chosen so, or
    a program that saved the labels anew has numbered them anew, and classes are exchanged.

    Args:
        labels: that are read by their values where they have no colours in `classes`;
            the palettes of all of them are equal.
        classes: of the labels.
    """
    if classes is None or classes.colors or classes.values or not labels:
        return []
    first = labels[0]
    try:
        palette = label_encoding(first, where=first.name).palette
    except (DataError, OSError):
        return []
    names = classes.classes.names
    order = voc_palette(len(names))
    own = palette[: len(names)]
    if len(set(own)) < 2 or not set(own) <= set(order) or own == order[: len(own)]:
        return []
    index = next(i for i, color in enumerate(own) if color != order[i])
    meant = order.index(own[index])
    return [
        f"the palettes of labels have VOC's colours in another order: {index} "
        f"({names[index]!r}) is {own[index]}, which is VOC's colour of {meant} "
        f"({names[meant]!r}); compare labels/{first.name} with its image, and if colours "
        "are right and not numbers, give each class its colour in classes.txt"
    ]
