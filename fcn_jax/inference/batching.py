"""Which images are computed together: those on one canvas, in bounded order."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

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
