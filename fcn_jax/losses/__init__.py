"""Losses of the scores of pixels, as sums first."""

from typing import Literal

LossName = Literal["softmax", "sigmoid", "null-background"]
"""Cross-entropy of a softmax over the classes; of each class against all others; the same
without a score of the background."""

Reduction = Literal["sum", "mean"]
"""Of a loss: over the pixels of a batch; see `terms.LossTerms.reduce`."""
