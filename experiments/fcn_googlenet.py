"""FCN-GoogLeNet on PASCAL VOC 2011, by the protocol of Table 1.

Paper row: CVPR and PAMI Table 1, FCN-GoogLeNet: mean IU 42.5 on VOC 2011 val, trained
on its 1,112 training images. Expected time: 175 epochs, 9,730 updates of 20 images.

    python -m fcn_jax.main --config=experiments/fcn_googlenet.py

Printed: batches of 20 images, momentum 0.9, doubled rates for biases, a rate of "5^-5",
read here as 5e-5. Inferred: a mean loss, undecayed biases, shuffled order, and the decay
2e-4, which is that of BVLC's GoogLeNet. It is `table1.py:googlenet` too. Starts from ImageNet weights converted into
third_party_weights/googlenet.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.base()
    config.update_from_flattened_dict(defaults.CVPR_SOLVER)
    config.steps = 9730
    config.init_from = "third_party_weights/googlenet"
    config.init_new = ("head.*",)
    config.init_unused = ("*loss*classifier*",)
    config.model.backbone = "googlenet"
    config.data.name = "voc2011"
    config.optimizer.learning_rate = 5e-5
    config.optimizer.weight_decay = 2e-4
    return config
