"""From examples to batches: order, augmentation, padding, workers."""

from typing import Literal

Order = Literal["replacement", "shuffle"]
"""Of training samples; see `order`."""
