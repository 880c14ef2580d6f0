"""Reading every pair of a folder data set and listing what is wrong with it.

Where training stops at the first contradiction, this goes on to the last file, so that
a data set can be put in order in one round.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fcn_jax.data import folder_layout as layout
from fcn_jax.data.examples import DataError, label_problems
from fcn_jax.data.images import read_color, read_label
from fcn_jax.data.labels import IGNORE, Classes, Color
from fcn_jax.data.scan import Progress, scan
from fcn_jax.program import no_program, run


@dataclasses.dataclass(frozen=True)
class Report:
    """What a folder data set holds.

    Attributes:
      problems: one sentence each; empty for a clean data set.
      classes: from classes.txt; None where that cannot be read.
      pairs: images that have a label, read or not.
      splits: number of ids by split.
      sizes: pairs by (height, width) of the image.
      pixels: pixels by id, over all labels that could be read.
      images: labels that hold an id, by id.
    """

    problems: tuple[str, ...]
    classes: Classes | None
    pairs: int
    splits: Mapping[str, int]
    sizes: Mapping[tuple[int, int], int]
    pixels: Mapping[int, int]
    images: Mapping[int, int]


@dataclasses.dataclass(frozen=True)
class _Pair:
    """What was read of one pair; `problems` instead where it was not readable."""

    problems: list[str]
    digest: str
    size: tuple[int, int] | None
    pixels: dict[int, int]


def check_folder(folder: str | Path, report: Progress | None = None) -> Report:
    """Reads every image and label of a folder data set.

    Args:
      folder: the directory, see `open_folder`.
      report: called after each pair.

    Raises:
      DataError: where it is no directory; everything else is in the report.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"the folder {root} is not a directory; give --folder=DIR")
    problems: list[str] = []
    classes, colors = _classes(root, problems)
    images = _files(root, "images", layout.IMAGE_ENDINGS, problems)
    labels = _files(root, "labels", layout.LABEL_ENDINGS, problems)
    splits = _splits(root, problems)
    problems += layout.pair_problems(images, labels)
    for split, stems in splits.items():
        problems += layout.list_problems(split, stems, images, labels)
    problems += layout.overlap_problems(splits)

    stems = sorted(set(images) & set(labels))
    read = list(
        scan(lambda s: _read(images[s], labels[s], classes, colors), stems, report)
    )
    for pair in read:
        problems += pair.problems
    lists = splits or layout.default_splits(list(images))
    problems += _copies(stems, read, lists)
    if not stems:
        problems.append(f"{root} has no image with a label")
    elif not lists.get("val", stems):
        problems.append(
            f"the split val is empty: without lists every fifth of {len(images)} images "
            "is val; add images or write splits/train.txt and splits/val.txt"
        )
    pixels: Counter[int] = Counter()
    present: Counter[int] = Counter()
    for pair in read:
        pixels.update(pair.pixels)
        present.update(pair.pixels.keys())
    return Report(
        problems=tuple(problems),
        classes=classes,
        pairs=len(stems),
        splits={split: len(names) for split, names in lists.items()},
        sizes=Counter(pair.size for pair in read if pair.size),
        pixels=dict(sorted(pixels.items())),
        images=dict(present),
    )


def print_report(report: Report, console: Console) -> None:
    """Prints the tables of a report, then its problems, one a line."""
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


def _classes(
    root: Path, problems: list[str]
) -> tuple[Classes | None, tuple[Color, ...] | None]:
    try:
        return layout.read_classes(root / "classes.txt")
    except DataError as error:
        problems.append(str(error))
        return None, None


def _files(
    root: Path, name: str, endings: tuple[str, ...], problems: list[str]
) -> dict[str, Path]:
    try:
        files, clashes = layout.list_files(root, name, endings)
    except DataError as error:
        problems.append(str(error))
        return {}
    problems += clashes + layout.unread_problems(root, name, endings)
    return files


def _splits(root: Path, problems: list[str]) -> dict[str, list[str]]:
    try:
        return layout.read_splits(root)
    except DataError as error:
        problems.append(str(error))
        return {}


def _read(
    image: Path,
    label: Path,
    classes: Classes | None,
    colors: tuple[Color, ...] | None,
) -> _Pair:
    problems: list[str] = []
    size, pixels, content = None, {}, b""
    try:
        content = image.read_bytes()
        color = read_color(content, where=f"images/{image.name}")
        size = (int(color.shape[0]), int(color.shape[1]))
    except (DataError, OSError) as error:
        problems.append(str(error))
    try:
        ids = read_label(label, where=f"labels/{label.name}", colors=colors)
        counts = np.bincount(ids.ravel(), minlength=256)
        pixels = {int(i): int(counts[i]) for i in np.flatnonzero(counts)}
        problems += [
            f"labels/{label.name}: {problem}"
            for problem in label_problems(ids, size=size, classes=classes)
        ]
    except (DataError, OSError) as error:
        problems.append(str(error))
    return _Pair(problems, hashlib.sha256(content).hexdigest(), size, pixels)


def _copies(
    stems: Sequence[str], pairs: Sequence[_Pair], splits: Mapping[str, Sequence[str]]
) -> list[str]:
    """Images of the same bytes, one in train and one in val or test."""
    homes = {
        stem: split
        for split in ("train", "val", "test")
        for stem in splits.get(split, ())
    }
    same: dict[str, list[str]] = {}
    for stem, pair in zip(stems, pairs, strict=True):
        if pair.size is not None and stem in homes:
            same.setdefault(pair.digest, []).append(stem)
    return [
        "the images "
        + ", ".join(f"{stem} ({homes[stem]})" for stem in group)
        + " are copies of one file, so scores would be of images trained on; "
        "keep one of them"
        for group in same.values()
        if len({homes[stem] for stem in group}) > 1
    ]


if __name__ == "__main__":
    run(no_program("python -m fcn_jax.data check --folder=DIR"))
