"""Pixels of each class in a data set's labels, and problems of classes without pixels.

A class that no pixel has is learned by no net and scored by none: masks stored as 0 and
255 train to a mean IU of 1 over the background alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fcn_jax.data.categories import pixel_classes
from fcn_jax.data.examples import Source, spread
from fcn_jax.data.labels import IGNORE, Classes
from fcn_jax.data.tools.scan import Progress, scan


@dataclass(frozen=True)
class Census:
    """Pixels by id of the examples of a split that were read.

    Attributes:
        outputs: the classes of each label map.
        read: number of examples that were read.
        total: number of examples of the split.
        pixels: by output, `[K] int64`, pixels of each class.
        ignored: by output, pixels of id 255.
    """

    outputs: Mapping[str, Classes]
    read: int
    total: int
    pixels: Mapping[str, np.ndarray]
    ignored: Mapping[str, int]

    @property
    def complete(self) -> bool:
        """Whether every example was read, so that a class without pixels has none."""
        return self.read == self.total


def census(source: Source, limit: int, report: Progress | None = None) -> Census:
    """Count ids over up to `limit` examples, evenly spread over the split.

    Where these hold fewer than two classes of some output, the others are read as well,
    so that what is said of such a split is certain.

    Args:
        source: the split.
        limit: how many examples to read, at least 1.
        report: called after each example.

    Raises:
        ValueError: if the labels are of whole images.
        DataError: for an example that cannot be read.
    """
    outputs = pixel_classes(source.outputs, "counting pixels by class")
    chosen = spread(len(source), limit)
    counts = _ids(source, chosen, report)
    found = tally(counts, outputs, len(source))
    if all(
        np.count_nonzero(found.pixels[key]) >= min(2, len(classes))
        for key, classes in outputs.items()
    ):
        return found
    others = sorted(set(range(len(source))) - set(chosen))
    return tally([*counts, *_ids(source, others, report)], outputs, len(source))


def tally(
    counts: Sequence[Mapping[str, np.ndarray]],
    outputs: Mapping[str, Classes],
    total: int,
) -> Census:
    """The census of examples whose pixels are counted already.

    Args:
        counts: of each example that was read, by output `[256]` pixels by id.
        outputs: the classes of each label map.
        total: number of examples of the split, read or not.
    """
    pixels, ignored = {}, {}
    for key, classes in outputs.items():
        table = np.zeros(256, np.int64)
        for own in counts:
            table += own[key]
        pixels[key], ignored[key] = table[: len(classes)], int(table[IGNORE])
    return Census(outputs, len(counts), total, pixels, ignored)


def useless_problems(splits: Mapping[str, Census]) -> list[str]:
    """Why nothing can be learned or evaluated, one sentence each; empty if it can.

    A split without a labelled pixel, and labels of one class alone where there are more,
    or where 255 could be one: all of the data set, or its split train.

    Args:
        splits: the census of each split, by name; of one data set.
    """
    problems = []
    for key, classes in _outputs(splits).items():
        dark = [
            s for s, own in splits.items() if own.read and not own.pixels[key].any()
        ]
        problems += [
            f"split {split}: all pixels of {key} are ignored ({IGNORE}) in the "
            f"{splits[split].read} examples read, so there is nothing to learn or to "
            "score; repaint them with the ids of their classes"
            for split in dark
        ]
        groups = {"the data set": tuple(splits.values())}
        if "train" in splits:
            groups = {**groups, "split train": (splits["train"],)}
        for where, group in groups.items():
            occurring = np.flatnonzero(_pixels(group, key))
            ignored = any(own.ignored[key] for own in group)
            if len(occurring) == 1 and (len(classes) > 1 or ignored):
                problems.append(_single_class(where, key, group, int(occurring[0])))
                break
    return problems


def absence_problems(splits: Mapping[str, Census]) -> list[str]:
    """A sentence for each class that no pixel of the splits has, all read whole."""
    if not all(own.complete for own in splits.values()):
        return []
    problems = []
    for key, classes in _outputs(splits).items():
        pixels = _pixels(tuple(splits.values()), key)
        if np.count_nonzero(pixels) > 1:
            problems += [
                f"the class {classes.names[label]!r} ({key}, id {label}) never occurs; "
                "label it, or leave it out of the classes"
                for label in np.flatnonzero(pixels == 0)
            ]
    return problems


def absence_notes(splits: Mapping[str, Census]) -> list[str]:
    """A sentence for each split that lacks classes, where they are no problem above."""
    notes = []
    for key, classes in _outputs(splits).items():
        whole = all(own.complete for own in splits.values())
        everywhere = _pixels(tuple(splits.values()), key)
        for split, own in splits.items():
            absent = own.pixels[key] == 0
            if whole:
                absent &= everywhere > 0
            if absent.any() and own.pixels[key].any():
                names = ", ".join(classes.names[i] for i in np.flatnonzero(absent))
                extent = "" if own.complete else f" in the {own.read} examples read"
                notes.append(f"split {split} has no pixel of {key}{extent} of: {names}")
    return notes


def _outputs(splits: Mapping[str, Census]) -> Mapping[str, Classes]:
    return next(iter(splits.values())).outputs if splits else {}


def _pixels(group: Sequence[Census], key: str) -> np.ndarray:
    return np.sum([own.pixels[key] for own in group], axis=0)


def _single_class(where: str, key: str, group: Sequence[Census], label: int) -> str:
    names = group[0].outputs[key].names
    ignored = sum(own.ignored[key] for own in group)
    text = (
        f"{where}: every labelled pixel of {key} is {names[label]!r} (id {label}), so "
        "there is nothing to tell apart"
    )
    if not ignored:
        return f"{text}; label the other classes, {_some(names, label)}"
    other = names[1 - label] if len(names) == 2 else "NAME"
    return (
        f"{text}, and {ignored} pixels are {IGNORE}, which is ignored; if {IGNORE} "
        f"stands for a class in these labels, say so in the classes.txt of their folder, "
        f"a line each: `{label}: {names[label]}` and `{IGNORE}: {other}`"
    )


def _some(names: Sequence[str], label: int, limit: int = 5) -> str:
    others = [name for index, name in enumerate(names) if index != label]
    return ", ".join(others[:limit]) + (", ..." if len(others) > limit else "")


def _ids(
    source: Source, indices: Sequence[int], report: Progress | None
) -> list[dict[str, np.ndarray]]:
    return list(
        scan(
            lambda index: {
                key: np.bincount(ids.ravel(), minlength=256)
                for key, ids in source[index].labels.items()
            },
            indices,
            report,
        )
    )
