"""Optimisers and learning-rate schedules, as optax transforms."""

from typing import Literal

OptimizerName = Literal["caffe_sgd", "sgd", "adam", "adamw"]
"""See `optimizers.make_optimizer`."""
ScheduleName = Literal["fixed", "poly", "cosine", "step"]
"""See `optimizers.make_schedule`."""
