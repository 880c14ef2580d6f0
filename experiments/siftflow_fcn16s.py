"""FCN-16s VGG16 on SIFT Flow: 33 semantic and 3 geometric classes at once.

Paper row: CVPR Table 5, FCN-16s: pixel accuracy 85.2, mean accuracy 51.7, mean IU
39.5, frequency-weighted IU 76.1, geometric accuracy 94.3 (200 test images; reference
net siftflow-fcn16s). Expected time: 100,000 images of 256 x 256.

    python -m fcn_jax.main --config=experiments/siftflow_fcn16s.py

Both outputs share the trunk and their losses are added. Starts from
runs/siftflow_fcn32s. Classes absent from the test set (cow, desert, moon) are left out of
the means, as in the paper.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.of_net("siftflow-fcn16s")
    config.data.name = "sift_flow"
    config.data.train_split = "trainval"
    config.data.eval_split = "test"
    config.evaluation.absent = "paper"
    config.init_from = "runs/siftflow_fcn32s"
    config.init_new = ("head.score_pool4_*",)
    config.optimizer.learning_rate = 1e-12
    return config
