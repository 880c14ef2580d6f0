"""NYUDv2 from the official nyu_depth_v2_labeled.mat, a MATLAB 7.3 (HDF5) file.

MATLAB's axes come reversed. The pictures are cut as Gupta's cvpr13 code cuts them,
rows 45..469 and columns 40..599, and the 894 raw classes become 40 by the table of
ankurhanda/nyuv2-meta-data, classMapping40.mat.
"""

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from absl import logging
from PIL import Image

from fcn_jax.data.builders.dataset import Item
from fcn_jax.data.builders.mat5 import read_array
from fcn_jax.data.examples import DataError
from fcn_jax.data.hha import NYUD as CAMERA
from fcn_jax.data.labels import IGNORE

FILE = "nyu_depth_v2_labeled.mat"
ORIGIN = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
META = "https://github.com/ankurhanda/nyuv2-meta-data"
ROWS, COLUMNS = slice(45, 470), slice(40, 600)
FIRST_ID = 5000
CLASSES = 40
OWN_CLASS = 37  # ids up to it are one raw class each


def read_labeled(
    path: Path,
    places: Sequence[Path],
    ids: Mapping[str, Sequence[str]],
    with_hha: Callable[..., bytes],
) -> dict[str, list[Item]]:
    """The examples of the labeled file.

    Args:
        path: of the file.
        places: directories that may hold splits.mat and classMapping40.mat.
        ids: the lists of train, val and test, where there are any.
        with_hha: encodes an encoded depth map.

    Raises:
        DataError: for files or fields that are missing or do not belong together.
    """
    count = _check(path)
    table = _table(_meta(places, "classMapping40.mat"))
    splits = _meta(places, "splits.mat")
    found = {
        split: [str(FIRST_ID + n) for n in _indices(splits, field, count)]
        for split, field in (("trainval", "trainNdxs"), ("test", "testNdxs"))
    }
    if ids:
        both = sorted([*ids["train"], *ids["val"]])
        if both != sorted(found["trainval"]) or sorted(ids["test"]) != sorted(
            found["test"]
        ):
            raise DataError(
                "train.txt, val.txt and test.txt do not name the images of splits.mat; "
                "take them from one origin"
            )
        found = {"train": list(ids["train"]), "val": list(ids["val"]), **found}
    else:
        logging.info("without train.txt and val.txt there are only trainval and test")
    return {
        split: [_item(path, name, table, with_hha) for name in names]
        for split, names in found.items()
    }


def _check(path: Path) -> int:
    """Number of images; refuses a file without the fields that are needed."""
    with _opened(path) as file:
        shapes = {}
        for field, axes in (("images", 4), ("depths", 3), ("labels", 3)):
            if field not in file or file[field].ndim != axes:
                raise DataError(
                    f"{path} has no {field} of {axes} axes; get it again from {ORIGIN}"
                )
            shapes[field] = file[field].shape
        counts = {shape[0] for shape in shapes.values()}
        if len(counts) != 1 or shapes["labels"][1:] != (640, 480):
            raise DataError(
                f"{path} has the shapes {shapes}, which are not of pictures of 640 x "
                f"480; get it again from {ORIGIN}"
            )
        return int(counts.pop())


def _opened(path: Path) -> Any:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error}); get it again from {ORIGIN}"
        ) from error


def _meta(places: Sequence[Path], name: str) -> Path:
    for place in places:
        if (place / name).is_file():
            return place / name
    raise DataError(
        f"{places[0] / name} is missing; put {name} of {META} there, or name its "
        "directory with --lists"
    )


def _indices(path: Path, field: str, count: int) -> list[int]:
    remedy = f"take it from {META}"
    found = read_array(path, field, remedy=remedy).astype(int).ravel().tolist()
    outside = [n for n in found if not 1 <= n <= count]
    if outside or len(set(found)) != len(found) or not found:
        raise DataError(
            f"{path}: {field} names {len(found)} images, {len(outside)} of them outside "
            f"1..{count} or some twice; {remedy}"
        )
    return sorted(found)


def _table(path: Path) -> np.ndarray:
    """`[raw classes + 1] uint8`: the id here of every raw label, 0 being none."""
    remedy = f"take it from {META}"
    mapped = read_array(path, "mapClass", remedy=remedy).astype(int).ravel()
    counts = np.bincount(mapped[mapped > 0], minlength=CLASSES + 1)
    one_each = (counts[1 : OWN_CLASS + 1] == 1).all() and (counts[1:] > 0).all()
    if mapped.min() < 1 or mapped.max() > CLASSES or not one_each:
        raise DataError(
            f"{path}: mapClass is not the table of {CLASSES} classes, of which the first "
            f"{OWN_CLASS} are one raw class each; {remedy}"
        )
    return np.concatenate([[IGNORE], mapped - 1]).astype(np.uint8)


def _item(
    path: Path, name: str, table: np.ndarray, with_hha: Callable[..., bytes]
) -> Item:
    index = int(name) - FIRST_ID - 1
    depth = functools.partial(_depth, path, index)
    camera = CAMERA.cropped(ROWS.start, COLUMNS.start)
    return Item(
        name=name,
        inputs={
            "color": functools.partial(_color, path, index),
            "depth": depth,
            "hha": functools.partial(with_hha, depth, camera, f"image {name}"),
        },
        labels={"semantic": functools.partial(_label, path, index, table)},
        files=f"{path.name}, image {index + 1}",
    )


def _color(path: Path, index: int) -> bytes:
    with _opened(path) as file:
        return _png(file["images"][index].transpose(2, 1, 0))


def _depth(path: Path, index: int) -> bytes:
    with _opened(path) as file:
        metres = file["depths"][index].T
    if not np.isfinite(metres).all() or metres.max() > 65:
        raise DataError(
            f"{path}, image {index + 1}: depths are not metres below 65; get the file "
            f"again from {ORIGIN}"
        )
    return _png(np.round(metres * 1000).astype(np.uint16))


def _label(path: Path, index: int, table: np.ndarray) -> bytes:
    with _opened(path) as file:
        raw = file["labels"][index].T
    if raw.max() >= len(table):
        raise DataError(
            f"{path}, image {index + 1}: the label {int(raw.max())} is beyond the "
            f"{len(table) - 1} classes of classMapping40.mat; take both from one origin"
        )
    return _png(table[raw])


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[ROWS, COLUMNS])).save(buffer, "PNG")
    return buffer.getvalue()
