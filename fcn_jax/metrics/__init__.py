"""The confusion matrix and what is read from it."""

from typing import Literal

Absent = Literal["script", "paper"]
"""Rules for classes that do not occur; see `confusion.DEFINITIONS`."""
