"""From a configuration to an experiment: the only reader of a configuration."""

from fcn_jax.experiment.experiment import Experiment as Experiment
from fcn_jax.experiment.scoring import Scoring as Scoring
