"""FCN-32s VGG16 on colour and HHA of NYUDv2, scores averaged: late fusion.

Paper row: PAMI Table 5, FCN-32s RGB-HHA: pixel accuracy 65.3, mean accuracy 44.0, mean
IU 33.3, frequency-weighted IU 48.6 (reference net nyud-fcn32s-color-hha). Expected time:
100,000 images, each through two trunks.

    python -m fcn_jax.main --config=experiments/nyud_fcn32s_color_hha.py

Starts from the states of nyud_fcn32s_color after 28,000 updates and of nyud_fcn32s_hha
after 60,000, as the reference does, score layers included; both runs keep them.
The best checkpoint is chosen by the test images themselves, as there are no others. From
the official .mat HHA is computed here, not Berkeley's, so expect other digits.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults

UPDATES = {"color": 28_000, "hha": 60_000}


def get_config() -> ConfigDict:
    config = defaults.of_net("nyud-fcn32s-color-hha")
    config.data.name = "nyud_v2"
    config.data.train_split = "trainval"
    config.data.eval_split = "test"
    config.evaluation.every = 2000
    config.checkpoint.every = 2000
    config.init_from = tuple(
        (
            f"runs/nyud_fcn32s_{stream}/checkpoints/{update}",
            (
                ("trunk.*", f"{stream}.*"),
                ("head.score_fr.*", f"head.score_fr_{stream}.*"),
            ),
        )
        for stream, update in UPDATES.items()
    )
    config.optimizer.learning_rate = 1e-12
    return config
