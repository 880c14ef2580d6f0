"""From a command line to an experiment and its directory."""
