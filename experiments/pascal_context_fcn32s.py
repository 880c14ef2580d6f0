"""FCN-32s VGG16 on PASCAL-Context: 59 classes and the background.

Paper row: PAMI Table 7, FCN-32s: pixel accuracy 65.5, mean accuracy 49.1, mean IU
36.7, frequency-weighted IU 50.9 on the 5,105 validation images (reference net
pascalcontext-fcn32s; the paper says 59 classes, the mean here is over 60 with the
background, as in the reference's script). Expected time: 400,000 images.

    python -m fcn_jax.main --config=experiments/pascal_context_fcn32s.py

Starts from third_party_weights/vgg16.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.of_net("pascalcontext-fcn32s")
    config.steps = 400_000
    config.data.name = "pascal_context"
    config.evaluation.every = 8000
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    return config
