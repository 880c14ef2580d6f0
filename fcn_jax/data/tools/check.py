"""Check of a folder data set: read every pair and list the problems.

Where training stops at the first contradiction, this goes on to the last file, so that
a data set can be put in order in one round.
"""

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

from fcn_jax.data.decoding.images import read_color
from fcn_jax.data.examples import DataError, label_problems
from fcn_jax.data.folder import split_problems
from fcn_jax.data.folder.class_list import ClassList
from fcn_jax.data.folder.label_files import encoding_problems, read_ids
from fcn_jax.data.folder.label_notes import foreground_notes, palette_notes, void_notes
from fcn_jax.data.folder.layout import Layout, read_layout
from fcn_jax.data.labels import IGNORE, Classes
from fcn_jax.data.pipeline.padding import padding_notes
from fcn_jax.data.tools.census import (
    Census,
    absence_notes,
    absence_problems,
    tally,
    useless_problems,
)
from fcn_jax.data.tools.scan import Progress, scan
from fcn_jax.runtime.locations import located


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of the check of a folder data set.

    Attributes:
        problems: one sentence each; empty for a clean data set.
        notes: what is no fault and may surprise, one sentence each.
        classes: from classes.txt; None where that cannot be read.
        pairs: images with a label that some split has, read or not.
        splits: number of ids by split.
        sizes: pairs by (height, width) of the image.
        pixels: pixels by id, over all labels that could be read.
        images: labels that hold an id, by id.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    classes: Classes | None
    pairs: int
    splits: Mapping[str, int]
    sizes: Mapping[tuple[int, int], int]
    pixels: Mapping[int, int]
    images: Mapping[int, int]


@dataclasses.dataclass(frozen=True)
class _Pair:
    """The result of reading one pair.

    Attributes:
        problems: one sentence each.
        digest: of the image's pixels, which a copy in another file has too.
        size: of the image; None where it was not readable.
        pixels: `[256]` by id; None where the label was not readable or not in order.
    """

    problems: list[str]
    digest: str
    size: tuple[int, int] | None
    pixels: np.ndarray | None


def check_folder(folder: str | Path, report: Progress | None = None) -> Report:
    """Read every image and label of a folder data set that some split has.

    Args:
        folder: the directory, see `open_folder`.
        report: called after each pair.

    Raises:
        DataError: where it is no directory; everything else is in the report.
    """
    root = Path(located(folder))
    if not root.is_dir():
        raise DataError(f"the folder {root} is not a directory; give --folder=DIR")
    layout = read_layout(root)
    stems = layout.used()
    read = list(scan(lambda stem: _read(layout, stem), stems, report))
    pairs = dict(zip(stems, read, strict=True))
    readable = [layout.labels[s] for s in stems if pairs[s].pixels is not None]
    pixels, images = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for pair in read:
        if pair.pixels is not None:
            pixels += pair.pixels
            images += pair.pixels > 0
    found = _censuses(layout, pairs)
    sizes = {stem: pair.size for stem, pair in pairs.items() if pair.size is not None}
    problems = (
        *layout.problems,
        *_split_problems(layout),
        *itertools.chain.from_iterable(pair.problems for pair in read),
        *encoding_problems(readable, layout.classes),
        *_copies(pairs, layout.splits),
        *useless_problems(found),
        *absence_problems(found),
    )
    return Report(
        problems=problems,
        notes=(
            *_unlisted(layout),
            *void_notes(layout.classes),
            *palette_notes(readable, layout.classes),
            *foreground_notes(_pixels_by_file(layout, pairs), layout.classes),
            *absence_notes(found),
            *padding_notes(sizes),
        ),
        classes=layout.classes.classes if layout.classes else None,
        pairs=len(stems),
        splits={split: len(own) for split, own in layout.splits.items()},
        sizes=Counter(sizes.values()),
        pixels={int(i): int(pixels[i]) for i in np.flatnonzero(pixels)},
        images={int(i): int(images[i]) for i in np.flatnonzero(images)},
    )


def print_report(report: Report, console: Console) -> None:
    """Print the tables of a report, then its problems, one a line."""
    splits = ", ".join(f"{name} {count}" for name, count in report.splits.items())
    # Sentences are printed plainly: rich would wrap them and read [..] as markup.
    print(f"{report.pairs} pairs; ids in {splits or 'no split'}", file=console.file)
    print(_size_sentence(report.sizes), file=console.file)
    total = sum(n for i, n in report.pixels.items() if i != IGNORE)
    table = Table("id", "class", "pixels", "share", "images")
    names = report.classes.names if report.classes else ()
    for label_id in sorted({*range(len(names)), *report.pixels}):
        name = names[label_id] if label_id < len(names) else "?"
        count = report.pixels.get(label_id, 0)
        ignored = label_id == IGNORE
        table.add_row(
            str(label_id),
            "(ignored)" if ignored else escape(name),
            f"{count:,}",
            "" if ignored or not total else f"{count / total:.2%}",
            str(report.images.get(label_id, 0)),
        )
    console.print(table)
    for note in report.notes:
        print(f"note: {note}", file=console.file)
    for problem in report.problems:
        print(f"problem: {problem}", file=console.file)
    count = len(report.problems)
    print("no problems" if not count else f"{count} problems", file=console.file)


