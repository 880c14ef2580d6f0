"""The files of a directory that was given to be imported.

Everything that an annotation names is looked up here and nowhere else, so no path of a
file leads out of the directory.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from fcn_jax.data.examples import DataError

PICTURES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"),
)
_SYSTEM = ("__macosx", "thumbs.db", "desktop.ini")


class Tree:
    """The files under a directory, as relative paths in sorted order.

    Hidden files and those of the system are left out, and links within are followed to
    files, not to directories.

    Attributes:
        root: the directory.
        files: relative paths.

    Raises:
        DataError: where it is no directory, or a link in it leads out of it.
    """

    def __init__(self, root: Path):
        if not root.is_dir():
            raise DataError(
                f"{root} is no directory; give the directory of an export, unpacked"
            )
        self.root = root
        self.files = tuple(sorted(_walk(root)))
        self._known = {_composed(file): file for file in self.files}
        self._known |= {file: file for file in self.files}
        self._by_name: dict[str, list[PurePosixPath]] = {}
        for file in self.files:
            self._by_name.setdefault(_composed(file).name, []).append(file)

    def has(self, file: PurePosixPath) -> bool:
        """Tell whether there is such a file."""
        return file in self._known

    def path(self, file: PurePosixPath) -> Path:
        """Return where one of the files is."""
        return self.root / file

    def pictures(self) -> list[PurePosixPath]:
        """Return the files whose ending is a picture's."""
        return self.ending(*PICTURES)

    def ending(self, *endings: str) -> list[PurePosixPath]:
        """Return the files with one of these endings, in lower case."""
        return [file for file in self.files if file.suffix.lower() in endings]

    def find(self, name: str, *, near: PurePosixPath, where: str) -> PurePosixPath:
        """Return the file that an annotation names.

        Looked for beside the annotation, then from the root, then as the only file whose
        path ends like this; names in both forms of Unicode (NFC, NFD) are one.

        Args:
            name: a path as the annotation has it, with / or backslashes.
            near: the directory of the annotation.
            where: names the annotation in messages.

        Raises:
            DataError: for an absolute path, one that leaves the directory, one that no
                file has, or one that fits several.
        """
        parts = _parts(name, where)
        for base in (near.parts, ()):
            file = _resolved((*base, *parts))
            found = file and (self._known.get(file) or self._known.get(_composed(file)))
            if found:
                return found
        if _resolved((*near.parts, *parts)) is None:
            raise DataError(
                f"{where} names the file {name!r}, which is outside of {self.root}; only "
                "files within are read, so import from a directory that holds both"
            )
        tail = tuple(part for part in parts if part not in (".", ".."))
        tail = _composed(PurePosixPath(*tail)).parts
        fits = [
            file
            for file in self._by_name.get(tail[-1] if tail else "", ())
            if _composed(file).parts[-len(tail) :] == tail
        ]
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise DataError(
                f"{where} names the file {name!r}, and both {fits[0]} and {fits[1]} fit; "
                "remove or rename one"
            )
        raise DataError(
            f"{where} names the file {name!r}, which is not in {self.root}; put it there "
            "(CVAT and others export pictures only when asked to)"
        )


def named(files: Sequence[object], limit: int = 3) -> str:
    """Return `3 (a, b, c)`; of more than `limit` the first ones."""
    some = ", ".join(str(file) for file in files[:limit])
    return f"{len(files)} ({some}{', ...' if len(files) > limit else ''})"


def endings(files: Iterable[PurePosixPath]) -> str:
    """Return `3 .xml, 1 .txt`: how many files there are of each ending."""
    counts: dict[str, int] = {}
    for file in files:
        ending = file.suffix.lower() or "without ending"
        counts[ending] = counts.get(ending, 0) + 1
    return ", ".join(f"{count} {ending}" for ending, count in sorted(counts.items()))


def _walk(root: Path) -> Iterable[PurePosixPath]:
    inside = root.resolve()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not _hidden(name)]
        at = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in [*folders, *names]:
            path = Path(folder) / name
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise DataError(
                    f"{path} is a link that leads out of {root}; only files within are "
                    "read, so put the file itself there"
                )
        for name in names:
            if not name.isprintable():
                raise DataError(
                    f"{folder!r} has a file {name!r}, whose name is not UTF-8 or has "
                    "characters that cannot be shown; rename it"
                )
            if not _hidden(name) and (Path(folder) / name).is_file():
                yield at / name


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM


def _parts(name: str, where: str) -> tuple[str, ...]:
    slashed = name.replace("\\", "/")
    if slashed.startswith("/") or re.match("[A-Za-z]:", slashed):
        raise DataError(
            f"{where} names the file {name!r}, an absolute path; only files within the "
            "imported directory are read, so make it relative"
        )
    return tuple(part for part in slashed.split("/") if part)


def _composed(file: PurePosixPath) -> PurePosixPath:
    """Return a path in Unicode's form NFC."""
    return PurePosixPath(unicodedata.normalize("NFC", str(file)))


def _resolved(parts: Sequence[str]) -> PurePosixPath | None:
    """Return a relative path without . and ..; None where it leaves the root."""
    kept: list[str] = []
    for part in parts:
        if part == ".." and not kept:
            return None
        if part == "..":
            kept.pop()
        elif part != ".":
            kept.append(part)
    return PurePosixPath(*kept)
