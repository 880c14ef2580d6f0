"""Checkpoints: arrays that are verified, and a record of what they belong to."""
