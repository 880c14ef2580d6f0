"""FCN-32s VGG16 on colour and HHA of NYUDv2, scores averaged: late fusion.

Paper row: PAMI Table 5, FCN-32s RGB-HHA: pixel accuracy 65.3, mean accuracy 44.0, mean
IU 33.3, frequency-weighted IU 48.6 (reference net nyud-fcn32s-color-hha). Expected time:
100,000 images, each through two trunks.

    python -m fcn_jax.main --config=experiments/nyud_fcn32s_color_hha.py

Starts from runs/nyud_fcn32s_color and runs/nyud_fcn32s_hha, score layers included.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.of_net("nyud-fcn32s-color-hha")
    config.data.name = "nyud_v2"
    config.data.train_split = "trainval"
    config.data.eval_split = "test"
    config.evaluation.every = 2000
    config.checkpoint.every = 2000
    config.init_from = tuple(
        (
            f"runs/nyud_fcn32s_{stream}",
            (
                ("trunk.*", f"{stream}.*"),
                ("head.score_fr.*", f"head.score_fr_{stream}.*"),
            ),
        )
        for stream in ("color", "hha")
    )
    config.optimizer.learning_rate = 1e-12
    return config
