"""CaffeNet (AlexNet) on ImageNet, the classifier that FCN-AlexNet starts from.

Paper row: Krizhevsky et al. 2012, Table 2: 40.7 % top-1 error on val, one net.
Solver: that of BVLC's CaffeNet: SGD, momentum 0.9, batch 256, rate 0.01 divided by 10
every 100,000 updates, 450,000 updates (90 epochs). Differences: kernels start
He-normal and biases at zero, where the original draws kernels with deviation 0.01 and
sets some biases to 1.

    python -m fcn_jax.main --config=experiments/imagenet_alexnet.py
    python -m fcn_jax.main --config=experiments/imagenet_alexnet.py --config.data.name=image_folder --config.data.folder=DIR

ImageNet is prepared with TFDS as array_record files, or DIR holds train/<class>/ and
val/<class>/. Expected top-1: 0.574 (BVLC's own CaffeNet). It has not been trained here.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults
from fcn_jax.models.published import CAFFE_MEAN


def get_config() -> ConfigDict:
    config = defaults.base()
    config.recipe = "scratch"
    config.steps = 450_000
    config.batch_size = 256
    config.model.backbone = "alexnet"
    config.model.head = "classifier"
    config.model.padding = "native"
    config.preprocessing.color.mean = CAFFE_MEAN
    config.preprocessing.color.origin = (
        "channel means of ImageNet, as BVLC subtracts them"
    )
    config.data.name = "imagenet2012"
    config.data.order = "shuffle"
    config.data.mirror = True
    config.images.size = 227
    config.images.sides = (256, 256)
    config.images.area = (0.0, 0.0)
    config.data.lighting = 0.1
    config.loss.reduction = "mean"
    config.optimizer.learning_rate = 0.01
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 5e-4
    config.optimizer.schedule = "step"
    config.optimizer.decay_every = 100_000
    config.evaluation.every = 10_000
    config.checkpoint.every = 2000
    return config
