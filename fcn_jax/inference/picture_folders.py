"""Finding images in files, folders and globs, and counting the files left out."""

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import logging

from fcn_jax.data.decoding.images import PICTURE_FORMATS

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png"),
    *(".tif", ".tiff", ".bmp", ".webp"),
)
_OF_SYSTEMS = ("thumbs.db", "desktop.ini")  # files of the operating system


class Picture(NamedTuple):
    """An image file.

    Attributes:
        file: path of the file.
        stem: path of its results without ending, relative to the output directory; for
            an image in a folder, its path in that folder.
    """

    file: Path
    stem: Path


class Found(NamedTuple):
    """The images that were found.

    Attributes:
        pictures: each image once, in order.
        left_out: number of other files in the folders, by ending.
    """

    pictures: list[Picture]
    left_out: Counter[str]

    def sentence(self) -> str:
        """How many files were left out, by ending; "" for none."""
        if not self.left_out:
            return ""
        endings = ", ".join(
            f"{n} {ending}" for ending, n in self.left_out.most_common()
        )
        return (
            f"{self.left_out.total()} files were left out, since their endings are not "
            f"those of {', '.join(PICTURE_FORMATS)} files: {endings}"
        )


def find_pictures(names: Sequence[str], output: Path) -> Found:
    """Find the images in files, folders (with their subfolders) and globs.

    Hidden files and folders, files of the operating system, and the output directory
    are skipped. A file that is named itself is taken, with any ending.

    Args:
        names: files, folders and globs.
        output: directory of the results.

    Raises:
        ValueError: if a name matches no file or folder, or there is no image.
    """
    found: dict[Path, Path] = {}
    left_out: Counter[str] = Counter()
    root = output.resolve()
    for name in names:
        below = _below(Path(name), root) if Path(name).exists() else None
        own, other = below or _matching(name, root)
        if not own and not other:
            logging.warning("%s holds no picture", name)
        found.update({file: own[file] for file in own if file not in found})
        left_out += other
    result = Found([Picture(*entry) for entry in found.items()], left_out)
    if not found:
        told = f"; {result.sentence()}" if left_out else ""
        raise ValueError(f"there is no picture in {', '.join(names)}{told}")
    return result


def _matching(pattern: str, output: Path) -> tuple[dict[Path, Path], Counter[str]]:
    """The images that a glob matches, and the count of the files left out."""
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise ValueError(
            f"{pattern} is no picture, and no folder or glob of pictures "
            f"({', '.join(PICTURE_FORMATS)})"
        )
    found: dict[Path, Path] = {}
    left_out: Counter[str] = Counter()
    for match in matches:
        own, other = _below(Path(match), output)
        found.update({file: own[file] for file in own if file not in found})
        left_out += other
    return found, left_out


def _below(path: Path, output: Path) -> tuple[dict[Path, Path], Counter[str]]:
    """The image at a path, or the images in the folder at it."""
    if not path.is_dir():
        hidden = _is_hidden(path)
        return (
            ({}, Counter(["hidden"]))
            if hidden
            else ({path: Path(path.stem)}, Counter())
        )
    found: dict[Path, Path] = {}
    left_out: Counter[str] = Counter()
    for file in _files(path, output, set()):
        if file.suffix.lower() in SUFFIXES:
            found[file] = file.relative_to(path).with_suffix("")
        else:
            left_out[file.suffix.lower() or "without ending"] += 1
    return found, left_out


def _files(folder: Path, output: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Files of a folder, then of its subfolders, in order; each folder once."""
    try:
        status = folder.stat()
        entries = sorted(entry for entry in folder.iterdir() if not _is_hidden(entry))
    except OSError as error:
        logging.warning("the pictures in %s are left out (%s)", folder, error.strerror)
        return
    if (status.st_dev, status.st_ino) in seen or folder.resolve() == output:
        return
    seen.add((status.st_dev, status.st_ino))
    folders = [entry for entry in entries if entry.is_dir()]
    yield from (entry for entry in entries if entry not in folders)
    for entry in folders:
        yield from _files(entry, output, seen)


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _OF_SYSTEMS
