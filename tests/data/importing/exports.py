"""Exports of tools and common trees, written from known label maps."""

import base64
import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fcn_jax.data.importing.export import Export
from fcn_jax.data.importing.importer import import_folder
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.table import rows
from fcn_jax.data.labels import voc_palette

SIZE = (9, 14)  # height, width: never equal, so that exchanged axes fail
FLAT_PALETTE = [level for color in voc_palette(256) for level in color]


def label_map(seed: int, classes: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """`[H, W] uint8`: every id 0..classes-1 occurs."""
    ids = np.random.default_rng(seed).integers(0, classes, size, dtype=np.uint8)
    ids.flat[:classes] = range(classes)
    return ids


def label_maps(count: int = 6, classes: int = 2) -> dict[str, np.ndarray]:
    """Label maps by the stem of their pictures."""
    return {f"pic{i}": label_map(i, classes) for i in range(count)}


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """`[H, W, 3] uint8`, another one for each seed."""
    rng = np.random.default_rng(1000 + seed)
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray, palette: Sequence[int] = ()) -> None:
    """Writes pixels in the format of the ending, with folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(list(palette))
    image.save(path)


def save_pictures(folder: Path, maps: dict[str, np.ndarray], ending: str = ".png"):
    """A picture for each label map."""
    for seed, (stem, ids) in enumerate(maps.items()):
        save(folder / f"{stem}{ending}", picture(seed, (ids.shape[0], ids.shape[1])))


def write_json(path: Path, record: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def base64_png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def imported(source: Path, **options: object) -> tuple[Path, dict[str, str]]:
    """Imports a tree beside it; the target, and the table."""
    target = source.with_name(f"{source.name}-imported")
    export, written = import_folder(
        source, target, Options(**options), lambda _: contextlib.nullcontext()
    )
    assert isinstance(export, Export)
    return target, dict(rows(export, written))


def labels(target: Path) -> dict[str, np.ndarray]:
    """The label maps that were written, as Pillow reads them."""
    found = {}
    for path in sorted((target / "labels").iterdir()):
        with Image.open(path) as image:
            assert image.mode == "P"
            found[path.stem] = np.array(image)
    return found


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    """Asserts that label maps are equal."""
    assert sorted(found) == sorted(wanted)
    for stem, ids in wanted.items():
        np.testing.assert_array_equal(found[stem], ids, err_msg=stem)


def names(target: Path) -> list[str]:
    """The class names of a target, whose lines end in three levels."""
    text = (target / "classes.txt").read_text()
    return [line.rsplit(" ", 3)[0] for line in text.splitlines()]


def split(target: Path, name: str) -> list[str]:
    """The stems of a split list."""
    return (target / "splits" / f"{name}.txt").read_text().split()
