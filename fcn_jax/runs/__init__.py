"""The work directory of a run: its lock, configuration and log."""
