"""FCN-AlexNet (CaffeNet) on PASCAL VOC with SBD: the reference's voc-fcn-alexnet.

Paper row: none of a table; trained on SBD's 8,498 images FCN-AlexNet has mean IU 48.0 on
seg11valid (CVPR footnote; the reference's README). Table 1's 39.8, after 1,112 images, is
`table1.py:alexnet`. Expected time: 100,000 updates of 20 images.

    python -m fcn_jax.main --config=experiments/fcn_alexnet.py

The reference's solver differs from the VGG16 nets': a mean loss, 20 accumulated
images, momentum 0.9, and biases of the trunk that learn and decay like weights.
Starts from ImageNet weights converted into third_party_weights/caffenet.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.base()
    config.accumulation = 20
    config.init_from = "third_party_weights/caffenet"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    config.model.backbone = "alexnet"
    config.loss.reduction = "mean"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.momentum = 0.9
    config.optimizer.multipliers = (("head.*.bias", 2.0, 0.0), ("*", 1.0, 1.0))
    return config
