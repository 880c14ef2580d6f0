"""From examples to batches: order, augmentation, padding, workers."""
