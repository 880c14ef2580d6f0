"""A segmentation task made of photographs that have one label each.

A mosaic has two to four regions, each filled with a photograph of another class; the label
of a pixel is the class of its photograph. So the classes are objects, and labels cost
nothing: it shows what a classifier knows that an FCN can use. Where regions meet, labels
are ignored, as at the borders of objects in PASCAL VOC.
"""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fcn_jax.data.importing.importer import Bars
from fcn_jax.data.importing.writing import check_target, write_classes
from fcn_jax.data.labels import IGNORE, VOID_COLOR, Classes, voc_palette
from fcn_jax.data.pipeline.resizing import resized_image
from fcn_jax.data.sources.image_folder import ImageFolder, open_image_folder
from fcn_jax.data.tools.scan import Progress, scan
from fcn_jax.runtime import atomic
from fcn_jax.runtime.cli import Parser
from fcn_jax.runtime.locations import located

MOST_REGIONS = 4
BORDER = 2.0
"""Pixels by which distances to two centres differ where labels are ignored."""
_WAVES = 0.25  # by how much borders are bent, in sides of the mosaic
SPLITS = ("train", "val")


def add_mosaics(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the command `mosaics` to those of a parser."""
    mosaics = commands.add_parser(
        "mosaics", help="make a segmentation task of an image folder"
    )
    add = mosaics.add_argument
    add("images", metavar="DIR", help="val/<class>/* of it are used, and train's names")
    add("target", metavar="TARGET", help="folder data set that is written")
    add("--train", type=int, default=100, help="mosaics to learn from")
    add("--val", type=int, default=100, help="mosaics to score, of other photographs")
    add("--side", type=int, default=240, help="rows and columns of a mosaic")
    add("--seed", type=int, default=0, help="of all that is random")


def run_mosaics(arguments: argparse.Namespace, bars: Bars) -> str:
    """Run the command; returns what it did, in a sentence."""
    images, target = Path(located(arguments.images)), Path(located(arguments.target))
    check_target(images, target)
    counts = (arguments.train, arguments.val)
    if arguments.seed < 0:
        raise ValueError(f"--seed is {arguments.seed}; it must be at least 0")
    with bars(str(images)) as report:
        write_mosaics(
            images,
            target,
            counts=counts,
            side=arguments.side,
            seed=arguments.seed,
            report=report,
        )
    return f"{target} has {counts[0]} mosaics of train and {counts[1]} of val"


def write_mosaics(
    images: Path,
    target: Path,
    *,
    counts: tuple[int, int],
    side: int,
    seed: int = 0,
    report: Progress | None = None,
) -> None:
    """Write a folder data set of mosaics.

    Args:
        images: an image folder, of whose split val the photographs are taken, so that a
            classifier that learnt from train has seen none. Every second one of a class
            is for mosaics of train, the others for those of val.
        target: the folder data set; must not be there, or be empty.
        counts: mosaics of train and of val.
        side: rows and columns of a mosaic.
        seed: of all that is random. A mosaic depends on it, its split and its number
            alone: a larger count begins with the same ones.
        report: called after each mosaic.

    Raises:
        ValueError: for counts or a side below 1, or a class with fewer than two
            photographs.
        DataError: if the images cannot be read, or classes.txt cannot hold the names of
            the classes; nothing is left of the target then.
    """
    if min(counts) < 1 or side < 1:
        raise ValueError(
            f"there would be {counts[0]} and {counts[1]} mosaics of {side} pixels a side; "
            "each must be at least 1"
        )
    source = open_image_folder(images, "val")
    names = source.categories.names
    if len(names) > IGNORE:
        raise ValueError(
            f"{images} has {len(names)} classes; a label map has at most {IGNORE}"
        )
    members: list[list[int]] = [[] for _ in names]
    for index in range(len(source)):
        members[source.category(index)].append(index)
    few = [i for i, own in enumerate(members) if len(own) < 2]
    if few:
        raise ValueError(
            f"val of {images} has too few photographs of {names[few[0]]}, "
            f"{len(members[few[0]])}; two are needed, one for train and one for val"
        )
    classes = Classes(_short_names(names), voc_palette(len(names)))
    with atomic.whole_directory(target) as root:
        for name in ("images", "labels", "splits"):
            (root / name).mkdir()
        write_classes(root / "classes.txt", classes, "to the directories")
        for number, (split, count) in enumerate(zip(SPLITS, counts, strict=True)):
            chosen = [own[number::2] for own in members]
            draw = functools.partial(_write, root, source, chosen, number, side, seed)
            stems = list(scan(draw, range(count), report))
            text = "".join(f"{stem}\n" for stem in stems)
            (root / "splits" / f"{split}.txt").write_text(text, encoding="utf-8")


def _short_names(names: Sequence[str]) -> tuple[str, ...]:
    """The first of each class's names, where no other class has it."""
    short = [name.split(",")[0] for name in names]
    return tuple(
        own if short.count(own) == 1 else name
        for own, name in zip(short, names, strict=True)
    )


def _write(
    root: Path,
    source: ImageFolder,
    chosen: list[list[int]],
    split: int,
    side: int,
    seed: int,
    index: int,
) -> str:
    """Draw a mosaic and write both its files; returns the stem."""
    rng = np.random.default_rng([seed, split, index])
    count = int(rng.integers(2, min(MOST_REGIONS, len(chosen)), endpoint=True))
    classes = rng.permutation(len(chosen))[:count]
    regions, border = draw_regions(rng, count, side)
    pixels = np.zeros((side, side, 3), np.uint8)
    labels = np.zeros((side, side), np.uint8)
    for region, label in enumerate(classes):
        own = regions == region
        photograph = int(rng.choice(chosen[label]))
        fill(pixels, own, source[photograph].inputs["color"], rng)
        labels[own] = label
    labels[border] = IGNORE
    stem = f"{SPLITS[split]}{index:04}"
    Image.fromarray(pixels).save(root / "images" / f"{stem}.png")
    mask = Image.fromarray(labels)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(chosen)] = voc_palette(len(chosen))
    palette[IGNORE] = VOID_COLOR
    mask.putpalette(palette.tobytes())
    mask.save(root / "labels" / f"{stem}.png")
    return stem


