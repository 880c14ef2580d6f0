"""Check of a data set: read every example of every split and list the problems.

Where training stops at the first broken example, this goes on to the last.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fcn_jax.data.categories import pixel_classes
from fcn_jax.data.examples import DataError, Source
from fcn_jax.data.labels import IGNORE, Classes
from fcn_jax.data.tools.census import (
    Census,
    absence_notes,
    absence_problems,
    useless_problems,
)
from fcn_jax.data.tools.scan import Progress, scan

SCORED = ("train", "val", "test")  # others, as trainval, are unions of these


@dataclass(frozen=True)
class SplitReport:
    """The result of the check of a split.

    Attributes:
        count: number of examples, readable or not.
        published: number of examples of the published split; None where that is not
            known.
        sizes: examples by (height, width) of their pixels.
        pixels: by output, pixels by id.
    """

    count: int
    published: int | None
    sizes: Mapping[tuple[int, int], int]
    pixels: Mapping[str, Mapping[int, int]]


@dataclass(frozen=True)
class SplitsReport:
    """The result of the check of a data set.

    Attributes:
        problems: one sentence each; empty for a data set that is in order.
        notes: what is no fault and may surprise, one sentence each.
        outputs: classes of each label map.
        splits: by name.
        shared: names that two splits have in common, in order.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    outputs: Mapping[str, Classes]
    splits: Mapping[str, SplitReport]
    shared: Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True)
class _Content:
    """What was read of one example: its size, and by output its pixels by id."""

    size: tuple[int, int]
    pixels: Mapping[str, Mapping[int, int]]


def check_splits(
    sources: Mapping[str, Source],
    published: Mapping[str, int],
    report: Progress | None = None,
) -> SplitsReport:
    """Decode every example of a data set.

    Args:
        sources: its splits by name, at least one.
        published: number of examples of the published splits.
        report: called after each example.
    """
    first = next(iter(sources.values()))
    outputs = pixel_classes(first.outputs, "a check of label maps")
    keys = [(split, i) for split, own in sources.items() for i in range(len(own))]
    read = scan(lambda key: _read(sources[key[0]], *key), keys, report)
    problems: list[str] = []
    splits = {}
    for split, source in sources.items():
        own = list(itertools.islice(read, len(source)))
        splits[split] = _split_report(own, published.get(split), outputs)
        problems += _count_problems(split, len(own), published.get(split))
        problems += _example_problems(split, source, own)
    shared = _shared(sources)
    for (one, other), names in shared.items():
        if names and one in SCORED and other in SCORED:
            problems.append(
                f"the splits {one} and {other} share {_examples(names)}, so scores "
                "would be of images trained on; prepare the data set from lists that "
                "name each image in one of them"
            )
    found = {split: _census(own, outputs) for split, own in splits.items()}
    return SplitsReport(
        problems=(*problems, *useless_problems(found)),
        notes=(*absence_problems(found), *absence_notes(found)),
        outputs=outputs,
        splits=splits,
        shared=shared,
    )


def print_splits(report: SplitsReport, console: Console) -> None:
    """Print the tables of a report, then its problems, one a line."""
    table = Table("split", "examples", "published", "heights", "widths", "sizes")
    for split, own in report.splits.items():
        ranges = ("", "")
        if own.sizes:
            heights, widths = zip(*own.sizes, strict=True)
            ranges = tuple(f"{min(v)}..{max(v)}" for v in (heights, widths))
        published = "" if own.published is None else str(own.published)
        table.add_row(
            escape(split), str(own.count), published, *ranges, str(len(own.sizes))
        )
    console.print(table)
    for key, classes in report.outputs.items():
        console.print(_id_table(key, classes, report.splits))
    # Sentences are printed plainly: rich would wrap them and read [..] as markup.
    for (one, other), names in report.shared.items():
        found = _examples(names) if names else "no names"
        print(f"{one} and {other} share {found}", file=console.file)
    for note in report.notes:
        print(f"note: {note}", file=console.file)
    for problem in report.problems:
        print(f"problem: {problem}", file=console.file)
    count = len(report.problems)
    print("no problems" if not count else f"{count} problems", file=console.file)


