"""Images in a directory for each class, ImageNet's own layout; one label an image.

    DIR/train/<class>/*.JPEG
    DIR/val/<class>/*.JPEG

The directories of train are the classes, in sorted order. Where all of them are WordNet
ids, the classes have the names of ILSVRC-2012 (`data.imagenet`).
"""

import bisect
import dataclasses
import functools
import itertools
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl import logging

from fcn_jax.data.categories import OUTPUT, Categories, image_label
from fcn_jax.data.decoding.images import image_size, read_color
from fcn_jax.data.examples import DataError, Example, check_index, digest
from fcn_jax.data.folder.listing import is_hidden
from fcn_jax.data.imagenet import imagenet_classes, imagenet_ids
from fcn_jax.data.tools.scan import scan
from fcn_jax.runtime.locations import located

ENDINGS = (".jpg", ".jpeg", ".png")
LAYOUT = "DIR/train/<class>/*.jpg and DIR/val/<class>/*.jpg (.jpeg and .png too)"
_SYNSET = re.compile(r"n\d{8}")
_PIXELS = ("images", "image", "imgs", "img", "masks", "labels", "annotations")
_MANY = 100_000  # files from which on looking at each is logged
_NAMED = 5  # directories that a message names


@dataclasses.dataclass(frozen=True)
class ImageFolder:
    """One split of an image folder; a `Source`. Made by `open_image_folder`.

    Attributes:
        folder: the directory.
        split: name of the split, a directory in it.
        directories: of the classes, in the order of their ids.
        files: names of the images of each class, sorted.
        categories: names of the classes.
    """

    folder: Path
    split: str
    directories: tuple[str, ...]
    files: tuple[tuple[str, ...], ...]
    categories: Categories

    @property
    def outputs(self) -> Mapping[str, Categories]:
        """The classes, under "imagenet"."""
        return {OUTPUT: self.categories}

    @property
    def fingerprint(self) -> str:
        """Digest of the split, the classes, and the paths and bytes of the files.

        Neither the directory nor the contents of the files are in it: reading 138 GB of
        ImageNet takes longer than an epoch.
        """
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        def length(index: int) -> int:
            return self.path(index).stat().st_size

        self._tell("the number of bytes", "for the digest of the split")
        lengths = list(scan(length, range(len(self))))
        files = dict(zip(self.directories, self.files, strict=True))
        return digest(
            ["image_folder", self.split, self.categories.names, files, lengths]
        )

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Example:
        """Decode an image.

        Its EXIF rotation is followed: there is no label map that would not be turned
        with it.

        Raises:
            DataError: names an image that cannot be read.
        """
        check_index(index, len(self), f"split {self.split} of {self.folder}")
        color = read_color(self.path(index), where=self._where(index), rotate=True)
        label = image_label(self.category(index))
        return Example(self.name(index), {"color": color}, {OUTPUT: label})

    def category(self, index: int) -> int:
        """The class of an image, without reading it."""
        return bisect.bisect_right(self._ends, index)

    def path(self, index: int) -> Path:
        """The file of an image."""
        return self.folder / self.split / self._relative(index)

    def name(self, index: int) -> str:
        """`split/class/stem`, with the ending where two files share a stem.

        The split is in it, since files of train and val may well have one name, as in
        `train/cat/1.jpg` and `val/cat/1.jpg`.
        """
        relative = self._relative(index)
        stem = os.path.splitext(relative)[0]
        return f"{self.split}/{relative if stem in self._shared else stem}"

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width), from the files' headers; read once.

        All files are opened, which takes minutes for a million.
        """
        return self._sizes.copy()

    @functools.cached_property
    def _sizes(self) -> np.ndarray:
        def size(index: int) -> tuple[int, int]:
            return image_size(self.path(index), where=self._where(index), rotate=True)

        self._tell("the header", "for the sizes of the images")
        sizes = list(scan(size, range(len(self))))
        return np.array(sizes, np.int32).reshape(-1, 2)

    @functools.cached_property
    def _ends(self) -> tuple[int, ...]:
        """The index after the last image of each class."""
        return tuple(itertools.accumulate(len(own) for own in self.files))

    @functools.cached_property
    def _shared(self) -> frozenset[str]:
        """`class/stem` of which there are several files."""
        return frozenset(
            f"{directory}/{stem}"
            for directory, files in zip(self.directories, self.files, strict=True)
            for stem, count in Counter(os.path.splitext(f)[0] for f in files).items()
            if count > 1
        )

    def _tell(self, what: str, purpose: str) -> None:
        """Log what takes minutes."""
        if len(self) > _MANY:
            logging.info("reading %s of %d files once, %s", what, len(self), purpose)

    def _relative(self, index: int) -> str:
        category = self.category(index)
        files = self.files[category]
        file = files[index - self._ends[category] + len(files)]
        return f"{self.directories[category]}/{file}"

    def _where(self, index: int) -> str:
        return f"image folder {self.folder}, {self.split}/{self._relative(index)}"


def open_image_folder(folder: str | Path, split: str) -> ImageFolder:
    """Open a split of an image folder; no image is read.

    Args:
        folder: the directory, with train/<class>/* and val/<class>/*.
        split: "train", "val" or another directory in it.

    Raises:
        DataError: where the directory or the split is missing or has another layout, or
            a class of train has no image, or the split has a class that train lacks.
    """
    if not str(folder):
        raise DataError(
            "the data set image_folder needs its directory; give data.folder"
        )
    root = Path(located(folder))
    if not root.is_dir():
        raise DataError(f"the image folder {root} is not a directory; give its path")
    where = f"image folder {root}, split {split}"
    directories = _class_directories(root, "train")
    if len(directories) < 2:
        raise DataError(
            f"image folder {root}: train has the one class {directories[0]}, so there "
            "is nothing to tell apart; add a directory for each further class"
        )
    files = {own: () for own in directories} | _listed(root, split)
    unknown = [own for own in files if own not in set(directories)]
    if unknown:
        raise DataError(
            f"{where}: the classes {_several(unknown)} are not in train, so nobody can "
            "learn them; add their images to train, or remove them"
        )
    empty = [own for own in directories if not files[own]]
    if empty and split == "train":
        raise DataError(_without_images(root / split / empty[0], where))
    if len(empty) == len(directories):
        raise DataError(f"{where}: it has no images; the layout is {LAYOUT}")
    if empty:
        logging.warning("%s has no images of %s", where, _several(empty))
    return ImageFolder(
        folder=root,
        split=split,
        directories=tuple(directories),
        files=tuple(files[own] for own in directories),
        categories=Categories(category_names(directories)),
    )


def category_names(directories: list[str]) -> tuple[str, ...]:
    """Return the names of classes: those of ILSVRC-2012 if all are WordNet ids.

    Args:
        directories: names of the directories. An id that is not among the 1,000 stays.
    """
    if not all(_SYNSET.fullmatch(own) for own in directories):
        return tuple(directories)
    names = dict(zip(imagenet_ids(), imagenet_classes(), strict=True))
    return tuple(names.get(own, own) for own in directories)


def is_image_folder(folder: Path) -> bool:
    """Whether a directory has the layout train/<class>/*.jpg, with several classes.

    Pictures beside label maps, train/images and train/masks, are another layout.
    """
    train = folder / "train"
    if not train.is_dir() or (folder / "images").is_dir():
        return False
    directories = _directories(train)
    if any(own.lower() in _PIXELS for own in directories):
        return False
    having = (own for own in directories if _has_image(train / own))
    return len(list(itertools.islice(having, 2))) == 2


def how_to_train(folder: Path) -> str:
    """Return a sentence: what an image folder is, and the command that trains on it."""
    return (
        f"{folder} is an image folder for classification, train/<class>/* with one label "
        "an image; train on it with `python -m fcn_jax.main "
        f"--config=experiments/imagenette_alexnet.py --config.data.folder={folder}`"
    )


def _class_directories(root: Path, split: str) -> list[str]:
    """The directories of a split, sorted.

    Raises:
        DataError: where there are none; says what is there instead.
    """
    directory = root / split
    found = _directories(directory) if directory.is_dir() else []
    if found:
        return found
    if directory.is_dir():
        there = f"{split} holds {_contents(directory)} and no directories of classes"
    else:
        there = f"there is no directory {split} in it; it holds {_contents(root)}"
        inner = [own for own in _directories(root) if (root / own / split).is_dir()]
        if inner:
            there += f" (if {inner[0]} is meant, give {root / inner[0]})"
    raise DataError(f"image folder {root}: {there}; the layout is {LAYOUT}")


def _listed(root: Path, split: str) -> dict[str, tuple[str, ...]]:
    """The images of each directory of a split, sorted; logs how many files are not."""
    files, others = {}, 0
    for own in _class_directories(root, split):
        with os.scandir(root / split / own) as entries:
            every = [entry.name for entry in entries if not entry.is_dir()]
        files[own] = tuple(sorted(name for name in every if _is_image(name)))
        others += len(every) - len(files[own])
    if others:
        logging.info(
            "%s: %d files are no images (%s) or hidden, and are not read",
            *(root / split, others, ", ".join(ENDINGS)),
        )
    return files


def _directories(directory: Path) -> list[str]:
    with os.scandir(directory) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not is_hidden(e.name))


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not is_hidden(name)


def _has_image(directory: Path) -> bool:
    with os.scandir(directory) as entries:
        return any(_is_image(entry.name) for entry in entries)


def _without_images(directory: Path, where: str) -> str:
    return (
        f"{where}: the directory {directory.name} has no image; it holds "
        f"{_contents(directory)}, and images ({', '.join(ENDINGS)}) lie directly in the "
        "directory of their class; put them there, or remove it"
    )


def _contents(directory: Path) -> str:
    """What is in a directory, in a few words."""
    return _several(sorted(own.name for own in directory.iterdir())) or "nothing"


def _several(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
