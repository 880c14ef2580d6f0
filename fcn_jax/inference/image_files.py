"""Writing the results of inference: label maps, overlays and scores."""

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from fcn_jax.data.labels import IGNORE, VOID_COLOR, Classes
from fcn_jax.inference.picture_folders import Picture
from fcn_jax.report.panels import overlay
from fcn_jax.runtime import atomic


def write_whole(path: Path, save: Callable[[io.BytesIO], None]) -> None:
    """Write a file atomically; its directory is created if it is missing."""
    content = io.BytesIO()
    save(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, content.getvalue())


def write_scores(path: Path, scores: np.ndarray) -> None:
    """Write an array as .npy, atomically."""
    write_whole(path, lambda file: np.save(file, scores))


def write_label_map(path: Path, labels: np.ndarray, classes: Classes) -> None:
    """Write class ids `[H, W] uint8` as a palette PNG, atomically."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.palette
    palette[IGNORE] = VOID_COLOR
    picture = Image.fromarray(labels)
    picture.putpalette(palette.tobytes())
    write_whole(path, partial(picture.save, format="PNG"))


def write_overlay(
    path: Path, image: np.ndarray, labels: np.ndarray, classes: Classes
) -> None:
    """Write the class colours over an image `[H, W, 3] uint8` as PNG, atomically."""
    picture = Image.fromarray(overlay(image, labels, classes))
    write_whole(path, partial(picture.save, format="PNG"))


def refuse_overwriting(
    pictures: Sequence[Picture], output: Path, ends: Sequence[str]
) -> None:
    """Refuse results that would overwrite an image, or each other.

    Args:
        pictures: the images, with the stems of their results.
        output: directory of the results.
        ends: endings of the names of an image's results, after the stem.
    """
    sources = {picture.file.resolve() for picture in pictures}
    root = output.resolve()
    targets: dict[Path, Path] = {}
    for picture in pictures:
        for end in ends:
            target = root / f"{picture.stem}{end}"
            if target in sources:
                raise ValueError(
                    f"the result of {picture.file} would overwrite the picture {target}; "
                    "give another --output directory"
                )
            other = targets.setdefault(target, picture.file)
            if other is not picture.file:
                raise ValueError(
                    f"the results of {other} and {picture.file} would both be {target}, "
                    "so one would overwrite the other; rename or leave out one of them"
                )
