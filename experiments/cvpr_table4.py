"""NYUDv2 in the CVPR paper: colour, depth and HHA, with batches of 20 images.

Paper row: CVPR Table 4, pixel accuracy, mean accuracy, mean IU, frequency-weighted IU on
654 test images: FCN-32s RGB 60.0, 42.2, 29.2, 43.9; RGB-D 61.5, 42.4, 30.5, 45.5; HHA
57.1, 35.2, 24.2, 40.4; RGB-HHA 64.3, 44.9, 32.8, 48.0; FCN-16s RGB-HHA 65.4, 46.1, 34.0,
49.5.

    python -m fcn_jax.main --config=experiments/cvpr_table4.py:rgb
    python -m fcn_jax.main --config=experiments/cvpr_table4.py:rgbd
    python -m fcn_jax.main --config=experiments/cvpr_table4.py:hha
    python -m fcn_jax.main --config=experiments/cvpr_table4.py:rgb-hha
    python -m fcn_jax.main --config=experiments/cvpr_table4.py:16s-rgb-hha

Inferred: the solver of `cvpr_table2.py`, and 175 epochs of 795 images, as Table 1 has at
least; the scores of two trunks are averaged, as in the reference (this paper says "sum").
HHA is computed here from the depth. The best checkpoint is chosen by the test images
themselves, as the paper has no other, so its score is optimistic. Expected time: 6,950
updates of 20 images each. The first three start from third_party_weights/vgg16, the
others from the runs before.
"""

from ml_collections import ConfigDict

from fcn_jax.config import CVPR_SOLVER
from fcn_jax.launch.experiment_files import find, load

NETS = {
    "rgb": "nyud_fcn32s_color",
    "rgbd": "nyud_fcn32s_color_d",
    "hha": "nyud_fcn32s_hha",
    "rgb-hha": "nyud_fcn32s_color_hha",
    "16s-rgb-hha": "nyud_fcn32s_color_hha",
}
STREAMS = {"color": "rgb", "hha": "hha"}


def get_config(net: str = "rgb") -> ConfigDict:
    if net not in NETS:
        raise ValueError(f"cvpr_table4:{net} does not exist; use :{', :'.join(NETS)}")
    config = load(find(NETS[net])).copy_and_resolve_references().unlock()
    config.steps = 6950
    config.update_from_flattened_dict(CVPR_SOLVER)
    config.optimizer.learning_rate = 1e-4
    config.checkpoint.snapshots = ()
    if net == "rgb-hha":
        config.optimizer.learning_rate = 1e-6
        config.init_from = tuple(
            (f"runs/cvpr_table4-{STREAMS[stream]}", rules)
            for stream, (_, rules) in zip(STREAMS, config.init_from, strict=True)
        )
    if net == "16s-rgb-hha":
        config.optimizer.learning_rate = 1e-6
        config.model.stride = 16
        config.init_from = ("runs/cvpr_table4-rgb-hha",)
        config.init_new = ("head.score_pool4*",)
    return config.lock()
