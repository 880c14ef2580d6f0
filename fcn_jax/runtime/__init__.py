"""Basis of every program: errors, exit status, devices, compilation, atomic files."""
