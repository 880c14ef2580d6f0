"""Warn before training if most of what it would compute is padding."""

from collections.abc import Sequence

import numpy as np
from absl import logging

from fcn_jax.data.examples import Source
from fcn_jax.data.pipeline.buckets import Canvas, choose_canvases, waste

MUCH = 1 / 3
"""Share of padding that is worth a warning."""
MORE_CANVASES = 4


def warn_of_padding(
    source: Source, canvases: Sequence[Canvas], crop: Canvas | None = None
) -> None:
    """Log the advice for a training split, if there is any.

    Args:
        source: the split.
        canvases: rows and columns of its batches.
        crop: rows and columns of the window that training takes, if any.
    """
    advice = crop_advice(source, crop) if crop else canvas_advice(source, canvases)
    if advice:
        logging.warning("%s", advice)


def canvas_advice(source: Source, canvases: Sequence[Canvas]) -> str:
    """Return a sentence if canvases are far larger than most images, else "".

    Args:
        source: the split, with the sizes of its images.
        canvases: rows and columns of its batches.
    """
    sizes = source.sizes()
    if not (sizes.max(axis=0) <= canvases[-1]).all():
        return ""  # refused where batches are made
    share = waste(sizes, canvases)
    if share <= MUCH:
        return ""
    largest = int(sizes.astype(np.int64).prod(axis=1).argmax())
    more = choose_canvases(sizes, max(MORE_CANVASES, 2 * len(canvases)))
    remedies = [f"config.data.crop={_tuple(_usual(sizes))} takes windows"]
    if waste(sizes, more) < share:
        remedies.insert(
            0,
            f"config.data.canvases={len(more)} (and canvas=(0, 0)) leaves "
            f"{waste(sizes, more):.0%}",
        )
    return (
        f"{share:.0%} of what training computes is padding: the largest image, "
        f"{source.name(largest)}, is {_size(sizes[largest])} pixels (height x width), "
        f"half of them {_size(np.median(sizes, axis=0))} or less; {', '.join(remedies)}"
    )


def crop_advice(source: Source, crop: Canvas) -> str:
    """Return a sentence if a crop is larger than most images, else "".

    Args:
        source: the split, with the sizes of its images.
        crop: rows and columns of the window that training takes.
    """
    sizes = source.sizes()
    small = int((sizes < crop).any(axis=1).sum())
    inside = np.minimum(sizes, crop).astype(np.int64).prod(axis=1).mean()
    share = 1 - float(inside) / (crop[0] * crop[1])
    if 2 * small <= len(sizes) and share <= MUCH:
        return ""
    return (
        f"data.crop {_size(crop)} (height x width) is larger than {small} of the "
        f"{len(sizes)} images, so {share:.0%} of what training computes is padding; "
        f"config.data.crop={_tuple(np.minimum(_usual(sizes), crop))} fits three quarters "
        "of them, and (0, 0) takes whole images"
    )


def _usual(sizes: np.ndarray) -> np.ndarray:
    """Return a height and a width that three quarters of the images reach."""
    return np.quantile(sizes, 0.25, axis=0, method="lower")


def _size(size: Sequence[int] | np.ndarray) -> str:
    return f"{int(size[0])} x {int(size[1])}"


def _tuple(size: np.ndarray) -> str:
    return f"({int(size[0])},{int(size[1])})"
