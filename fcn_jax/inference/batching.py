"""Which images are computed together: those on one canvas, in bounded order."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

from fcn_jax.data.pipeline.buckets import Canvas, images_of_batch

Key = TypeVar("Key", bound=Hashable)

WINDOW = 256
"""Images after the first of a batch that may still join it; a late one would hold back
the results of all that lie between."""


def group(
    keys: Sequence[Key], most: Mapping[Key, int], window: int = WINDOW
) -> Iterator[list[int]]:
    """Yield batches of the positions whose keys are equal.

    Positions are in order within a batch, and a batch ends where it is full, or where
    its first position is `window` behind. With room for one each, the batches are the
    positions in order.

    Args:
        keys: of each image, what only images of one batch share.
        most: images of a batch with this key, at least 1.
        window: images, at least 1.
    """
    waiting: dict[Key, list[int]] = {}  # in the order of their first positions
    for position, key in enumerate(keys):
        if waiting and next(iter(waiting.values()))[0] <= position - window:
            yield waiting.pop(next(iter(waiting)))
        batch = waiting.setdefault(key, [])
        batch.append(position)
        if len(batch) == most[key]:
            yield waiting.pop(key)
    yield from waiting.values()


def batch_rows(
    keys: Sequence[Key], canvases: Mapping[Key, Canvas], platform: str, most: int = 0
) -> dict[Key, int]:
    """Return the rows of the batches with each key; no more than there are images.

    Args:
        keys: of every image.
        canvases: (height, width) of the batches with a key.
        platform: of the device, "cpu", "gpu" or "tpu".
        most: images that are computed together; 0 is by device.
    """
    return {
        key: min(most or images_of_batch(canvases[key], platform), count)
        for key, count in Counter(keys).items()
    }
