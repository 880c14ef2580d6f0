"""FCN-16s VGG16 on PASCAL VOC: adds the pool4 skip to a trained FCN-32s.

Paper row: PAMI Table 3, FCN-16s: pixel accuracy 91.0, mean accuracy 78.1, mean IU
65.0, frequency-weighted IU 84.3 on seg11valid (reference net voc-fcn16s). Expected
time: 100,000 images.

    python -m fcn_jax.main --config=experiments/fcn16s.py

Starts from runs/fcn32s; the new score layer starts at zero, so the first scores are
those of FCN-32s, upsampled in two steps.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.base()
    config.init_from = "runs/fcn32s"
    config.init_new = ("head.score_pool4.*",)
    config.model.stride = 16
    config.optimizer.learning_rate = 1e-12
    return config
