"""The files of a folder data set: classes, images, labels and splits.

Opening and `check` ask the same questions here: opening stops at the first problem,
`check` lists them all, so what the one calls clean the other accepts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder import split_problems
from fcn_jax.data.folder.class_list import ClassList, read_class_list
from fcn_jax.data.folder.listing import (
    IMAGE_ENDINGS,
    LABEL_ENDINGS,
    Listing,
    list_files,
    unread_problems,
)
from fcn_jax.data.folder.split_lists import read_splits

VAL_EVERY = 5  # without split lists, stems 4, 9, 14, ... in sorted order are val


@dataclass(frozen=True)
class Layout:
    """The files of a folder data set.

    Attributes:
        root: the directory.
        classes: from classes.txt; None where that cannot be read.
        images: files of images/, by stem.
        labels: files of labels/, by stem.
        splits: stems of each split; every fifth is val where there are no lists.
        listed: whether there are lists.
        problems: one sentence each; empty where the files agree.
    """

    root: Path
    classes: ClassList | None
    images: Mapping[str, Path]
    labels: Mapping[str, Path]
    splits: Mapping[str, tuple[str, ...]]
    listed: bool
    problems: tuple[str, ...]

    def used(self) -> list[str]:
        """Stems of all splits that have an image and a label, in sorted order."""
        stems = {stem for own in self.splits.values() for stem in own}
        return [
            stem
            for stem in sorted(stems & set(self.images) & set(self.labels))
            if self.images[stem].is_file() and self.labels[stem].is_file()
        ]


def read_layout(root: Path) -> Layout:
    """List the files of a folder; no pixel is decoded.

    Args:
        root: a directory.
    """
    problems: list[str] = []
    classes = _classes(root, problems)
    images = _files(root, "images", IMAGE_ENDINGS, problems)
    labels = _files(root, "labels", LABEL_ENDINGS, problems)
    lists, found = read_splits(root, images.files.keys() | labels.files.keys())
    problems += found
    if lists:
        splits = {split: own.stems for split, own in lists.items()}
        for own in lists.values():
            problems += split_problems.list_problems(own, images, labels)
        problems += split_problems.overlap_problems(splits)
    else:
        splits = default_splits(list(images.files))
        if images.there and labels.there:
            problems += pair_problems(images, labels)
        problems += unread_problems(images, told=labels.files)
        problems += unread_problems(labels, told=images.files)
    return Layout(
        root=root,
        classes=classes,
        images=images.files,
        labels=labels.files,
        splits=splits,
        listed=bool(lists),
        problems=tuple(problems),
    )


def default_splits(stems: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Every fifth stem (4, 9, 14, ... in sorted order) is val, the others train."""
    ordered = sorted(stems)
    val = ordered[VAL_EVERY - 1 :: VAL_EVERY]
    return {"train": tuple(sorted(set(ordered) - set(val))), "val": tuple(val)}


def pair_problems(images: Listing, labels: Listing) -> list[str]:
    """Images without labels, and labels without images."""
    return [
        f"the image {images.files[stem].name} has no label labels/{stem}.png; "
        + (
            labels.near(stem)
            or "add it, or list the stems to use in splits/train.txt and splits/val.txt"
        )
        for stem in sorted(set(images.files) - set(labels.files))
    ] + [
        f"the label {labels.files[stem].name} has no image images/{stem}.jpg or .png; "
        + (images.near(stem) or "add it or remove the label")
        for stem in sorted(set(labels.files) - set(images.files))
    ]


def _classes(root: Path, problems: list[str]) -> ClassList | None:
    try:
        return read_class_list(root / "classes.txt")
    except DataError as error:
        problems.append(str(error))
        return None


def _files(
    root: Path, name: str, endings: tuple[str, ...], problems: list[str]
) -> Listing:
    try:
        listing = list_files(root, name, endings)
    except (DataError, PermissionError) as error:
        problems.append(str(error))
        return Listing(name, {}, {}, (), there=False)
    problems += listing.problems
    return listing
