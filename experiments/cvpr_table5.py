"""SIFT Flow in the CVPR paper: FCN-16s with two outputs, batches of 20 images.

Paper row: CVPR Table 5, FCN-16s: pixel accuracy 85.2, mean accuracy 51.7, mean IU 39.5,
frequency-weighted IU 76.1, geometric accuracy 94.3 (200 test images). Its FCN-32s, from
which it starts, is not reported.

    python -m fcn_jax.main --config=experiments/cvpr_table5.py:32s
    python -m fcn_jax.main --config=experiments/cvpr_table5.py:16s

Inferred: the solver of `cvpr_table2.py`, and 175 epochs of 2,488 images, as Table 1 has
at least. Expected time: 21,770 updates of 20 images of 256 x 256 each. 32s starts from
third_party_weights/vgg16.
"""

from ml_collections import ConfigDict

from fcn_jax.config import CVPR_SOLVER
from fcn_jax.launch.experiment_files import find, load

STAGES = {"32s": 1e-4, "16s": 1e-6}


def get_config(stage: str = "16s") -> ConfigDict:
    if stage not in STAGES:
        raise ValueError(
            f"cvpr_table5:{stage} does not exist; use :{', :'.join(STAGES)}"
        )
    config = load(find(f"siftflow_fcn{stage}")).copy_and_resolve_references().unlock()
    config.steps = 21_770
    config.update_from_flattened_dict(CVPR_SOLVER)
    config.optimizer.learning_rate = STAGES[stage]
    if stage == "16s":
        config.init_from = "runs/cvpr_table5-32s"
    return config.lock()
