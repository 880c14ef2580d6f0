"""What every format is read to: pictures with what paints their labels."""

import dataclasses
from collections.abc import Callable
from pathlib import PurePosixPath

import numpy as np

from fcn_jax.data.examples import DataError
from fcn_jax.data.labels import Color

Paint = Callable[[int, int], np.ndarray]
"""Gives `[H, W] uint8` class ids, 255 for ignored, of a picture of H x W pixels."""


LONGEST_NAME = 200


def class_name(text: str, where: str) -> str:
    """Return the name of a class, with single blanks.

    Raises:
        DataError: for one that is empty, too long, or has characters that cannot be
            shown.
    """
    name = " ".join(text.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise DataError(
            f"{where}: {text[:60]!r} is no name of a class; it must have 1..{LONGEST_NAME} "
            "characters that can be shown"
        )
    return name


@dataclasses.dataclass(frozen=True)
class Entry:
    """One picture with its annotation.

    Attributes:
        name: the picture's path in the export, or what stands for it.
        picture: reads the bytes of its file, or those that the annotation holds.
        where: names the annotation in messages.
        split: "train", "val", ...; empty where nothing says.
        size: (height, width) of what was annotated; None where the annotation does not
            say.
        paint: paints the label.
    """

    name: PurePosixPath
    picture: Callable[[], bytes]
    where: str
    split: str
    size: tuple[int, int] | None
    paint: Paint


@dataclasses.dataclass(frozen=True)
class Class:
    """A class of the data set to be written.

    Attributes:
        name: as the source gives it.
        origin: what of the source becomes this class, for the table.
        color: of the source; None where it gives none.
    """

    name: str
    origin: str
    color: Color | None = None


@dataclasses.dataclass(frozen=True)
class Export:
    """A source that has been read.

    Attributes:
        format: what it is, for the table.
        entries: the pictures to be written.
        classes: in the order of the ids.
        ignored: what becomes 255, for the table.
        rules: how it was read, (what, rule).
        left_out: (what, why).
        turned: whether the tool shows pictures turned by their EXIF tag; None where
            that is not known.
    """

    format: str
    entries: tuple[Entry, ...]
    classes: tuple[Class, ...]
    ignored: tuple[str, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    turned: bool | None = None
