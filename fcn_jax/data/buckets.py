"""A few canvases for many image sizes: how much of a batch is padding.

Every canvas is one compiled program, so there are few; every pixel of padding is
computed in vain, so they fit. Batches take the smallest canvas that holds them.
"""

from collections.abc import Sequence

import numpy as np

Canvas = tuple[int, int]


def choose_canvases(sizes: np.ndarray, limit: int) -> tuple[Canvas, ...]:
    """At most `limit` canvases that hold all sizes with little padding.

    One holds every image. Each further one is that, of the sizes that occur, which
    saves most; choosing one after the other is not the optimum, and close to it.

    Args:
        sizes: `[n, 2]` (height, width) of images.
        limit: number of canvases, at least 1.

    Returns:
        (height, width) of each, by area, the largest last.

    Raises:
        ValueError: for no sizes, or a limit below 1.
    """
    if limit < 1 or not len(sizes):
        raise ValueError(f"{limit} canvases for {len(sizes)} sizes; give 1 or more")
    unique, counts = np.unique(np.asarray(sizes), axis=0, return_counts=True)
    largest = unique.max(axis=0)
    # A candidate is any pair of a height and a width that occur.
    heights, widths = np.unique(unique[:, 0]), np.unique(unique[:, 1])
    candidates = np.stack(np.meshgrid(heights, widths, indexing="ij"), -1).reshape(
        -1, 2
    )
    area = np.full(len(unique), int(largest.prod()), np.int64)
    chosen = [(int(largest[0]), int(largest[1]))]
    fits = np.all(unique[None] <= candidates[:, None], axis=-1)
    own = candidates.astype(np.int64).prod(axis=1)
    while len(chosen) < limit:
        savings = np.where(fits, area[None] - own[:, None], 0).clip(min=0) @ counts
        best = int(savings.argmax())
        if savings[best] <= 0:
            break
        chosen.append((int(candidates[best, 0]), int(candidates[best, 1])))
        area = np.where(fits[best], np.minimum(area, own[best]), area)
    return tuple(sorted(chosen, key=lambda canvas: (canvas[0] * canvas[1], canvas)))


def smallest_canvas(
    sizes: Sequence[Sequence[int]] | np.ndarray, canvases: Sequence[Canvas]
) -> Canvas:
    """The smallest canvas that holds all sizes of a batch; see `choose_canvases`."""
    height, width = (int(length) for length in np.asarray(sizes).max(axis=0))
    return next(
        canvas for canvas in canvases if canvas[0] >= height and canvas[1] >= width
    )


def waste(sizes: np.ndarray, canvases: Sequence[Canvas]) -> float:
    """Share of pixels that is padding when every image is a batch of its own."""
    areas = [
        np.prod(smallest_canvas([size], canvases), dtype=np.int64) for size in sizes
    ]
    pixels = np.asarray(sizes, np.int64).prod(axis=1).sum()
    return 1 - float(pixels) / float(np.sum(areas))
