"""Whose names, orders and scales an array of a weight file has."""
