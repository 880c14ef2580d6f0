"""Optimisers and learning-rate schedules, as optax transforms."""
