"""FCN-32s VGG16 on the colour images of NYUDv2, 40 classes.

Paper row: PAMI Table 5, FCN-32s RGB: pixel accuracy 61.8, mean accuracy 44.7, mean IU
31.6, frequency-weighted IU 46.0 on the 654 test images, after training on 795 (reference
net nyud-fcn32s-color). Expected time: 100,000 images.

    python -m fcn_jax.main --config=experiments/nyud_fcn32s_color.py

Starts from ImageNet weights converted into third_party_weights/vgg16, with the mean
that the reference subtracts (red and blue look exchanged there; kept).
The best checkpoint is chosen by the test images themselves, as there are no others.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.of_net("nyud-fcn32s-color")
    config.data.name = "nyud_v2"
    config.data.train_split = "trainval"
    config.data.eval_split = "test"
    config.evaluation.every = 2000
    config.checkpoint.every = 2000
    config.checkpoint.snapshots = (28_000,)  # from which nyud_fcn32s_color_hha starts
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    return config
