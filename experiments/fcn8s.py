"""FCN-8s VGG16 on PASCAL VOC: adds the pool3 skip to a trained FCN-16s.

Paper row: PAMI Table 3, FCN-8s staged: pixel accuracy 91.2, mean accuracy 77.6, mean
IU 65.5, frequency-weighted IU 84.5 on seg11valid (reference net voc-fcn8s). Expected
time: 100,000 images.

    python -m fcn_jax.main --config=experiments/fcn8s.py

Starts from runs/fcn16s; the new score layer starts at zero.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.base()
    config.init_from = "runs/fcn16s"
    config.init_new = ("head.score_pool3.*",)
    config.model.stride = 8
    config.optimizer.learning_rate = 1e-14
    return config
