"""Evaluation: confusion matrix and metrics of a split."""
