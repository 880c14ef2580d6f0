"""Random enlargement of a window of an example; see `transforms.Augmentation`.

Images are interpolated, with a wider filter where they shrink; label maps take the
nearest id, so no new one can appear.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from fcn_jax.data.examples import Example
from fcn_jax.data.labels import ignored


class Span(NamedTuple):
    """Where one axis of the result comes from.

    Attributes:
        begin: first place on the image, in pixels.
        end: last place.
        length: pixels of the result that it fills.
        offset: pixels of the result before it; what it leaves is filled.
    """

    begin: float
    end: float
    length: int
    offset: int


def scaled_window(
    example: Example,
    *,
    size: tuple[int, int],
    factor: float,
    fill: Mapping[str, tuple[int, ...]],
    rng: np.random.Generator,
) -> Example:
    """Enlarge an example and take a random window of the result.

    Where the enlarged image is smaller than the window it lies at a random place in it;
    the rest is filled, and its labels are ignored.

    Args:
        example: inputs `[H, W, C] uint8` and labels `[H, W] uint8`.
        size: (height, width) of the window.
        factor: enlargement of both axes, above 0.
        fill: for each input key, the value of each channel where no image is.
        rng: draws the window.

    Raises:
        ValueError: for inputs of another type than uint8, as a depth in millimetres.
    """
    height, width = next(iter(example.inputs.values())).shape[:2]
    rows = draw_span(rng, height, size[0], factor)
    columns = draw_span(rng, width, size[1], factor)
    inputs = {}
    for key, pixels in example.inputs.items():
        if pixels.dtype != np.uint8:
            raise ValueError(
                f"config.data.scale enlarges 8-bit images, and the input {key} is "
                f"{pixels.dtype}; set config.data.scale to (1, 1)"
            )
        canvas = np.empty((*size, pixels.shape[2]), np.uint8)
        canvas[...] = fill[key]
        inputs[key] = _placed(pixels, canvas, rows, columns, Image.Resampling.BILINEAR)
    labels = {
        key: _placed(
            ids,
            np.full(size, ignored(ids.dtype), ids.dtype),
            rows,
            columns,
            Image.Resampling.NEAREST,
        )
        for key, ids in example.labels.items()
    }
    return Example(example.name, inputs, labels)


def draw_span(
    rng: np.random.Generator, length: int, window: int, factor: float
) -> Span:
    """Draw where one axis of a window lies on the enlarged image.

    Args:
        rng: the random generator.
        length: pixels of the image.
        window: pixels of the result.
        factor: enlargement.
    """
    needed = window / factor
    if needed <= length:
        begin = float(rng.uniform(0, length - needed))
        return Span(begin, min(begin + needed, length), window, 0)
    filled = min(window, max(1, round(length * factor)))
    return Span(0, length, filled, int(rng.integers(0, window - filled, endpoint=True)))


def _placed(
    pixels: np.ndarray,
    canvas: np.ndarray,
    rows: Span,
    columns: Span,
    how: Image.Resampling,
) -> np.ndarray:
    """Resize a window of `pixels` `[H, W]` or `[H, W, C]` into the canvas; return it."""
    grey = pixels.ndim == 3 and pixels.shape[2] == 1
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
    box = (columns.begin, rows.begin, columns.end, rows.end)
    window = np.asarray(picture.resize((columns.length, rows.length), how, box=box))
    canvas[
        rows.offset : rows.offset + rows.length,
        columns.offset : columns.offset + columns.length,
    ] = window[..., None] if grey else window
    return canvas
