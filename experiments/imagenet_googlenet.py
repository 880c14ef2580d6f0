"""GoogLeNet on ImageNet, the classifier that FCN-GoogLeNet starts from.

Paper row: Szegedy et al. 2014, Table 3: 10.07 % top-5 error, one net and one crop. BVLC's
own GoogLeNet has 68.7 % top-1, by a shorter solver of its own ("quick"). Two auxiliary
classifiers learn with the factor 0.3, in training only. Windows have 8 to 100 % of the
image's area and a ratio of 3/4 to 4/3, and colours are distorted (section 6). Solver:
BVLC's: SGD, momentum 0.9, batch 32, rate 0.01 that falls by 4 % every 320,000 updates (8
epochs, as in the paper).

    python -m fcn_jax.main --config=experiments/imagenet_googlenet.py
    python -m fcn_jax.main --config=experiments/imagenet_googlenet.py --config.data.name=image_folder --config.data.folder=DIR

Difference: kernels start He-normal, BVLC's Xavier. It has not been trained here.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults
from fcn_jax.models.published import CAFFE_MEAN


def get_config() -> ConfigDict:
    config = defaults.base()
    config.recipe = "scratch"
    config.steps = 10_000_000
    config.batch_size = 32
    config.model.backbone = "googlenet"
    config.model.head = "classifier"
    config.model.padding = "native"
    config.model.auxiliary = True
    config.preprocessing.color.mean = CAFFE_MEAN
    config.preprocessing.color.origin = (
        "channel means of ImageNet, as BVLC subtracts them"
    )
    config.data.name = "imagenet2012"
    config.data.order = "shuffle"
    config.data.mirror = True
    config.data.color = (0.4, 0.4, 0.4)
    config.loss.reduction = "mean"
    config.optimizer.learning_rate = 0.01
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 2e-4
    config.optimizer.schedule = "step"
    config.optimizer.decay_every = 320_000
    config.optimizer.decay_factor = 0.96
    config.evaluation.every = 40_000
    config.checkpoint.every = 4000
    return config
