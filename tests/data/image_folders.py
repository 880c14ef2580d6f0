"""Small image folders of known content."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """`[H, W, 3] uint8`, smooth enough to survive JPEG."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return np.array(
        Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
    )


def write_image_folder(
    root: Path,
    splits: Mapping[str, Mapping[str, Sequence[str]]],
    size: tuple[int, int] = (24, 32),
) -> Path:
    """Write a picture for each file name, `{"train": {"cat": ["1.jpg"]}}`.

    The picture number i of all, counted in the order given, is `picture(i, size)` with
    the height larger by i % 3 pixels.
    """
    number = 0
    for split, classes in splits.items():
        for name, files in classes.items():
            directory = root / split / name
            directory.mkdir(parents=True)
            for file in files:
                pixels = picture(number, (size[0] + number % 3, size[1]))
                kind = "PNG" if file.lower().endswith(".png") else "JPEG"
                Image.fromarray(pixels).save(directory / file, kind)
                number += 1
    return root


def assert_resized(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare two ways to resize: each of two passes may round to the next level.

    The pictures here change by several levels a pixel, so a window that is off by one
    is far outside.
    """
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 2
    assert difference.mean() <= 0.25
