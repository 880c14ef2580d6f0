"""What is refused of the splits of a run before it starts."""

from collections.abc import Sequence

import numpy as np

from fcn_jax.data.examples import Source


def check_disjoint(train: Source, evaluation: Source) -> None:
    """Refuse to score on images that were learnt from.

    Args:
        train: the split to learn from.
        evaluation: the split to score.

    Raises:
        ValueError: if the splits share names of images.
    """
    learnt = {train.name(index) for index in range(len(train))}
    names = [evaluation.name(index) for index in range(len(evaluation))]
    shared = [name for name in names if name in learnt]
    if shared:
        raise ValueError(
            f"{len(shared)} of the {len(names)} images of the evaluation split are in "
            f"the training split too ({', '.join(shared[:3])}, ...), so scores would "
            "say nothing; choose other splits, or insist with "
            "--config.data.allow_overlap=True"
        )


def refuse_small_images(
    source: Source, least: int, sizes: np.ndarray | None = None
) -> None:
    """Refuse a split with images smaller than a network takes.

    Args:
        source: the split.
        least: pixels that the network needs of either side.
        sizes: `[N, 2]` (height, width) of the images, where they are cropped.

    Raises:
        ValueError: names the first such image.
    """
    sizes = source.sizes() if sizes is None else sizes
    small = np.flatnonzero(sizes.min(axis=1) < least)
    if small.size:
        index = int(small[0])
        raise ValueError(too_small(source.name(index), sizes[index].tolist(), least))


def too_small(name: str, size: Sequence[int], least: int) -> str:
    """Return the sentence for an image that a net cannot take.

    Args:
        name: of the image.
        size: its height and width in pixels.
        least: what the net needs of either, in pixels.
    """
    return (
        f"{name} is {size[0]} x {size[1]} pixels, this net needs at least {least} x "
        f"{least}; use a net with model.padding=reference, which takes any size, or "
        "leave such images out"
    )
