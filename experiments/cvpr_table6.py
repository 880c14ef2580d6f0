"""PASCAL-Context in the CVPR paper: FCN-32s, 16s, 8s with batches of 20 images.

Paper row: CVPR appendix B, Table 6, pixel accuracy, mean accuracy, mean IU,
frequency-weighted IU on VOC 2010 val, of 59 classes. The authors' site: FCN-32s 65.4,
47.2, 35.1, 50.3; FCN-16s 66.8, 49.6, 37.6, 52.3; FCN-8s 67.0, 50.7, 37.8, 52.5. arXiv
version 2: FCN-32s 63.8, 42.7, 31.8, 48.3; FCN-16s 65.7, 46.2, 34.8, 50.7; FCN-8s 65.9,
46.5, 35.1, 51.0.

    python -m fcn_jax.main --config=experiments/cvpr_table6.py:32s
    python -m fcn_jax.main --config=experiments/cvpr_table6.py:16s
    python -m fcn_jax.main --config=experiments/cvpr_table6.py:8s

Inferred: the solver of `cvpr_table2.py`, and 175 epochs of 4,998 images, as Table 1 has at
least. The mean is over 60 classes with the background, as in the reference's script.
Expected time: 43,730 updates of 20 images each. 32s starts from
third_party_weights/vgg16, the others from the run before.
"""

from ml_collections import ConfigDict

from fcn_jax.config import CVPR_SOLVER
from fcn_jax.launch.experiment_files import find, load

STAGES = {"32s": 1e-4, "16s": 1e-6, "8s": 1e-8}
BEFORE = {"16s": "32s", "8s": "16s"}


def get_config(stage: str = "8s") -> ConfigDict:
    if stage not in STAGES:
        raise ValueError(
            f"cvpr_table6:{stage} does not exist; use :{', :'.join(STAGES)}"
        )
    name = f"pascal_context_fcn{stage}"
    config = load(find(name)).copy_and_resolve_references().unlock()
    config.steps = 43_730
    config.update_from_flattened_dict(CVPR_SOLVER)
    config.optimizer.learning_rate = STAGES[stage]
    if stage in BEFORE:
        config.init_from = f"runs/cvpr_table6-{BEFORE[stage]}"
    return config.lock()
