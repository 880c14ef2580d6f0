"""What a configuration may say of classifiers, whose images have one label each."""

from typing import Any

from fcn_jax.launch.config_values import require

LARGEST_SIDE = 8192
"""Pixels; no classifier reads larger images."""


def check_images(config: Any) -> None:
    """Refuse values of the section `images` that no run could use.

    Args:
        config: attribute `images`, a section.

    Raises:
        ValueError: one sentence with the key, the value and what is allowed.
    """
    own = config.images
    allowed = f"in 1..{LARGEST_SIDE} pixels"
    require(1 <= own.size <= LARGEST_SIDE, "images.size", own.size, allowed)
    if bool(any(own.sides)) == bool(any(own.area)):
        raise ValueError(
            f"config.images.sides is {own.sides} and config.images.area {own.area}; set "
            "one of them, and the other to (0, 0)"
        )
    if any(own.sides):
        least, largest = own.sides
        allowed = "(least, largest) in pixels, the least at least config.images.size"
        holds = own.size <= least <= largest <= LARGEST_SIDE
        require(holds, "images.sides", own.sides, allowed)
    else:
        least, largest = own.area
        allowed = "(least, largest), both above 0 and at most 1"
        require(0 < least <= largest <= 1, "images.area", own.area, allowed)
    side = own.view_side
    if own.view == "crop":
        allowed = "at least config.images.size, the centre crop that is scored"
        require(own.size <= side <= LARGEST_SIDE, "images.view_side", side, allowed)
    else:
        allowed = f"0, or up to {LARGEST_SIDE} pixels"
        require(0 <= side <= LARGEST_SIDE, "images.view_side", side, allowed)
