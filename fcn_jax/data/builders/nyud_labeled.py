"""NYUDv2's official file, nyu_depth_v2_labeled.mat: MATLAB 7.3, which is HDF5.

HDF5 has MATLAB's axes reversed: images are (number, channel, column, row). Pictures are
cut as Gupta, Arbelaez and Malik cut them, MATLAB's (46:470, 41:600). Depth is the
in-painted one (depths, in metres; rawDepths has holes), rounded to millimetres. 894 raw
classes become 40 by classMapping40.mat, 0 being void; splits.mat counts from 1.
"""

import functools
import hashlib
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from fcn_jax.data.builders.archives import Archive, verify
from fcn_jax.data.builders.dataset import Encoded, Item
from fcn_jax.data.builders.mat5 import read_array
from fcn_jax.data.examples import DataError, describe_counts
from fcn_jax.data.labels import IGNORE

FILE = "nyu_depth_v2_labeled.mat"
PUBLISHED = Archive(
    file=FILE,
    bytes=2_972_037_809,
    md5="520609c519fba3ba5ac58c8fefcc3530",
    sha256="2d724b0c0ab358aa1ce5df855e5bd14a2279ab7202efe22f32a30d612dcb86aa",
    url="https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
    licence="no licence stated",
    root=FILE,
    limit=0,  # there is nothing to extract
)
ORIGIN = f"{FILE} of {PUBLISHED.url} ({PUBLISHED.licence})"
META_ORIGIN = "https://github.com/ankurhanda/nyuv2-meta-data (no licence stated for it)"
META_DIGESTS = {
    "splits.mat": ("md5", "08e3c3aea27130ac7c01ffd739a4535f"),
    "classMapping40.mat": (
        "sha256",
        "ff177194cce9a2163517f1e1e6f1c64c50987162f542dedddc04bbf6ebe6d851",
    ),
}
COUNT = 1449
FIELDS = {
    "images": ((3, 640, 480), "u1"),
    "depths": ((640, 480), "f4"),
    "labels": ((640, 480), "u2"),
}
"""(shape, number type) of one image in HDF5."""
ROWS, COLUMNS = slice(45, 470), slice(40, 600)
FIRST_ID = 5000
CLASSES = 40
MAX_METRES = 65.535  # what 16 bits of millimetres hold; a Kinect sees 10
MAX_CHUNK = 256 * 2**20  # bytes that HDF5 inflates at once


def read_meta(
    path: Path, places: Sequence[Path]
) -> tuple[int, np.ndarray, dict[str, list[str]]]:
    """Read what the file and those beside it say, without their pictures.

    Args:
        path: the labeled file.
        places: directories that may hold splits.mat and classMapping40.mat.

    Returns:
        The number of images; id here of each raw class, `[895] uint8`; the names of
        the images of "trainval" and "test".

    Raises:
        DataError: for a file that is missing, damaged, or other than the published one
            beside 1,449 images, or an image that does not exist or is of both splits.
    """
    count = _check(path)
    mapping = _meta(places, "classMapping40.mat", count)
    splits = _meta(places, "splits.mat", count)
    table = _table(mapping)
    numbers = {
        "trainval": _numbers(splits, "trainNdxs", count),
        "test": _numbers(splits, "testNdxs", count),
    }
    shared = set(numbers["trainval"]) & set(numbers["test"])
    if shared:
        raise DataError(
            f"{splits}: {len(shared)} images are in both trainNdxs and testNdxs; take "
            f"the file of {META_ORIGIN}"
        )
    ids = {split: [str(FIRST_ID + n) for n in own] for split, own in numbers.items()}
    return count, table, ids


def verify_published(path: Path, count: int) -> None:
    """Compare a file of all 1,449 images with the published one.

    Raises:
        DataError: for another size or checksum.
    """
    if count == COUNT:
        verify(path, PUBLISHED, lambda done: None)


def _check(path: Path) -> int:
    """Number of images; refuses fields that are not as published."""
    counts = {}
    with _opened(path) as file:
        for field, (shape, kind) in FIELDS.items():
            link = file.get(field, getlink=True)
            data: Any = file.get(field) if isinstance(link, h5py.HardLink) else None
            if not isinstance(data, h5py.Dataset):
                raise _refusal(path, f"has no array {field}")
            if data.external is not None or data.is_virtual:
                raise _refusal(path, f"has the values of {field} in another file")
            if data.shape[1:] != shape or data.dtype.str[1:] != kind:
                raise _refusal(
                    path,
                    f"has {field} of the shape {data.shape} and type {data.dtype}; it "
                    f"must be (number, {', '.join(map(str, shape))}) of {kind}",
                )
            if math.prod(data.chunks or ()) * data.dtype.itemsize > MAX_CHUNK:
                raise _refusal(path, f"has {field} in chunks above {MAX_CHUNK} bytes")
            counts[field] = data.shape[0]
    if len(set(counts.values())) > 1:
        raise _refusal(path, f"has {counts} images")
    return counts["images"]


