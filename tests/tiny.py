"""The smallest real run: a narrow FCN-8s on procedural images of a few pixels."""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    """A run of seconds that goes through every part of the loop."""
    config = defaults.base()
    config.recipe = "scratch"
    config.steps = 12
    config.batch_size = 2
    config.accumulation = 2
    config.model.stride = 8
    config.model.width = 1 / 16
    config.model.padding = "same"
    config.model.dropout_rate = 0.5
    config.preprocessing.color.scale = 1 / 64
    config.data.name = "synthetic"
    config.data.order = "shuffle"
    config.data.mirror = True
    config.data.jitter = 4
    config.synthetic.classes = 3
    config.synthetic.train_length = 10
    config.synthetic.eval_length = 5
    config.synthetic.min_size = 32
    config.synthetic.max_size = 48
    config.loss.reduction = "mean"
    config.optimizer.learning_rate = 0.01
    config.optimizer.momentum = 0.9
    config.evaluation.every = 6
    config.evaluation.batch_size = 2
    config.checkpoint.every = 3
    config.log.every = 1
    config.devices = 1
    return config
