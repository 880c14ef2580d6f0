"""GoogLeNet on Imagenette, ten classes of ImageNet.

Paper row: none. Imagenette is fastai's; any folder of ImageNet's layout will do:

    python -m fcn_jax.main --config=experiments/imagenette_googlenet.py:small --config.data.folder=DIR
    python -m fcn_jax.main --config=experiments/imagenette_googlenet.py --config.data.folder=DIR

DIR holds train/<class>/ and val/<class>/. The trunk has batch normalisation, and the
classifier is convolutional: it learns from 128 x 128 pixels, and the scores of an image
are averaged. `:small` takes about three quarters of an hour on two cores and has top-1 0.802
on 1,000 images of val (measured with 7,000 photographs of 160 x 160 pixels). The full
size is meant for a GPU and has not been measured.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults
from fcn_jax.models.published import ILSVRC_MEAN


def get_config(size: str = "full") -> ConfigDict:
    if size not in ("full", "small"):
        raise ValueError(
            f"imagenette_googlenet:{size} does not exist; use :full or :small"
        )
    small = size == "small"
    config = defaults.base()
    config.recipe = "scratch"
    config.steps = 4000 if small else 5000
    config.batch_size = 32 if small else 256
    config.dtype = "float32" if small else "bfloat16"
    config.model.backbone = "googlenet"
    config.model.head = "classifier"
    config.model.width = 0.5 if small else 1.0
    config.model.padding = "same"
    config.model.normalization = "batch"
    config.model.auxiliary = True
    config.model.dropout_rate = 0.2 if small else 0.4
    config.preprocessing.color.mean = ILSVRC_MEAN
    config.preprocessing.color.scale = 1 / 58
    config.preprocessing.color.origin = "mean and spread of ImageNet"
    config.data.name = "image_folder"
    config.data.order = "shuffle"
    config.data.mirror = True
    config.images.size = 128
    config.images.area = (0.25, 1.0)
    config.data.color = (0.3, 0.3, 0.3)
    config.images.view = "whole"
    config.images.view_side = 144
    config.loss.reduction = "mean"
    config.loss.smoothing = 0.1
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 0.05
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 300
    config.optimizer.multipliers = (
        ("*.bias", 1.0, 0.0),
        ("*.scale", 1.0, 0.0),
        ("*", 1.0, 1.0),
    )
    config.evaluation.every = 500
    config.evaluation.batch_size = 50 if small else 200
    config.checkpoint.every = 500
    return config
