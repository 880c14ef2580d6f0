"""Losses of the scores of pixels, as sums first."""
