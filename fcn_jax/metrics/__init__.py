"""The confusion matrix and what is read from it."""
