"""FCN-32s VGG16 on the 1,112 training images of PASCAL VOC 2011 alone.

Paper row: PAMI section 4.4, mean IU 57.7 on seg11valid, against 63.6 after training on
SBD's 8,498 images (`fcn32s.py`).

    python -m fcn_jax.main --config=experiments/fcn32s_voc2011.py

Inferred: the solver of `fcn32s.py`, and as many images, 100,000. Starts from
third_party_weights/vgg16.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.base()
    config.data.name = "voc2011"
    config.data.eval_name = "voc_reference"
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    return config
