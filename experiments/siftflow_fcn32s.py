"""FCN-32s VGG16 on SIFT Flow: 33 semantic and 3 geometric classes at once.

Paper row: not reported; FCN-8s is the paper's row (200 test images; reference
net siftflow-fcn32s). Expected time: 100,000 images of 256 x 256.

    python -m fcn_jax.main --config=experiments/siftflow_fcn32s.py

Both outputs share the trunk and their losses are added. Starts from
third_party_weights/vgg16. Classes absent from the test set (cow, desert, moon) are left out of
the means, as in the paper. The best checkpoint is chosen by the test images themselves.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.of_net("siftflow-fcn32s")
    config.data.name = "sift_flow"
    config.data.train_split = "trainval"
    config.data.eval_split = "test"
    config.evaluation.absent = "paper"
    config.evaluation.every = 2000
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    return config