def _size_sentence(sizes: Mapping[tuple[int, int], int]) -> str:
    if not sizes:
        return "no image was readable"
    heights, widths = zip(*sizes, strict=True)
    (height, width), count = max(sizes.items(), key=lambda item: item[1])
    return (
        f"heights {min(heights)}..{max(heights)}, widths {min(widths)}..{max(widths)}; "
        f"{len(sizes)} sizes, most often {height}x{width} (height x width, {count} images)"
    )


def _split_problems(layout: Layout) -> list[str]:
    """What training would miss: pairs, and one of its two splits."""
    if layout.listed:
        return split_problems.missing_problems(layout.splits)
    if not layout.used():
        return [f"{layout.root} has no image with a label"]
    if not layout.splits["val"]:
        return [
            f"the split val is empty: without lists every fifth of {len(layout.images)} "
            "images is val; add images or write splits/train.txt and splits/val.txt"
        ]
    return []


def _unlisted(layout: Layout) -> list[str]:
    stems = {stem for own in layout.splits.values() for stem in own}
    left = sorted((set(layout.images) | set(layout.labels)) - stems)
    if not layout.listed or not left:
        return []
    return [
        f"{len(left)} images or labels are in no list and not used ("
        f"{', '.join(left[:5])}{', ...' if len(left) > 5 else ''})"
    ]


def _read(layout: Layout, stem: str) -> _Pair:
    problems: list[str] = []
    image, label = layout.images[stem], layout.labels[stem]
    size, pixels, seen = None, None, ""
    try:
        color = read_color(image, where=f"images/{image.name}")
        size = (int(color.shape[0]), int(color.shape[1]))
        digest = hashlib.sha256(repr(size).encode())
        digest.update(np.ascontiguousarray(color).data)
        seen = digest.hexdigest()
    except Exception as error:  # any exception: the other pairs are still read
        problems.append(_sentence(error, f"images/{image.name}"))
    try:
        found, pixels = _pixels(label, size, layout.classes)
        problems += found
    except Exception as error:
        problems.append(_sentence(error, f"labels/{label.name}"))
    return _Pair(problems, seen, size, pixels)


def _pixels(
    label: Path, size: tuple[int, int] | None, classes: ClassList | None
) -> tuple[list[str], np.ndarray | None]:
    """What is wrong with a label; its pixels by id where nothing is."""
    where = f"labels/{label.name}"
    ids = read_ids(label, where=where, classes=classes)
    known = classes.classes if classes else None
    problems = [
        f"{where}: {problem}"
        for problem in label_problems(ids, size=size, classes=known)
    ]
    return problems, None if problems else np.bincount(ids.ravel(), minlength=256)


def _sentence(error: Exception, where: str) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, DataError):
        return text
    if isinstance(error, OSError):
        return f"{where} cannot be read ({error.strerror or text})"
    return f"{where} cannot be decoded ({type(error).__name__}: {text})"


def _pixels_by_file(
    layout: Layout, pairs: Mapping[str, _Pair]
) -> dict[str, np.ndarray]:
    """The ids of each label that is in order, by the name of its file."""
    return {
        layout.labels[stem].name: pair.pixels
        for stem, pair in pairs.items()
        if pair.pixels is not None
    }


def _censuses(layout: Layout, pairs: Mapping[str, _Pair]) -> dict[str, Census]:
    """The ids of each split, of the labels that are in order."""
    if layout.classes is None:
        return {}
    outputs = {"semantic": layout.classes.classes}
    found = {}
    for split, stems in layout.splits.items():
        read = [
            {"semantic": pixels}
            for stem in stems
            if stem in pairs and (pixels := pairs[stem].pixels) is not None
        ]
        if read:
            found[split] = tally(read, outputs, len(read))
    return found


def _copies(
    pairs: Mapping[str, _Pair], splits: Mapping[str, Sequence[str]]
) -> list[str]:
    """Images of the same pixels, one in train and one in a split that is scored."""
    homes = {
        stem: split
        for split in sorted(splits, key="train".__eq__)  # train last, since it counts
        for stem in splits[split]
        if not any(split.startswith(union) for union in ("trainval", "all"))
    }
    same: dict[str, list[str]] = {}
    for stem, pair in pairs.items():
        if pair.size is not None and stem in homes:
            same.setdefault(pair.digest, []).append(stem)
    return [
        "the images "
        + ", ".join(f"{stem} ({homes[stem]})" for stem in group)
        + " are copies of one picture, so scores would be of images trained on; "
        "keep one of them"
        for group in same.values()
        if len({homes[stem] for stem in group}) > 1
    ]
