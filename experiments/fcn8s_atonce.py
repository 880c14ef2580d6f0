"""FCN-8s at-once VGG16 on PASCAL VOC: all skips trained together, in one stage.

Paper row: PAMI Table 3, FCN-8s at-once: pixel accuracy 91.1, mean accuracy 78.5, mean
IU 65.4, frequency-weighted IU 84.4 on seg11valid (reference net voc-fcn8s-atonce).
Expected time: 300,000 images, those of the reference's solver and as many as the three
stages have; the paper reports half of their time.

    python -m fcn_jax.main --config=experiments/fcn8s_atonce.py

Fixed factors of 0.01 on pool4 and 0.0001 on pool3 bring the skips' gradients to the
scale of the coarse score's. Starts from third_party_weights/vgg16.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.base()
    config.steps = 300_000
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    config.model.stride = 8
    config.model.at_once = True
    return config
