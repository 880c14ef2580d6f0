"""The files of images/ and labels/ by stem, and the files that are not read."""

import dataclasses
import functools
import os
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.text_lines import has_unseen

IMAGE_ENDINGS = (".jpg", ".jpeg", ".jfif", ".png")
LABEL_ENDINGS = (".png",)

_PICTURES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp")
_PICTURES += (".webp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".heic", ".heif")
_PICTURES += (".avif", ".tga", ".npy", ".npz", ".mat", ".exr", ".dcm")
_SIDECARS = (".json", ".xml", ".txt")  # annotations from which no labels are made

_MADE_BY_SYSTEMS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")
_MADE_BY_SYSTEMS += ("__macosx", "@eadir", "$recycle.bin", "lost+found")

# What tools append to, or write before, the stem of the image.
_MARKS = ("mask", "masks", "label", "labels", "labelids", "labeltrainids", "gt", "seg")
_MARKS += ("segmentation", "gtfine_labelids", "gtfine_labeltrainids", "gtfine_color")
_MARKS += ("annotation", "annot", "groundtruth", "ground_truth", "l", "id", "ids", "m")
_MARKS += (
    "leftimg8bit",
    "image",
    "img",
    "rgb",
    "color",
    "instanceids",
    "pseudo",
    "sat",
)


def is_hidden(name: str) -> bool:
    """Whether a file was added by an operating system or a program."""
    return name.startswith(".") or name.lower() in _MADE_BY_SYSTEMS


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a subdirectory.

    Attributes:
        name: of the subdirectory, "images" or "labels".
        files: those that are read, by stem (in Unicode's form NFC) in sorted order.
        unread: other pictures and annotations, by stem.
        problems: one sentence each.
        there: whether there is such a subdirectory.
    """

    name: str
    files: Mapping[str, Path]
    unread: Mapping[str, Path]
    problems: tuple[str, ...]
    there: bool = True

    def near(self, stem: str) -> str:
        """The remedy where a file is there that `stem` could mean; "" where none is."""
        other = self.unread.get(stem)
        if other is not None:
            return (
                f"{self.name}/{other.name} is there and is not read; "
                f"{_conversion(self.name, other)}"
            )
        own = self._by_core.get(_without_marks(stem))
        if own is None:
            return ""
        return (
            f"{self.name}/{self.files[own].name} is near: if it is meant, give it the "
            f"stem {stem} (`python -m fcn_jax.data import` does so for a whole folder)"
        )

    @functools.cached_property
    def _by_core(self) -> dict[str, str]:
        return {_without_marks(stem): stem for stem in list(self.files)[::-1]}


def list_files(folder: Path, name: str, endings: tuple[str, ...]) -> Listing:
    """The files of a subdirectory, without hidden ones.

    Raises:
        DataError: where the subdirectory is missing.
    """
    directory = folder / name
    if not directory.is_dir():
        raise DataError(f"there is no directory {directory}{_offer(folder, name)}")
    files: dict[str, Path] = {}
    unread: dict[str, Path] = {}
    problems = []
    with os.scandir(directory) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = directory / entry.name
        ending = path.suffix.lower()
        if is_hidden(entry.name):
            continue
        if has_unseen(entry.name):
            problems.append(
                f"{name}/ has a file whose name is not UTF-8 or cannot be shown, "
                f"{os.fsencode(entry.name)!r}; rename it"
            )
        elif entry.is_dir():
            problems += _nested(path, name)
        elif ending in endings:
            stem = unicodedata.normalize("NFC", path.stem)
            problems += _clash(name, path, files.setdefault(stem, path))
            if not entry.is_file():
                problems.append(
                    f"{name}/{path.name} is no file, or a link to one that is not there; "
                    "put the file in its place"
                )
        elif ending in _PICTURES or (ending in _SIDECARS and name == "labels"):
            unread[unicodedata.normalize("NFC", path.stem)] = path
    return Listing(name, files, unread, tuple(problems))


def unread_problems(listing: Listing, told: Collection[str]) -> list[str]:
    """Pictures whose endings are not read.

    Args:
        listing: of the subdirectory.
        told: stems whose problems name these files already.
    """
    return [
        f"{listing.name}/{path.name} is not read, since its ending is not "
        f"{' or '.join(_endings(listing.name))}; {_conversion(listing.name, path)}"
        for stem, path in listing.unread.items()
        if path.suffix.lower() not in _SIDECARS
        and (stem in listing.files or stem not in told)
    ]


def _endings(name: str) -> tuple[str, ...]:
    return IMAGE_ENDINGS if name == "images" else LABEL_ENDINGS


def _conversion(name: str, path: Path) -> str:
    if name == "labels" and path.suffix.lower() in (".jpg", ".jpeg", ".jpe", ".jfif"):
        return "JPEG changes ids, so save labels as PNG, from what they were made of"
    return "convert it to PNG, or move it away"


def _clash(name: str, path: Path, other: Path) -> list[str]:
    if other == path:
        return []
    label = (
        "move it into labels/ if it is the label, else remove or rename one"
        if name == "images" and path.suffix.lower() == ".png"
        else "remove or rename one"
    )
    return [f"{name}/{other.name} and {path.name} have the same stem; {label}"]


def _nested(directory: Path, name: str) -> list[str]:
    """A sentence for a subdirectory with pictures."""
    for root, directories, files in os.walk(directory):
        directories[:] = [own for own in directories if not is_hidden(own)]
        for file in files:
            if Path(file).suffix.lower() in _PICTURES and not is_hidden(file):
                return [
                    f"{name}/{directory.name}/ holds pictures, as "
                    f"{(Path(root) / file).relative_to(directory.parents[1])}, and only "
                    f"those directly in {name}/ are read; bring them there, under "
                    "names that differ (`python -m fcn_jax.data import` does so)"
                ]
    return []


def _offer(folder: Path, name: str) -> str:
    """The subdirectories that could be meant by one that is missing."""
    there = [
        own.name
        for own in sorted(folder.iterdir())
        if own.name not in ("images", "labels") and own.is_dir() and _has_pictures(own)
    ]
    inner = [
        own
        for own in sorted(folder.iterdir())
        if not is_hidden(own.name) and (own / name).is_dir()
    ]
    if len(inner) == 1:
        return (
            f" (there is {inner[0] / name}: if it is meant, give the folder {inner[0]})"
        )
    near = (
        f" (there is {', '.join(there[:5])}: rename it if it is meant)" if there else ""
    )
    return (
        f"{near}; a folder data set has images/ (JPEG or PNG), labels/ (PNG of the same "
        "stems), classes.txt and optionally splits/train.txt and splits/val.txt"
    )


def _has_pictures(directory: Path) -> bool:
    with os.scandir(directory) as entries:
        return any(Path(entry.name).suffix.lower() in _PICTURES for entry in entries)


def _without_marks(stem: str) -> str:
    text = stem.lower()
    for mark in sorted(_MARKS, key=len, reverse=True):
        for separator in ("_", "-", ".", " "):
            text = text.removesuffix(f"{separator}{mark}").removeprefix(
                f"{mark}{separator}"
            )
    return text
