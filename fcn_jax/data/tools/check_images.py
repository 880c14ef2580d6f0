"""Check of an image folder: decode every image and list the problems."""

import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fcn_jax.data.examples import DataError
from fcn_jax.data.sources.image_folder import (
    ImageFolder,
    how_to_train,
    open_image_folder,
)
from fcn_jax.data.tools.scan import Progress, scan

SPLITS = ("train", "val")
_NAMED = 3  # copies that a note names


@dataclasses.dataclass(frozen=True)
class ImagesReport:
    """The result of the check of an image folder.

    Attributes:
        folder: the directory.
        problems: one sentence each; empty for a clean data set.
        notes: what is no fault and may surprise, one sentence each.
        classes: names of the classes.
        counts: images of each class by split, readable or not.
        sizes: images by (height, width), of those that are readable.
    """

    folder: Path
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    sizes: Mapping[tuple[int, int], int]


@dataclasses.dataclass(frozen=True)
class _Read:
    """The result of reading an image: its size and a digest of its pixels, or a problem."""

    problem: str = ""
    size: tuple[int, int] = (0, 0)
    digest: bytes = b""


def check_images(folder: Path, report: Progress | None = None) -> ImagesReport:
    """Decode every image of train and val.

    Args:
        folder: the directory, see `open_image_folder`.
        report: called after each image.
    """
    problems: list[str] = []
    sources: dict[str, ImageFolder] = {}
    for split in SPLITS:
        try:
            sources[split] = open_image_folder(folder, split)
        except (DataError, OSError) as error:
            problems += [str(error)] if str(error) not in problems else []
    keys = [(split, i) for split, own in sources.items() for i in range(len(own))]
    read = dict(
        zip(
            keys,
            scan(lambda key: _read(sources[key[0]], key[1]), keys, report),
            strict=True,
        )
    )
    names = {key: sources[key[0]].name(key[1]) for key in keys}
    own = next(iter(sources.values()), None)
    return ImagesReport(
        folder=folder,
        problems=(*problems, *(one.problem for one in read.values() if one.problem)),
        notes=_copies({names[key]: one for key, one in read.items()}),
        classes=own.categories.names if own else (),
        counts={s: tuple(map(len, source.files)) for s, source in sources.items()},
        sizes=Counter(one.size for one in read.values() if not one.problem),
    )


def print_images(report: ImagesReport, console: Console) -> None:
    """Print the classes and their images, then the notes and problems, one a line."""
    table = Table("id", "class", *report.counts)
    for label, name in enumerate(report.classes):
        counts = (f"{own[label]:,}" for own in report.counts.values())
        table.add_row(str(label), escape(name), *counts)
    if report.classes:
        console.print(table)
    # Sentences are printed plainly: rich would wrap them and read [..] as markup.
    for sentence in (
        how_to_train(report.folder),
        _sizes(report.sizes),
        *(f"note: {note}" for note in report.notes),
        *(f"problem: {problem}" for problem in report.problems),
    ):
        print(sentence, file=console.file)
    count = len(report.problems)
    print("no problems" if not count else f"{count} problems", file=console.file)


def _sizes(sizes: Mapping[tuple[int, int], int]) -> str:
    if not sizes:
        return "no image was readable"
    heights, widths = zip(*sizes, strict=True)
    return (
        f"{sum(sizes.values())} images; heights {min(heights)}..{max(heights)}, widths "
        f"{min(widths)}..{max(widths)}"
    )


def _read(source: ImageFolder, index: int) -> _Read:
    try:
        color = source[index].inputs["color"]
    except (DataError, OSError) as error:  # the other images are still read
        return _Read(problem=" ".join(str(error).split()))
    content = hashlib.sha256(repr(color.shape).encode())
    content.update(np.ascontiguousarray(color).data)
    height, width = color.shape[:2]
    return _Read(size=(height, width), digest=content.digest())


def _copies(read: Mapping[str, _Read]) -> tuple[str, ...]:
    """Images of the same pixels, one in train and one in val."""
    same: dict[bytes, list[str]] = {}
    for name, one in read.items():
        if not one.problem:
            same.setdefault(one.digest, []).append(name)
    found = [
        group
        for group in same.values()
        if {name.partition("/")[0] for name in group} == set(SPLITS)
    ]
    if not found:
        return ()
    return (
        f"{len(found)} pictures are in train and in val ({_listed(found)}), so their "
        "scores are of images trained on; keep one of each",
    )


def _listed(groups: Sequence[Sequence[str]]) -> str:
    shown = [" = ".join(group) for group in itertools.islice(groups, _NAMED)]
    return ", ".join(shown) + (", ..." if len(groups) > _NAMED else "")
