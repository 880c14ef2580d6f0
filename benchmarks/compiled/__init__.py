"""Compiled programs counted: kernels, bytes, memory; no device is needed."""
