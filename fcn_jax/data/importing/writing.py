"""Writing an export in the folder layout, whole or not at all."""

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.class_list import read_class_list
from fcn_jax.data.folder.layout import default_splits
from fcn_jax.data.importing.export import Class, Entry, Export
from fcn_jax.data.importing.picture_files import written_picture
from fcn_jax.data.labels import IGNORE, VOID_COLOR, Classes, Color, voc_palette
from fcn_jax.data.tools.scan import Progress, scan
from fcn_jax.runtime import atomic


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        pictures: how many pictures by what was done to them.
        pixels: pixels by class id, 255 among them.
        splits: pictures by split; empty where there are no lists.
        val_every_fifth: pictures by split where the folder has no lists.
        rules: how files were named and coloured, (what, rule).
    """

    pictures: Mapping[str, int]
    pixels: Mapping[int, int]
    splits: Mapping[str, int]
    val_every_fifth: Mapping[str, int]
    rules: tuple[tuple[str, str], ...]


def check_target(source: Path, target: Path) -> None:
    """Refuse a target that has something in it, or lies in the source.

    Raises:
        DataError: in these cases.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(
            f"{target} is there and not empty; name a directory that is not there yet"
        )
    if target.resolve().is_relative_to(source.resolve()):
        raise DataError(
            f"{target} lies within {source}, where the next import would read it; name a "
            "directory outside"
        )


def write_export(
    export: Export, target: Path, exif: str = "", report: Progress | None = None
) -> Written:
    """Write images/, labels/, classes.txt and splits/.

    Args:
        export: what was read.
        target: the directory; empty or not there.
        exif: "turned" or "stored", see `Options`.
        report: called after each picture.

    Raises:
        DataError: where a picture or its annotation cannot be written as a pair;
            nothing is left of the target then.
        OSError: where the target cannot be written; likewise.
    """
    stems, named = _stems(export.entries)
    classes, colored = _classes(export.classes)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.palette
    palette[IGNORE] = VOID_COLOR
    with atomic.whole_directory(target) as root:
        for name in ("images", "labels"):
            (root / name).mkdir()
        write_classes(root / "classes.txt", classes, "with --map or --classes")
        write = functools.partial(
            _write_pair, root, palette.tobytes(), export.turned, exif
        )
        pairs = list(zip(export.entries, stems, strict=True))
        written = list(scan(write, pairs, report))
        splits = _splits(export.entries, stems)
        for split, members in splits.items():
            (root / "splits").mkdir(exist_ok=True)
            text = "".join(f"{stem}\n" for stem in members)
            (root / "splits" / f"{split}.txt").write_text(text, encoding="utf-8")
    pixels: Counter[int] = Counter()
    for _, counts in written:
        pixels.update(counts)
    fifth = {} if splits else default_splits(stems)
    return Written(
        pictures=Counter(done for done, _ in written),
        pixels=pixels,
        splits={split: len(members) for split, members in splits.items()},
        val_every_fifth={split: len(members) for split, members in fifth.items()},
        rules=(*named, *colored),
    )


def _write_pair(
    root: Path,
    palette: bytes,
    turned: bool | None,
    exif: str,
    pair: tuple[Entry, str],
) -> tuple[str, dict[int, int]]:
    """Write a picture and its label; what was done, and the pixels by id."""
    entry, stem = pair
    content, ending, size, done = written_picture(entry, turned, exif)
    ids = entry.paint(*size)
    if ids.shape != size:
        raise DataError(
            f"{entry.where}: {ids.shape[0]}x{ids.shape[1]} pixels (height x width) for a "
            f"picture of {size[0]}x{size[1]}"
        )
    label = Image.fromarray(ids, "L")
    label.putpalette(palette)
    (root / "images" / f"{stem}{ending}").write_bytes(content)
    label.save(root / "labels" / f"{stem}.png")
    counts = np.bincount(ids.ravel(), minlength=256)
    return done, {int(i): int(counts[i]) for i in np.flatnonzero(counts)}


def _stems(entries: Sequence[Entry]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return a stem for each entry: its file's, or its path's where stems repeat."""
    stems = [entry.name.stem for entry in entries]
    if len({stem.lower() for stem in stems}) == len(stems):
        return stems, []
    paths = [_joined(entry.name) for entry in entries]
    repeated = [path for path, count in Counter(paths).items() if count > 1]
    if repeated:
        raise DataError(
            f"two pictures are called {repeated[0]} (with different endings); rename one"
        )
    return paths, [("names", "folders joined by _, since file names repeat")]


def _joined(name: PurePosixPath) -> str:
    return "_".join(name.with_suffix("").parts)


def _classes(classes: Sequence[Class]) -> tuple[Classes, list[tuple[str, str]]]:
    """Return the classes with the source's colours, if these are all different."""
    names = tuple(one.name for one in classes)
    black: list[Color | None] = [(0, 0, 0), *[None] * len(classes)]
    given = [own for one, first in zip(classes, black, strict=False)
             if (own := one.color or first) is not None]  # fmt: skip
    usable = len(given) == len(names) == len({*given, VOID_COLOR}) - 1
    colors = tuple(given) if usable else voc_palette(len(names))
    rules = [("colours", "of the source" if usable else "of the VOC palette")]
    try:
        return Classes(names, colors), rules
    except ValueError as error:
        raise DataError(str(error)) from error


def write_classes(path: Path, classes: Classes, remedy: str) -> None:
    """Write names and colours, and read them back.

    Args:
        path: the classes.txt.
        classes: of the data set.
        remedy: how another name is given, "with --map".

    Raises:
        DataError: for a name that the file cannot hold.
    """
    lines = [
        f"{name} {red} {green} {blue}\n"
        for name, (red, green, blue) in zip(classes.names, classes.palette, strict=True)
    ]
    path.write_text("".join(lines), encoding="utf-8")
    try:
        back = read_class_list(path).classes.names
    except DataError as error:
        raise DataError(
            f"these class names cannot be written into classes.txt: {error}; give others "
            f"{remedy}"
        ) from error
    if back != classes.names:
        wrong = next(a for a, b in itertools.zip_longest(classes.names, back) if a != b)
        raise DataError(
            f"the class name {wrong!r} cannot be written into classes.txt; give another "
            f"{remedy}"
        )


def _splits(entries: Sequence[Entry], stems: Sequence[str]) -> dict[str, list[str]]:
    """Return the stems by split, train first; empty if train is the only split."""
    splits: dict[str, list[str]] = {}
    for entry, stem in zip(entries, stems, strict=True):
        if entry.split:
            splits.setdefault(entry.split, []).append(stem)
    order = ("train", "val", "test")
    if set(splits) <= {"train"}:
        return {}  # training needs a val as well, which is every fifth without lists
    return {split: sorted(splits[split]) for split in order if split in splits}
