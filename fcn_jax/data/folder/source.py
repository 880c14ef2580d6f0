"""A data set in a directory of its own: images/, labels/, splits/, classes.txt.

classes.txt gives the class of each id, a line each, see `class_list`. Labels are PNG:
palette or grey with class ids or the values of classes.txt, or palette or RGB in its
colours; 255, as a colour (224, 224, 192), is ignored. Without split lists every fifth
stem is val.
"""

import dataclasses
import functools
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl import logging

from fcn_jax.data.decoding.images import image_size, read_color
from fcn_jax.data.examples import (
    DataError,
    Example,
    check_index,
    checked_example,
    digest,
)
from fcn_jax.data.folder.class_list import ClassList
from fcn_jax.data.folder.contents import digests
from fcn_jax.data.folder.label_files import encoding_problems, read_ids
from fcn_jax.data.folder.layout import Layout, read_layout
from fcn_jax.data.folder.split_problems import missing_sentence
from fcn_jax.data.labels import Classes
from fcn_jax.data.sources.image_folder import how_to_train, is_image_folder
from fcn_jax.runtime.locations import located


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """One split of a folder data set; a `Source`. Made by `open_folder`.

    Attributes:
        folder: the directory.
        split: name of the split.
        images: image files, in the order of the split.
        labels: their labels.
        class_list: the classes, and what values and colours of labels mean.
    """

    folder: Path
    split: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    class_list: ClassList

    @property
    def outputs(self) -> Mapping[str, Classes]:
        """The classes, under "semantic"."""
        return {"semantic": self.class_list.classes}

    @property
    def fingerprint(self) -> str:
        """Digest of names, order, contents and classes; the directory is not in it."""
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        names = [self.name(index) for index in range(len(self))]
        contents = digests(self.folder, [*self.images, *self.labels])
        own = self.class_list
        classes = [own.classes.to_dict(), own.colors, own.values]
        return digest(["folder", names, contents, classes])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        check_index(index, len(self), f"split {self.split} of {self.folder}")
        where = self._where(index)
        color = read_color(self.images[index], where=f"{where}, {self.images[index]}")
        labels = read_ids(
            self.labels[index],
            where=f"{where}, {self.labels[index]}",
            classes=self.class_list,
        )
        example = Example(self.name(index), {"color": color}, {"semantic": labels})
        return checked_example(example, outputs=self.outputs, where=where)

    def name(self, index: int) -> str:
        """The stem of the example's files, in Unicode's form NFC."""
        return unicodedata.normalize("NFC", self.images[index].stem)

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
    """Open a split of the folder data set in a directory.

    Without split lists, every fifth stem in sorted order (4, 9, 14, ...) is val and the
    others are train, which the log says.

    Args:
        folder: the directory, with images/, labels/ and classes.txt.
        split: "train", "val" or the name of another list.

    Raises:
        DataError: for a missing directory or file, an image folder, an unknown or empty split, ids
            listed twice, in two splits, or without files, lists that are not read,
            labels whose values differ in meaning, and, without lists, images without
            labels or labels without images.
    """
    if not str(folder):
        raise DataError("the folder data set needs its directory; none is given")
    root = Path(located(folder))
    if not root.is_dir():
        raise DataError(f"the folder data set {root} is not a directory; give its path")
    if is_image_folder(root):
        raise DataError(f"{how_to_train(root)}, since it has no label maps")
    layout = read_layout(root)
    problems = list(layout.problems)
    if split not in layout.splits:
        problems.append(_unknown(split, layout))
    used = [layout.labels[stem] for stem in layout.used()]
    problems += encoding_problems(used, layout.classes)
    if not problems and not layout.splits[split]:
        problems.append(
            f"it is empty: images/ holds {len(layout.images)} JPEG or PNG files, of which "
            "every fifth is val; add files or write splits/train.txt and splits/val.txt"
        )
    if problems or layout.classes is None:
        more = (
            f" (and {len(problems) - 1} more problems, which `python -m fcn_jax.data "
            f"check --folder={root}` lists)"
            if len(problems) > 1
            else ""
        )
        raise DataError(f"folder data set {root}, split {split}: {problems[0]}{more}")
    if not layout.listed:
        _log_default(layout)
    stems = layout.splits[split]
    return FolderSource(
        folder=root,
        split=split,
        images=tuple(layout.images[stem] for stem in stems),
        labels=tuple(layout.labels[stem] for stem in stems),
        class_list=layout.classes,
    )


def _unknown(split: str, layout: Layout) -> str:
    if layout.listed:
        return missing_sentence(split, layout.splits)
    return (
        f"there is no split {split!r}: without split lists it has train and val; write "
        f"the stems of others into splits/{split}.txt, one a line"
    )


def _log_default(layout: Layout) -> None:
    logging.info(
        "%s has no split lists: every fifth of its %d images is val (%d), the others "
        "train (%d)",
        layout.root,
        len(layout.images),
        len(layout.splits["val"]),
        len(layout.splits["train"]),
    )
