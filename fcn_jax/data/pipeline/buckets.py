"""Canvases for images of many sizes, with little padding.

Every canvas needs a compiled program, so there should be few; every pixel of padding
costs time, so they should be tight. A batch uses the smallest canvas that holds its
images.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from absl import logging

Canvas = tuple[int, int]

STEP = 64  # pixels
STEPS_PER_OCTAVE = 8  # of larger sizes, so that padding stays below an eighth
COMMON = 64  # pictures of one size, for which that size is a canvas
COMMON_CANVASES = 4
OTHER_CANVASES = 16
WORTH_COMPILING = 4_000_000
"""Pixels that two cores label in the time in which they compile a full-size net."""
ACCELERATED = 1000
"""How many times as many an accelerator labels in the time of a compilation: an estimate
(half a minute, and 125 million pixels a second), not measured."""

BATCH_PIXELS = 2_000_000
"""Pixels of a batch that keeps an accelerator busy: 8 images of 500 x 500."""
MOST_IMAGES = 16


def images_of_batch(canvas: Canvas, platform: str) -> int:
    """Return how many images a device scores at once.

    One on a CPU: more are not faster there, and need more memory.

    Args:
        canvas: (height, width) of the batch.
        platform: of the device, "cpu", "gpu" or "tpu".
    """
    if platform == "cpu":
        return 1
    return min(max(1, BATCH_PIXELS // (canvas[0] * canvas[1])), MOST_IMAGES)


def rounded_up(size: Sequence[int]) -> Canvas:
    """Round a size up: to multiples of 64 pixels, above 1024 to 8 sizes per octave."""

    def next_length(length: int) -> int:
        step = STEP
        while length > 2 * STEPS_PER_OCTAVE * step:
            step *= 2
        return -(-length // step) * step

    height, width = size
    return next_length(height), next_length(width)


def picture_canvases(sizes: np.ndarray, platform: str = "cpu") -> tuple[Canvas, ...]:
    """Choose the canvases for inference on a set of images.

    The few sizes that many pictures share are canvases themselves, the others are
    rounded up first: pictures of nearly one size, and other folders, then share
    compiled programs. A canvas that saves less padding than its compilation costs is
    left out. An accelerator computes so much meanwhile that it has few canvases; the
    one size of all pictures is its canvas.

    Args:
        sizes: `[n, 2]` (height, width) of the pictures.
        platform: of the device, "cpu", "gpu" or "tpu".

    Returns:
        (height, width) of each, by area, the largest last.
    """
    counts = Counter((int(height), int(width)) for height, width in sizes)
    shared = counts.most_common(COMMON_CANVASES)
    times = 1 if platform == "cpu" else ACCELERATED
    common = [size for size, count in shared if count >= times * COMMON]
    if times > 1 and len(counts) == 1:
        common = list(counts)
    others = [
        rounded_up(size)
        for size, count in counts.items()
        if size not in common
        for _ in range(count)
    ]
    chosen: tuple[Canvas, ...] = ()
    if others:
        chosen = choose_canvases(
            np.array(others), OTHER_CANVASES, least_saving=times * WORTH_COMPILING
        )
    return tuple(sorted({*common, *chosen}, key=lambda size: (size[0] * size[1], size)))


def choose_canvases(
    sizes: np.ndarray, limit: int, *, least_saving: int = 1
) -> tuple[Canvas, ...]:
    """Choose at most `limit` canvases that hold all sizes with little padding.

    One holds every image. Each further one is that, of the sizes that occur, which
    saves most; choosing one after the other is not the optimum, and close to it.

    Args:
        sizes: `[n, 2]` (height, width) of images.
        limit: number of canvases, at least 1.
        least_saving: pixels of padding, over all images, that a further canvas saves.

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
        if savings[best] < least_saving:
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
    # A split of a million images has few sizes.
    unique, counts = np.unique(np.asarray(sizes, np.int64), axis=0, return_counts=True)
    areas = [
        np.prod(smallest_canvas([size], canvases), dtype=np.int64) for size in unique
    ]
    return 1 - float(unique.prod(axis=1) @ counts) / float(areas @ counts)


def batch_canvases(
    sizes: np.ndarray, *, fixed: Sequence[int] = (0, 0), most: int = 1
) -> tuple[Canvas, ...]:
    """Return the canvases of the batches of a split, and log the share of padding.

    Args:
        sizes: `[n, 2]` (height, width) of its images, after augmentation.
        fixed: rows and columns of the one canvas; 0 is the largest image's, and (0, 0)
            lets the sizes choose.
        most: canvases to choose, at most.
    """
    height, width = (int(length) for length in sizes.max(axis=0))
    if any(fixed):
        return ((fixed[0] or height, fixed[1] or width),)
    chosen = choose_canvases(sizes, most)
    logging.info(
        "%d canvases (height x width) for %d images: %s; padding is %.1f %% of the "
        "pixels of single images",
        len(chosen),
        len(sizes),
        ", ".join(f"{rows}x{columns}" for rows, columns in chosen),
        100 * waste(sizes, chosen),
    )
    return chosen
