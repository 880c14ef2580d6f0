"""From a split to a confusion matrix to scores."""
