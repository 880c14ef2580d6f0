"""A data set reduced to some of its classes."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from fcn_jax.data.categories import AnyClasses, pixel_classes
from fcn_jax.data.examples import Example, Source, digest
from fcn_jax.data.labels import IGNORE, Classes
from fcn_jax.data.sources import Rest

BACKGROUND = "background"


@dataclass(frozen=True)
class ClassSubset:
    """A split with fewer classes; a `Source`. Made by `subset`.

    Attributes:
        source: the split with all classes.
        output: the label map that is reduced; the others stay.
        classes: those that are left.
        table: `[256] uint8`, the new id of every old one.
    """

    source: Source
    output: str
    classes: Classes
    table: tuple[int, ...]

    @property
    def outputs(self) -> Mapping[str, AnyClasses]:
        """Classes of each label map, with those of the reduced one."""
        return {**self.source.outputs, self.output: self.classes}

    @property
    def fingerprint(self) -> str:
        """Digest of the whole split and of the classes that are kept."""
        return digest([self.source.fingerprint, self.output, self.classes.to_dict()])

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        example = self.source[index]
        reduced = np.array(self.table, np.uint8)[example.labels[self.output]]
        return replace(example, labels={**example.labels, self.output: reduced})

    def name(self, index: int) -> str:
        """The name of the example."""
        return self.source.name(index)

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width)."""
        return self.source.sizes()


def subset(source: Source, names: Sequence[str], rest: Rest) -> ClassSubset:
    """Reduce the first output of a split to some of its classes.

    Args:
        source: the split.
        names: classes to keep, in the order of their new ids.
        rest: "background": all others become the class "background", id 0, which need
            not be among the names; "ignore": they are ignored.

    Raises:
        ValueError: for a name that is no class, one given twice, another `rest`,
            fewer than two classes in all, or labels of whole images.
    """
    if rest not in get_args(Rest):
        allowed = " or ".join(get_args(Rest))
        raise ValueError(f"data.rest is {rest!r}; it must be {allowed}")
    output, whole = next(iter(pixel_classes(source.outputs, "data.classes").items()))
    _check_names(names, whole)
    kept = list(names)
    if rest == BACKGROUND:
        kept = [BACKGROUND, *(name for name in kept if name != BACKGROUND)]
    if len(kept) < 2:
        raise ValueError(
            f"data.classes leaves the class {kept[0]} alone, so there is nothing to "
            "tell apart; give more classes, or data.rest=background"
        )
    colors = dict(zip(whole.names, whole.palette, strict=True))
    classes = Classes(tuple(kept), tuple(colors.get(name, (0, 0, 0)) for name in kept))
    table = np.full(256, IGNORE if rest == "ignore" else 0, np.uint8)
    for old, name in enumerate(whole.names):
        if name in kept:
            table[old] = kept.index(name)
    table[IGNORE] = IGNORE
    return ClassSubset(source, output, classes, tuple(table.tolist()))


def _check_names(names: Sequence[str], whole: Classes) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"data.classes names {name!r} twice; name it once")
        if name not in whole.names and name != BACKGROUND:
            near = difflib.get_close_matches(name, whole.names, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"data.classes names {name!r}, which is no class of the data{meant} "
                f"(its classes are {', '.join(whole.names)})"
            )
