"""A warning about batches with much padding."""

from collections import Counter
from collections.abc import Mapping

MUCH = 0.3  # share of the pixels


def padding_notes(sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return a warning if a canvas for all images would be about a third padding.

    Args:
        sizes: (height, width) of each image, by its name.
    """
    if not sizes:
        return []
    height = max(height for height, _ in sizes.values())
    width = max(width for _, width in sizes.values())
    pixels = sum(h * w for h, w in sizes.values())
    share = 1 - pixels / (len(sizes) * height * width)
    if share <= MUCH:
        return []
    largest = max(sizes, key=lambda name: sizes[name][0] * sizes[name][1])
    usual = max(Counter(sizes.values()).items(), key=lambda item: item[::-1])[0]
    return [
        f"{share:.0%} of the pixels of batches are padding, since {largest} is "
        f"{sizes[largest][0]}x{sizes[largest][1]} (height x width) and "
        f"{usual[0]}x{usual[1]} is usual; train on several canvases "
        "(--config.data.canvases=4) or on windows (--config.data.crop), or resize large "
        "images with their labels"
    ]
