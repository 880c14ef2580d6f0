"""The skips of the CVPR paper: FCN-32s, 16s, 8s with batches of 20 images.

Paper row: CVPR Table 2, pixel accuracy, mean accuracy, mean IU, frequency-weighted IU on
the 736 images of seg11valid, after training on SBD's 8,498: FCN-32s-fixed 83.0, 59.7,
45.4, 72.0; FCN-32s 89.1, 73.3, 59.4, 81.4; FCN-16s 90.0, 75.7, 62.4, 83.0; FCN-8s 90.3,
75.9, 62.7, 83.2.

    python -m fcn_jax.main --config=experiments/cvpr_table2.py:32s-fixed
    python -m fcn_jax.main --config=experiments/cvpr_table2.py:32s
    python -m fcn_jax.main --config=experiments/cvpr_table2.py:16s
    python -m fcn_jax.main --config=experiments/cvpr_table2.py:8s

Printed: batches of 20, momentum 0.9, rate 1e-4, divided by 100 at each skip, decay 5e-4,
doubled rates for biases. Inferred: a mean loss, undecayed biases, and the number of
updates, from three days of a K40c for 32s and one day for each skip at 0.6 s an image.
Expected time: 20,500 updates of 20 images for 32s, 6,800 for 16s and for 8s. 32s starts
from third_party_weights/vgg16, 16s and 8s from the run before.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults

STAGES = ("32s-fixed", "32s", "16s", "8s")
RATES = {"16s": 1e-6, "8s": 1e-8}
FIXED = (("trunk.*", 0.0, 0.0), *defaults.CAFFE_MULTIPLIERS)


def get_config(stage: str = "32s") -> ConfigDict:
    if stage not in STAGES:
        raise ValueError(
            f"cvpr_table2:{stage} does not exist; use :{', :'.join(STAGES)}"
        )
    first = stage.startswith("32s")
    config = defaults.base()
    config.steps = 20_500 if first else 6800
    config.update_from_flattened_dict(defaults.CVPR_SOLVER)
    config.model.stride = int(stage.partition("s")[0])
    config.optimizer.learning_rate = RATES.get(stage, 1e-4)
    if stage == "32s-fixed":
        config.optimizer.multipliers = FIXED
    if first:
        config.init_from = "third_party_weights/vgg16"
        config.init_new = ("head.*",)
        config.init_unused = ("*fc8*",)
    else:
        before, layer = {"16s": ("32s", "pool4"), "8s": ("16s", "pool3")}[stage]
        config.init_from = f"runs/cvpr_table2-{before}"
        config.init_new = (f"head.score_{layer}.*",)
    return config
