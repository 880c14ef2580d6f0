"""From a configuration to an experiment: the only reader of a configuration."""
