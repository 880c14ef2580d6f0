"""How much of a batch is padding where images differ in size, in a sentence."""

from collections.abc import Mapping

MUCH = 0.3  # of the pixels


def padding_notes(sizes: Mapping[tuple[int, int], int]) -> list[str]:
    """Says so where one canvas that holds all images would be padding by a third.

    Args:
      sizes: images by (height, width).
    """
    if not sizes:
        return []
    height = max(height for height, _ in sizes)
    width = max(width for _, width in sizes)
    images = sum(sizes.values())
    pixels = sum(h * w * count for (h, w), count in sizes.items())
    share = 1 - pixels / (images * height * width)
    if share <= MUCH:
        return []
    usual = max(sizes.items(), key=lambda item: (item[1], item[0]))[0]
    return [
        f"{share:.0%} of the pixels of batches are padding, since the largest height and "
        f"width are {height} and {width} and {usual[0]}x{usual[1]} (height x width) is "
        "usual; train on several canvases (--config.data.canvases=4) or on windows "
        "(--config.data.crop), or resize large images with their labels"
    ]
