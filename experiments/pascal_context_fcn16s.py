"""FCN-16s VGG16 on PASCAL-Context: 59 classes and the background.

Paper row: PAMI Table 7, FCN-16s: pixel accuracy 66.9, mean accuracy 51.3, mean IU
38.4, frequency-weighted IU 52.3 on the 5,105 validation images (reference net
pascalcontext-fcn16s; the paper says 59 classes, the mean here is over 60 with the
background, as in the reference's script). Expected time: 400,000 images.

    python -m fcn_jax.main --config=experiments/pascal_context_fcn16s.py

Starts from runs/pascal_context_fcn32s.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.of_net("pascalcontext-fcn16s")
    config.steps = 400_000
    config.data.name = "pascal_context"
    config.evaluation.every = 8000
    config.init_from = "runs/pascal_context_fcn32s"
    config.init_new = ("head.score_pool4.*",)
    config.optimizer.learning_rate = 1e-12
    return config
