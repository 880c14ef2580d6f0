"""A data set in a directory of its own: images/, labels/, splits/, classes.txt.

classes.txt gives the class of each id, a line each: `name` or `name red green blue`.
Labels are PNG: palette or grey with class ids, or RGB in the colours of classes.txt;
255, in RGB (224, 224, 192), is ignored. Without split lists every fifth stem is val.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl import logging

from fcn_jax.data import folder_layout as layout
from fcn_jax.data.examples import (
    DataError,
    Example,
    check_index,
    checked_example,
    digest,
)
from fcn_jax.data.images import image_size, read_color, read_label
from fcn_jax.data.labels import Classes, Color


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """One split of a folder data set; a `Source`. Made by `open_folder`.

    Attributes:
      folder: the directory.
      split: name of the split.
      images: image files, in the order of the split.
      labels: their labels.
      classes: names and colours of the ids.
      colors: what RGB labels are read by; None where classes.txt gives no colours.
    """

    folder: Path
    split: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    classes: Classes
    colors: tuple[Color, ...] | None

    @property
    def outputs(self) -> Mapping[str, Classes]:
        """The classes, under "semantic"."""
        return {"semantic": self.classes}

    @property
    def fingerprint(self) -> str:
        """Digest of classes, names and the byte counts of the files; taken once."""
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        files = [
            [image.name, image.stat().st_size, label.stat().st_size]
            for image, label in zip(self.images, self.labels, strict=True)
        ]
        return digest(["folder", self.split, self.classes.to_dict(), files])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        check_index(index, len(self), f"split {self.split} of {self.folder}")
        where = self._where(index)
        color = read_color(self.images[index], where=f"{where}, {self.images[index]}")
        labels = read_label(
            self.labels[index],
            where=f"{where}, {self.labels[index]}",
            colors=self.colors,
        )
        example = Example(self.name(index), {"color": color}, {"semantic": labels})
        return checked_example(example, outputs=self.outputs, where=where)

    def name(self, index: int) -> str:
        """The stem of the example's files."""
        return self.images[index].stem

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width), from the files' headers; read once."""
        return self._sizes.copy()

    @functools.cached_property
    def _sizes(self) -> np.ndarray:
        sizes = [
            image_size(path, where=self._where(index))
            for index, path in enumerate(self.images)
        ]
        return np.array(sizes, np.int32).reshape(-1, 2)

    def _where(self, index: int) -> str:
        return (
            f"folder data set {self.folder}, split {self.split}, "
            f"example {self.name(index)}"
        )


def open_folder(folder: str | Path, split: str) -> FolderSource:
    """Opens a split of the folder data set in a directory.

    Without files in splits/, every fifth stem in sorted order (4, 9, 14, ...) is val
    and the others are train, which the log says.

    Args:
      folder: the directory, with images/, labels/ and classes.txt.
      split: "train", "val" or the stem of another file in splits/.

    Raises:
      DataError: for a missing directory or file, an unknown or empty split, ids listed
        twice, in train and val, or without files, and, without split lists, images
        without labels or labels without images.
    """
    if not str(folder):
        raise DataError("the folder data set needs its directory; none is given")
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"the folder data set {root} is not a directory; give its path")
    classes, colors = layout.read_classes(root / "classes.txt")
    images, problems = layout.list_files(root, "images", layout.IMAGE_ENDINGS)
    labels, clashes = layout.list_files(root, "labels", layout.LABEL_ENDINGS)
    problems += clashes
    splits = layout.read_splits(root)
    if splits:
        stems, found = _listed(split, splits, images, labels)
        problems += found
    else:
        problems += layout.pair_problems(images, labels)
        stems = _unlisted(split, images, root)
    if problems:
        more = (
            f" (and {len(problems) - 1} more problems, which `python -m fcn_jax.data "
            f"check --folder={root}` lists)"
            if len(problems) > 1
            else ""
        )
        raise DataError(f"folder data set {root}, split {split}: {problems[0]}{more}")
    return FolderSource(
        folder=root,
        split=split,
        images=tuple(images[stem] for stem in stems),
        labels=tuple(labels[stem] for stem in stems),
        classes=classes,
        colors=colors,
    )


def _listed(
    split: str,
    splits: Mapping[str, list[str]],
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
) -> tuple[list[str], list[str]]:
    """The stems of a split with a list, and what is wrong with them."""
    if split not in splits:
        return [], [
            f"there is no splits/{split}.txt; there are "
            f"{', '.join(f'splits/{name}.txt' for name in splits)}"
        ]
    problems = layout.list_problems(split, splits[split], images, labels)
    return splits[split], problems + layout.overlap_problems(splits)


def _unlisted(split: str, images: Mapping[str, Path], root: Path) -> list[str]:
    """The stems of a split of a folder without lists."""
    splits = layout.default_splits(list(images))
    if split not in splits:
        raise DataError(
            f"folder data set {root} has no split {split!r}: without files in splits/ "
            "it has train and val; write the stems of others into "
            f"splits/{split}.txt, one a line"
        )
    if not splits[split]:
        raise DataError(
            f"folder data set {root}, split {split}, is empty: images/ holds "
            f"{len(images)} JPEG or PNG files, of which every fifth is val; add files "
            "or write splits/train.txt and splits/val.txt"
        )
    logging.info(
        "%s has no split lists: every fifth of its %d images is val (%d), the others "
        "train (%d)",
        root,
        len(images),
        len(splits["val"]),
        len(splits["train"]),
    )
    return splits[split]