def _id_table(key: str, classes: Classes, splits: Mapping[str, SplitReport]) -> Table:
    table = Table("id", key, *map(escape, splits), title=f"pixels by id of {key}")
    for label in (*range(len(classes)), IGNORE):
        name = "(ignored)" if label == IGNORE else escape(classes.names[label])
        pixels = [f"{own.pixels[key].get(label, 0):,}" for own in splits.values()]
        table.add_row(str(label), name, *pixels)
    return table


def _read(source: Source, split: str, index: int) -> _Content | str:
    """What an example holds, or what is wrong with it."""
    try:
        example = source[index]
    except (DataError, OSError) as error:
        return str(error)
    except RuntimeError as error:  # array_record raises it for damaged files
        return (
            f"split {split}, example {source.name(index)}: "
            f"{' '.join(str(error).split())}; delete the prepared data set and prepare "
            "it again"
        )
    height, width = next(iter(example.inputs.values())).shape[:2]
    pixels = {}
    for key, ids in example.labels.items():
        counts = np.bincount(ids.ravel())
        pixels[key] = {int(i): int(counts[i]) for i in np.flatnonzero(counts)}
    return _Content((height, width), pixels)


def _split_report(
    read: Sequence[_Content | str],
    published: int | None,
    outputs: Mapping[str, Classes],
) -> SplitReport:
    contents = [one for one in read if isinstance(one, _Content)]
    pixels: dict[str, Counter[int]] = {key: Counter() for key in outputs}
    for content in contents:
        for key, own in content.pixels.items():
            pixels[key].update(own)
    return SplitReport(
        count=len(read),
        published=published,
        sizes=Counter(content.size for content in contents),
        pixels={key: dict(sorted(own.items())) for key, own in pixels.items()},
    )


def _census(own: SplitReport, outputs: Mapping[str, Classes]) -> Census:
    """The ids of a split, of the examples that were readable."""
    pixels = {
        key: np.array([own.pixels[key].get(i, 0) for i in range(len(classes))])
        for key, classes in outputs.items()
    }
    read = sum(own.sizes.values())
    ignored = {key: counts.get(IGNORE, 0) for key, counts in own.pixels.items()}
    return Census(outputs, read, read, pixels, ignored)


def _count_problems(split: str, count: int, published: int | None) -> list[str]:
    if published is None or count == published:
        return []
    return [
        f"examples of the split {split}: {count}, published: {published}, so scores "
        "will not compare; prepare the data set from the published tree and lists"
    ]


def _example_problems(
    split: str, source: Source, read: Sequence[_Content | str]
) -> list[str]:
    names = Counter(source.name(index) for index in range(len(source)))
    problems = [
        f"the split {split} has {count} examples named {name}; name each once in its "
        "list and prepare the data set again"
        for name, count in names.items()
        if count > 1
    ]
    for index, (one, recorded) in enumerate(zip(read, source.sizes(), strict=True)):
        size = (int(recorded[0]), int(recorded[1]))
        if isinstance(one, str):
            problems.append(one)
        elif one.size != size:
            problems.append(
                f"split {split}, example {source.name(index)}: its pixels are {one.size} "
                f"(height, width) and {size} is recorded; prepare the data set again"
            )
    return problems


def _shared(sources: Mapping[str, Source]) -> dict[tuple[str, str], tuple[str, ...]]:
    names = {
        split: {source.name(index) for index in range(len(source))}
        for split, source in sources.items()
    }
    return {
        (one, other): tuple(sorted(names[one] & names[other]))
        for one, other in itertools.combinations(sources, 2)
    }


def _examples(names: Sequence[str]) -> str:
    noun = "name" if len(names) == 1 else "names"
    more = ", ..." if len(names) > 5 else ""
    return f"{len(names)} {noun} ({', '.join(names[:5])}{more})"
