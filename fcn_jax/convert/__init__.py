"""Weights of other programs: read, proved, converted, operated on, given back."""
