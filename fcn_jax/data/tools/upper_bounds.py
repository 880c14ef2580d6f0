"""Upper bounds on mean IU: how much of a label map a coarse net could give at best.

The truth is made coarse and brought back, and scored as a prediction (CVPR 2015, appendix
A; PAMI, section 6.3). The papers do not say how it was resampled. Here the map of each
class, 0 or 1, is averaged over a triangle of twice the factor (bilinear resizing with
antialiasing; the map goes on beyond its border as its mirror image), resized back
bilinearly, and the largest value wins. Pixels that are ignored become background first,
and are not scored.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from fcn_jax.data.decoding.images import read_label
from fcn_jax.data.examples import DataError, Source
from fcn_jax.data.labels import IGNORE
from fcn_jax.data.tools.scan import Progress, scan
from fcn_jax.metrics.confusion import ConfusionMatrix
from fcn_jax.runtime.cli import Parser
from fcn_jax.runtime.locations import located

PUBLISHED = {128: 50.9, 64: 73.3, 32: 86.1, 16: 92.8, 8: 96.4, 4: 98.5}
"""Factor -> mean IU in percent, of the papers' 736 images."""

VOID = ("background", "wrong", "none")
"""What ignored pixels are before the map is made coarse: class 0; a class that competes,
and is wrong where it wins; or of no class."""

_IDS = IGNORE + 1
Key = TypeVar("Key")


def resampled(labels: np.ndarray, factor: int, void: str = "background") -> np.ndarray:
    """Make a label map coarse, and bring it back to its size.

    Args:
        labels: `[H, W] uint8`, 255 is ignored.
        factor: rows and columns are divided by it, rounded, and at least 1.
        void: one of `VOID`.

    Returns:
        `[H, W] uint8`; 255 where that wins, which it can with `void="wrong"` alone, or
        where no pixel has a class.
    """
    height, width = labels.shape
    coarse = (max(1, round(width / factor)), max(1, round(height / factor)))
    beyond = 1 + max(width // coarse[0], height // coarse[1])  # reach of the triangle
    inside = (beyond, beyond, beyond + width, beyond + height)
    bilinear = Image.Resampling.BILINEAR
    if void == "background":
        labels = np.where(labels == IGNORE, 0, labels)
    classes = [c for c in np.unique(labels) if c != IGNORE or void == "wrong"]
    best = np.full((height, width), IGNORE, np.uint8)
    highest = np.zeros((height, width), np.float32)
    for own in classes:
        fine = np.pad((labels == own).astype(np.float32), beyond, mode="symmetric")
        share = Image.fromarray(fine).resize(coarse, bilinear, box=inside)
        values = np.asarray(share.resize((width, height), bilinear))
        wins = values > highest
        best[wins] = own
        highest[wins] = values[wins]
    return best


def upper_bounds(
    read: Callable[[Key], np.ndarray],
    keys: Sequence[Key],
    factors: Sequence[int],
    void: str = "background",
    report: Progress | None = None,
) -> dict[int, ConfusionMatrix]:
    """Score coarse label maps as predictions of the fine ones.

    Args:
        read: label map `[H, W] uint8` of a key, 255 is ignored; called in threads.
        keys: one for each label map.
        factors: each at least 1.
        void: one of `VOID`.
        report: called after each label map.

    Returns:
        Factor -> pixels `[256, 256]`, true class by row; row 255 is empty.

    Raises:
        ValueError: for another factor or void.
    """
    if not factors or min(factors) < 1:
        raise ValueError(f"factors are {list(factors)}; each must be at least 1")
    if void not in VOID:
        raise ValueError(f"void is {void!r}; it must be one of {', '.join(VOID)}")

    def counts(key: Key) -> list[np.ndarray]:
        labels = read(key)
        scored = labels != IGNORE
        truth = labels[scored].astype(np.int64) * _IDS
        return [
            np.bincount(
                truth + resampled(labels, factor, void)[scored], minlength=_IDS**2
            ).reshape(_IDS, _IDS)
            for factor in factors
        ]

    found = {factor: ConfusionMatrix.empty(_IDS) for factor in factors}
    for own in scan(counts, keys, report):
        for factor, cells in zip(factors, own, strict=True):
            found[factor] = found[factor].merge(cells)
    return found


def add_bounds(commands: "argparse._SubParsersAction[Parser]") -> Parser:
    """Add the command `bounds` to those of a parser; returns its own."""
    bounds = commands.add_parser(
        "bounds", help="mean IU of label maps that were made coarse: upper bounds"
    )
    add = bounds.add_argument
    add(
        "--labels", default="", help="a directory of label PNGs, in place of a data set"
    )
    add("--split", default="val", help="one of the data set's splits")
    add(
        "--factors",
        default=",".join(map(str, PUBLISHED)),
        help="by which rows and columns are divided, with commas between them",
    )
    add("--void", choices=VOID, default=VOID[0], help="what ignored pixels become")
    return bounds


def run_bounds(
    arguments: argparse.Namespace, source: Source | None, report: Progress
) -> dict[int, ConfusionMatrix]:
    """Run the command on a data set, or else on a directory of label maps.

    Raises:
        ValueError: for factors that are no whole numbers of 1 or more.
        DataError: where there are no label maps, or one is damaged.
    """
    words = arguments.factors.split(",")
    if not all(word.isdecimal() for word in words):
        raise ValueError(
            f"--factors is {arguments.factors!r}; give whole numbers with commas between "
            "them, as 32,16,8"
        )
    factors = [int(word) for word in words]
    if source is not None:
        key = next(iter(source.outputs))
        return upper_bounds(
            lambda index: source[index].labels[key],
            range(len(source)),
            factors,
            arguments.void,
            report,
        )
    folder = Path(located(arguments.labels))
    files = sorted(folder.glob("*.png"))
    if not files:
        raise DataError(f"{folder} has no *.png; give a directory of label maps")
    return upper_bounds(
        lambda file: read_label(file, where=str(file)),
        files,
        factors,
        arguments.void,
        report,
    )


def print_bounds(found: dict[int, ConfusionMatrix], title: str, to: Console) -> None:
    """Print a row for each factor, beside what the papers have for theirs."""
    table = Table("factor", "mean IU", "pixel accuracy", "published mean IU")
    for factor, matrix in found.items():
        scores = matrix.scores("paper")  # 255 is no class that counts
        published = PUBLISHED.get(factor)
        table.add_row(
            str(factor),
            f"{scores['mean_iu']:.1%}",
            f"{scores['pixel_accuracy']:.1%}",
            f"{published} %" if published else "",
        )
    print(title, file=to.file)
    to.print(table)
    print("published: the papers' 736 images of PASCAL VOC, seg11valid", file=to.file)