def _opened(path: Path) -> Any:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise _refusal(path, f"is no readable HDF5 file ({error})") from error


def _refusal(path: Path, what: str) -> DataError:
    return DataError(f"{path} {what}; get {ORIGIN} again")


def _meta(places: Sequence[Path], name: str, count: int) -> Path:
    paths = [place / name for place in places]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DataError(
            f"{paths[0]} is missing; {FILE} has no splits and 894 classes, so put {name} "
            f"of {META_ORIGIN} there, or name its directory with --lists"
        )
    kind, published = META_DIGESTS[name]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, kind).hexdigest()
    if count == COUNT and digest != published:
        raise DataError(
            f"{path} has the {kind.upper()} {digest}, and the published file {published}"
            f"; take the file of {META_ORIGIN}"
        )
    return path


def _numbers(path: Path, field: str, count: int) -> list[int]:
    """Return numbers of the images of a split, from 1, sorted as they are published."""
    remedy = f"take the file of {META_ORIGIN}"
    numbers = read_array(path, field, remedy=remedy).ravel().tolist()
    wrong = [n for n in numbers if n not in range(1, count + 1)]
    if wrong or len(set(numbers)) < len(numbers) or not numbers:
        raise DataError(
            f"{path}: {field} names {len(numbers)} images, {len(set(numbers))} different "
            f"ones, {len(wrong)} of them outside 1..{count}: {remedy}"
        )
    return sorted(int(n) for n in numbers)


def _table(path: Path) -> np.ndarray:
    """Return `[raw classes + 1] uint8`: the id of each raw class here, 0 being void."""
    remedy = f"take the file of {META_ORIGIN}"
    classes = read_array(path, "mapClass", remedy=remedy).ravel()
    if not classes.size or not np.isin(classes, np.arange(1, CLASSES + 1)).all():
        raise DataError(
            f"{path}: mapClass has {classes.size} classes, and others than 1..{CLASSES} "
            f"among them: {remedy}"
        )
    return np.concatenate([[IGNORE], classes - 1]).astype(np.uint8)


def item(
    path: Path,
    name: str,
    table: np.ndarray,
    hha_png: Callable[[Encoded, str], bytes],
) -> Item:
    """Return an example of the file.

    Args:
        path: the labeled file.
        name: of the image, its number plus 5000.
        table: id here of each raw class.
        hha_png: from the encoded depth, and its name in messages, to HHA.
    """
    number = int(name) - FIRST_ID
    depth = functools.partial(_depth, path, number)
    return Item(
        name=name,
        inputs={
            "color": functools.partial(_color, path, number),
            "depth": depth,
            "hha": functools.partial(hha_png, depth, f"{path}, image {number}"),
        },
        labels={"semantic": functools.partial(_labels, path, number, table)},
        files=f"{path.name}, image {number}",
    )


def _read(path: Path, field: str, number: int) -> np.ndarray:
    """Return an image of a field, cut, with MATLAB's axes."""
    try:
        with _opened(path) as file:
            return file[field][number - 1, ..., COLUMNS, ROWS].T
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise _refusal(path, f"is damaged in {field} {number} ({error})") from error


def _color(path: Path, number: int) -> bytes:
    return _png(_read(path, "images", number))


def _depth(path: Path, number: int) -> bytes:
    metres = _read(path, "depths", number)
    millimetres = np.round(metres.astype(np.float64) * 1000)
    good = (millimetres >= 1) & (millimetres <= MAX_METRES * 1000)
    if not good.all():
        raise _refusal(
            path,
            f"has {int((~good).sum())} of {good.size} pixels of depths {number} outside "
            f"0.001..{MAX_METRES} m",
        )
    return _png(millimetres.astype(np.uint16))


def _labels(path: Path, number: int, table: np.ndarray) -> bytes:
    raw = _read(path, "labels", number)
    if raw.max() >= len(table):
        ids, pixels = np.unique(raw[raw >= len(table)], return_counts=True)
        counts = dict(zip(ids.tolist(), pixels.tolist(), strict=True))
        raise _refusal(
            path,
            f"has in labels {number} the ids {describe_counts(counts)} beyond the "
            f"{len(table) - 1} raw classes",
        )
    return _png(table[raw])


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()
