"""Layouts of weight files: array names, axis orders, colours and scales."""
