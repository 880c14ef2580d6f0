"""VGG16 on ImageNet, the classifier that FCN-VGG16 starts from.

Paper row: Simonyan and Zisserman 2015, Table 3, configuration D, S in [256, 512]: 25.6 %
top-1 error on val with Q = 384. Solver: SGD, momentum 0.9, batch 256, rate 0.01 divided
by 10 three times, 370,000 updates (74 epochs). Differences: all layers start He-normal
at once, where the paper starts from a trained net of 11 layers, and the rate falls
every 100,000 updates, where the paper waits for a plateau.

    python -m fcn_jax.main --config=experiments/imagenet_vgg16.py
    python -m fcn_jax.main --config=experiments/imagenet_vgg16.py --config.data.name=image_folder --config.data.folder=DIR

The paper scores whole images: --config.images.view=whole --config.images.view_side=384.
A batch of 256 is eight parts of 32. Expected top-1: 0.744 (the paper). It has not been
trained here.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults
from fcn_jax.models.published import VGG_MEAN


def get_config() -> ConfigDict:
    config = defaults.base()
    config.recipe = "scratch"
    config.steps = 370_000
    config.batch_size = 32
    config.accumulation = 8
    config.model.backbone = "vgg16"
    config.model.head = "classifier"
    config.model.padding = "native"
    config.preprocessing.color.mean = VGG_MEAN
    config.preprocessing.color.origin = (
        "channel means of ImageNet, as VGG subtracts them"
    )
    config.data.name = "imagenet2012"
    config.data.order = "shuffle"
    config.data.mirror = True
    config.images.sides = (256, 512)
    config.images.area = (0.0, 0.0)
    config.data.lighting = 0.1
    config.images.view_side = 384
    config.loss.reduction = "mean"
    config.optimizer.learning_rate = 0.01
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 5e-4
    config.optimizer.schedule = "step"
    config.optimizer.decay_every = 100_000
    config.evaluation.every = 10_000
    config.checkpoint.every = 2000
    return config
