"""Losses of the scores of pixels, as sums first."""

from typing import Literal

Reduction = Literal["sum", "mean"]
"""Of a loss: over the pixels of a batch; see `terms.LossTerms.reduce`."""
