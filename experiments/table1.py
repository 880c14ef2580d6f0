"""Table 1: classifiers as fully convolutional nets, on PASCAL VOC 2011.

Paper row: CVPR and PAMI Table 1, mean IU on VOC 2011 val after training on its 1,112
images: FCN-AlexNet 39.8, FCN-VGG16 56.0, FCN-GoogLeNet 42.5.

    python -m fcn_jax.main --config=experiments/table1.py:alexnet
    python -m fcn_jax.main --config=experiments/table1.py:vgg16
    python -m fcn_jax.main --config=experiments/table1.py:googlenet

Printed: batches of 20 images, momentum 0.9, rates 1e-3, 1e-4 and 5e-5 ("5^-5"), decay
"5^-4 or 2^-4", doubled rates for biases, at least 175 epochs. Inferred: a mean loss,
undecayed biases, shuffled order, and which net has which decay (`fcn_googlenet.py`).
Expected time: 9,730 updates of 20 images. Each starts from ImageNet weights converted into
third_party_weights/caffenet, vgg16 or googlenet.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults
from fcn_jax.launch.experiment_files import find, load

NETS = {"alexnet": ("caffenet", 1e-3), "vgg16": ("vgg16", 1e-4)}
GOOGLENET = "fcn_googlenet"


def get_config(net: str = "vgg16") -> ConfigDict:
    if net == "googlenet":
        return load(find(GOOGLENET))
    if net not in NETS:
        raise ValueError(
            f"table1:{net} does not exist; use :{', :'.join(NETS)} or :googlenet"
        )
    weights, rate = NETS[net]
    config = defaults.base()
    config.update_from_flattened_dict(defaults.CVPR_SOLVER)
    config.steps = 9730
    config.init_from = f"third_party_weights/{weights}"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    config.model.backbone = net
    config.data.name = "voc2011"
    config.optimizer.learning_rate = rate
    return config
