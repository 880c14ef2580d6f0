"""The files of a folder data set: classes.txt, splits/*.txt, images/ and labels/.

Readers raise on what cannot be read at all; the `*_problems` functions return one
sentence for each contradiction, so that opening can stop at the first and `check` can
list them all.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import VOID_COLOR, Classes, Color, colors_from, voc_palette

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
LABEL_ENDINGS = (".png",)
VAL_EVERY = 5  # without split lists, stems 4, 9, 14, ... in sorted order are val

_LAYOUT = (
    "a folder data set has images/ (JPEG or PNG), labels/ (PNG of the same stems), "
    "classes.txt and optionally splits/train.txt and splits/val.txt"
)


def read_classes(path: Path) -> tuple[Classes, tuple[Color, ...] | None]:
    """Reads a classes.txt: `name` or `name red green blue` a line, id 0 first.

    Returns:
      The classes, with the VOC palette where no colours are given, and the colours of
      the file, or None where it has none.

    Raises:
      DataError: for a missing file or a line of another form.
    """
    if not path.is_file():
        raise DataError(
            f"there is no {path}; write one class name a line into it, in the order of "
            "their ids from 0 (without the ignore id 255), each with or without its "
            "colour as red green blue"
        )
    lines = _lines(path)
    entries = [_class_of(line, path, n) for n, line in enumerate(lines, 1)]
    names = tuple(name for name, _ in entries)
    colors = tuple(color for _, color in entries if color is not None)
    if colors and len(colors) != len(names):
        raise DataError(
            f"{path} gives colours to {len(colors)} of its {len(names)} classes; "
            "give one to each or to none"
        )
    repeated = [color for color, n in Counter(colors).items() if n > 1]
    if repeated or VOID_COLOR in colors:
        color = repeated[0] if repeated else VOID_COLOR
        use = "more than one class" if repeated else "a class, but it stands for void"
        raise DataError(f"{path} gives the colour {color} to {use}; choose another")
    try:
        return Classes(names, colors or voc_palette(len(names))), colors or None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def list_files(
    folder: Path, name: str, endings: tuple[str, ...]
) -> tuple[dict[str, Path], list[str]]:
    """The files of a subdirectory by stem, in sorted order; hidden ones left out.

    Returns:
      The files, and a sentence for each two that share a stem.

    Raises:
      DataError: where the subdirectory is missing.
    """
    directory = folder / name
    if not directory.is_dir():
        raise DataError(f"there is no directory {directory}; {_LAYOUT}")
    files: dict[str, Path] = {}
    clashes = []
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in endings:
            continue
        if path.stem in files:
            clashes.append(
                f"{name}/{files[path.stem].name} and {path.name} have the same stem; "
                "remove or rename one"
            )
        files.setdefault(path.stem, path)
    return files, clashes


def unread_problems(folder: Path, name: str, endings: tuple[str, ...]) -> list[str]:
    """Files of a subdirectory whose endings are not read."""
    return [
        f"{name}/{path.name} is not read, since its ending is not "
        f"{' or '.join(endings)}; convert it or move it away"
        for path in sorted((folder / name).iterdir())
        if not path.name.startswith(".") and path.suffix.lower() not in endings
    ]


def read_splits(folder: Path) -> dict[str, list[str]]:
    """The stems that each splits/*.txt lists; empty where there is no such file."""
    paths = sorted((folder / "splits").glob("*.txt"))
    return {
        path.stem: [line for line in _lines(path) if line]
        for path in paths
        if not path.name.startswith(".")
    }


def default_splits(stems: Sequence[str]) -> dict[str, list[str]]:
    """Every fifth stem (4, 9, 14, ... in sorted order) is val, the others train."""
    ordered = sorted(stems)
    val = ordered[VAL_EVERY - 1 :: VAL_EVERY]
    return {"train": sorted(set(ordered) - set(val)), "val": val}


def pair_problems(images: Mapping[str, Path], labels: Mapping[str, Path]) -> list[str]:
    """Images without labels, and labels without images."""
    return [
        f"the image {images[stem].name} has no label labels/{stem}.png; "
        "add it, or list the stems to use in splits/train.txt and splits/val.txt"
        for stem in sorted(set(images) - set(labels))
    ] + [
        f"the label {labels[stem].name} has no image images/{stem}.jpg or .png; "
        "add it or remove the label"
        for stem in sorted(set(labels) - set(images))
    ]


def list_problems(
    split: str,
    stems: Sequence[str],
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
) -> list[str]:
    """Repeated ids of a split, and ids whose files are not there."""
    file = f"splits/{split}.txt"
    if not stems:
        return [f"{file} lists no ids; write one stem a line into it"]
    problems = [
        f"{file} lists {stem!r} {count} times; keep one of the lines"
        for stem, count in Counter(stems).items()
        if count > 1
    ]
    for stem in dict.fromkeys(stems):
        absent = [
            name
            for name, files in (("images/", images), ("labels/", labels))
            if stem not in files
        ]
        if absent:
            hint = (
                "give stems, without the ending"
                if Path(stem).stem in images and stem not in images
                else "add the file or remove the line"
            )
            problems.append(
                f"{file} lists {stem!r}, which has no file in {' and '.join(absent)}; "
                f"{hint}"
            )
    return problems


def overlap_problems(splits: Mapping[str, Sequence[str]]) -> list[str]:
    """Ids that two of train, val and test share, a sentence for each two."""
    problems = []
    for one, other in itertools.combinations(("train", "val", "test"), 2):
        shared = sorted(set(splits.get(one, ())) & set(splits.get(other, ())))
        if shared:
            problems.append(
                f"splits/{one}.txt and splits/{other}.txt share {len(shared)} ids "
                f"({', '.join(shared[:5])}{', ...' if len(shared) > 5 else ''}), so "
                "scores would be of images trained on; keep each id in one of them"
            )
    return problems


def _lines(path: Path) -> list[str]:
    """Stripped lines, without empty ones at the end; a byte order mark is no text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from (
            error
        )
    return [line.strip() for line in text.rstrip().splitlines()]


def _class_of(line: str, path: Path, number: int) -> tuple[str, Color | None]:
    words = line.split()
    if len(words) == 1:
        return words[0], None
    if len(words) == 4 and all(word.isdecimal() for word in words[1:]):
        return words[0], colors_from([[int(word) for word in words[1:]]])[0]
    raise DataError(
        f"{path} line {number} is {line!r}; it must be a name, or a name and its "
        "colour as red green blue, and names may contain no blanks (write "
        "traffic_light), since the number of a line is its class id"
    )