def draw_regions(
    rng: np.random.Generator, count: int, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divide a square into regions with bent borders, each around a centre.

    Args:
        rng: the random generator.
        count: of the regions.
        side: of the square, in pixels.

    Returns:
        `[side, side] int`, the region of each pixel; `[side, side] bool`, where the
        nearest two centres are about as near.
    """
    centres = _centres(rng, count) * side
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    rows += _waves(rng, side)
    columns += _waves(rng, side)
    distances = np.stack([np.hypot(rows - y, columns - x) for y, x in centres])
    nearest = np.sort(distances, axis=0)
    return distances.argmin(axis=0), nearest[1] - nearest[0] < BORDER


def fill(
    pixels: np.ndarray, own: np.ndarray, image: np.ndarray, rng: np.random.Generator
) -> None:
    """Fill a region with an image that just covers it, mirrored in half of the cases.

    Args:
        pixels: `[H, W, 3] uint8`, changed in place.
        own: `[H, W] bool`, the region.
        image: `[h, w, 3] uint8`.
        rng: draws which part of the image is seen.
    """
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    if not len(rows):
        return
    height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    factor = max(height / image.shape[0], width / image.shape[1])
    size = (
        max(height, round(image.shape[0] * factor)),
        max(width, round(image.shape[1] * factor)),
    )
    large = np.asarray(resized_image(Image.fromarray(image), size))
    if rng.integers(2):
        large = large[:, ::-1]
    top = int(rng.integers(0, size[0] - height, endpoint=True))
    left = int(rng.integers(0, size[1] - width, endpoint=True))
    window = large[top : top + height, left : left + width]
    at = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    pixels[at][own[at]] = window[own[at]]


def _centres(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw centres in the unit square that lie apart: the best of some draws."""
    draws = rng.uniform(0.1, 0.9, (20, count, 2))
    gaps = np.linalg.norm(draws[:, :, None] - draws[:, None], axis=-1)
    gaps += 9 * np.eye(count)
    return draws[gaps.min(axis=(1, 2)).argmax()]


def _waves(rng: np.random.Generator, side: int) -> np.ndarray:
    """Draw smooth offsets `[side, side]` in pixels, about `_WAVES` of the side."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (5, 5)).astype(np.float32))
    smooth = coarse.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float64) * (_WAVES * side / 2)
