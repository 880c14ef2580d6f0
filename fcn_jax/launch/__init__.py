"""Command line of a run: experiment, overrides, flags, work directory."""
