"""Variations of FCN-32s: a fixed trunk, and truncated nets.

Paper row: PAMI Table 3, pixel accuracy, mean accuracy, mean IU, frequency-weighted IU on
seg11valid: FCN-32s fixed 82.9, 64.6, 46.6, 72.3; FCN-pool5 87.4, 60.5, 50.0, 78.5;
FCN-pool4 78.7, 31.7, 22.4, 67.0; FCN-pool3 70.9, 13.7, 9.2, 57.6.

    python -m fcn_jax.main --config=experiments/pami_table3.py:32s-fixed
    python -m fcn_jax.main --config=experiments/pami_table3.py:pool5
    python -m fcn_jax.main --config=experiments/pami_table3.py:pool4
    python -m fcn_jax.main --config=experiments/pami_table3.py:pool3

FCN-32s, 16s, 8s and 8s at-once of the table are `fcn32s.py`, `fcn16s.py`, `fcn8s.py` and
`fcn8s_atonce.py`, whose solver this is. Inferred: the sizes of the last upsampling, twice
the stride. Expected time: 100,000 images each. Starts from third_party_weights/vgg16.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults

FIXED = "32s-fixed"
ABOVE = ("*fc8*", "*fc7*", "*fc6*", "*conv5_*", "*conv4_*")
UNUSED = {"pool5": 3, "pool4": 4, "pool3": 5}  # of the layers above, what is left out


def get_config(arm: str = FIXED) -> ConfigDict:
    if arm not in (FIXED, *UNUSED):
        arms = ", :".join((FIXED, *UNUSED))
        raise ValueError(f"pami_table3:{arm} does not exist; use :{arms}")
    config = defaults.base()
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ABOVE[: UNUSED.get(arm, 1)]
    if arm == FIXED:
        frozen = ("trunk.*", 0.0, 0.0)
        config.optimizer.multipliers = (frozen, *defaults.CAFFE_MULTIPLIERS)
    else:
        config.model.score_at = arm
    return config
