"""Label maps of MATLAB files as PNG of ids from 0."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from fcn_jax.data.builders.mat5 import read_array
from fcn_jax.data.examples import DataError, describe_counts


def label_png(
    path: Path, variable: str, table: Mapping[int, int], *, remedy: str
) -> bytes:
    """Return a label map of a MATLAB 5 file as grey PNG.

    Args:
        path: the file.
        variable: name of the map, (height, width).
        table: id in the file -> id 0..255 in the PNG.
        remedy: what to do about a bad file, for messages.

    Raises:
        DataError: see `mat5.read_array`; for a map of another shape, or with ids that
            the table has not.
        OSError: where the file cannot be read.
    """
    ids = read_array(path, variable, remedy=remedy)
    if ids.ndim != 2 or not ids.size:
        raise DataError(
            f"{path}: {variable} is of the shape {ids.shape}; it must be (height, "
            f"width): {remedy}"
        )
    values, pixels = np.unique(ids, return_counts=True)
    outside = {
        value: count
        for value, count in zip(values.tolist(), pixels.tolist(), strict=True)
        if value not in table
    }
    if outside:
        raise DataError(
            f"{path}: {variable} has the ids {describe_counts(outside)}; they are "
            f"{min(table)}..{max(table)} in this data set: {remedy}"
        )
    own = np.array([table[value] for value in values.tolist()], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(own[np.searchsorted(values, ids)]).save(buffer, "PNG")
    return buffer.getvalue()
