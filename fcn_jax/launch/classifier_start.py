"""An FCN that has the trunk of a classifier: what changes in its configuration."""

from fcn_jax.config import Config
from fcn_jax.launch import experiment_files

PACKAGED = "package:googlenet_half"
"""The trunk that comes with the package."""
PACKAGED_BY = "imagenette_googlenet:small"
"""The experiment in which it learnt."""

DEEPEST = (("inception_5b", 1.0), ("inception_4e", 1.0), ("inception_3b", 1.0))
"""The last features of GoogLeNet at strides 32, 16 and 8, as `model.scores` has them."""

NEW = ("head.*",)
UNUSED = ("head.*", "trunk.loss*")
"""Patterns of a classifier's own layers; loss1 and loss2 are GoogLeNet's auxiliary ones."""

_TRUNK = ("backbone", "width", "order", "normalization")


def take_trunk(config: Config, classifier: Config) -> None:
    """Give an experiment the trunk and the preprocessing of a classifier.

    Args:
        config: of an FCN; changed, must not be locked.
        classifier: of an `imagenette_*` or `imagenet_*` experiment, or of your own.
    """
    for key in _TRUNK:
        config.model[key] = classifier.model[key]
    config.model.scores = ()  # named by the trunk's layers
    config.preprocessing = classifier.preprocessing.copy_and_resolve_references()
    # Which parameters of normalisation decay belongs to the trunk.
    config.optimizer.multipliers = classifier.optimizer.multipliers


def start_from(config: Config, checkpoint: str) -> None:
    """Let an FCN start from the parameters of a classifier, with a new head.

    Args:
        config: of an FCN; changed, must not be locked.
        checkpoint: work directory of the classifier; "" where it is set later.
    """
    config.recipe = "fine-tune"
    config.init_from = checkpoint
    config.init_new = NEW
    config.init_unused = UNUSED


def start_from_package(config: Config) -> None:
    """Let an FCN have the trunk that comes with the package, and start from it.

    It is an FCN-8s that scores the last features of each stride.

    Args:
        config: of an FCN; changed, must not be locked.
    """
    take_trunk(config, experiment_files.load(experiment_files.find(PACKAGED_BY)))
    config.model.scores = DEEPEST
    start_from(config, PACKAGED)


def start_anew(config: Config) -> None:
    """Let an FCN start from scratch, whatever it started from.

    Args:
        config: of an FCN; changed, must not be locked.
    """
    config.recipe = "scratch"
    config.init_from = ""
    config.init_new = config.init_unused = ()
