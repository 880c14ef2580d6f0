"""Data sets by name, and what they have in common."""
