"""A folder data set of drawn pictures, as large in pixels and bytes as PASCAL VOC's."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from fcn_jax.data.labels import VOC

SHARES = ((3, 4), (2, 3), (4, 3))
"""Height to width of the pictures: 375x500, 333x500 and 500x375 on 500 x 500."""


def sizes(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of the pictures for a canvas; the largest fill it."""
    found = []
    for rows, columns in SHARES:
        factor = min(height / rows, width / columns)
        found.append((int(rows * factor), int(columns * factor)))
    return tuple(found)


def draw_folder(folder: Path, count: int, canvas: tuple[int, int]) -> None:
    """Pictures with smooth and detailed areas, JPEG of quality 90, with PNG labels.

    Args:
        folder: the data set; its split "val" holds the pictures.
        count: of the pictures.
        canvas: rows and columns that hold them all.
    """
    rng = np.random.default_rng(0)
    for part in ("images", "labels", "splits"):
        (folder / part).mkdir(parents=True)
    own = sizes(*canvas)
    for index in range(count):
        height, width = own[index % len(own)]
        _draw_image(rng, height, width).save(
            folder / "images" / f"{index}.jpg", quality=90
        )
        _draw_label(rng, height, width).save(folder / "labels" / f"{index}.png")
    (folder / "classes.txt").write_text("\n".join(VOC.names) + "\n")
    names = "".join(f"{index}\n" for index in range(count))
    (folder / "splits" / "val.txt").write_text(names)
    Image.new("RGB", (8, 8)).save(folder / "images" / "other.png")
    _draw_label(rng, 8, 8).save(folder / "labels" / "other.png")
    (folder / "splits" / "train.txt").write_text("other\n")


def _draw_image(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    cells = (max(1, height // 25), max(1, width // 25), 3)
    coarse = Image.fromarray(rng.integers(0, 256, cells, dtype=np.uint8))
    smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.integers(0, 40, (height, width, 3), dtype=np.uint8)
    detail = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1))
    pixels = np.asarray(smooth) // 4 * 3 + np.asarray(detail)
    return Image.fromarray(pixels.astype(np.uint8))


def _draw_label(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    palette = np.zeros((256, 3), np.uint8)
    palette[:21] = VOC.palette
    cells = (max(1, height // 50), max(1, width // 50))
    ids = Image.fromarray(rng.integers(0, 21, cells, dtype=np.uint8))
    label = ids.resize((width, height), Image.Resampling.NEAREST)
    label.putpalette(palette.tobytes())
    return label
