"""FCN-16s VGG16 on SIFT Flow: 33 semantic and 3 geometric classes at once.

Paper row: not reported; FCN-8s is the journal's row (200 test images; reference net
siftflow-fcn16s). The CVPR paper's FCN-16s, of another solver, is `cvpr_table5.py:16s`. Expected time: 100,000 images of 256 x 256.

    python -m fcn_jax.main --config=experiments/siftflow_fcn16s.py

Both outputs share the trunk and their losses are added. Starts from
runs/siftflow_fcn32s. Classes absent from the test set (cow, desert, moon) are left out of
the means, as in the paper. The best checkpoint is chosen by the test images themselves.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.of_net("siftflow-fcn16s")
    config.data.name = "sift_flow"
    config.data.train_split = "trainval"
    config.data.eval_split = "test"
    config.evaluation.absent = "paper"
    config.evaluation.every = 2000
    config.init_from = "runs/siftflow_fcn32s"
    config.init_new = ("head.score_pool4_*",)
    config.optimizer.learning_rate = 1e-12
    return config
