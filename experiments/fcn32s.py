"""FCN-32s VGG16 on PASCAL VOC: the first stage of the papers' chain.

Paper row: PAMI Table 3, FCN-32s: pixel accuracy 90.5, mean accuracy 76.5, mean IU
63.6, frequency-weighted IU 83.5 on the 736 images of seg11valid, after training on
the 8,498 images of SBD (reference net voc-fcn32s). Expected time: 100,000 images;
the paper's three stages took 36 hours together on a Titan X.

    python -m fcn_jax.main --config=experiments/fcn32s.py

Starts from ImageNet weights converted into third_party_weights/vgg16.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.base()
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    return config
