"""FCN-32s VGG16 on two classes of PASCAL VOC, a small first task.

Paper row: none. The recipe is that of `fcn32s.py`; everything but persons and cats is
background. Expected time: 20,000 images, a fifth of `fcn32s.py`.

    python -m fcn_jax.main --config=experiments/voc_person_cat.py

Starts from third_party_weights/vgg16. To grow to all classes, start `fcn32s.py` from it:
--config.init_from=runs/voc_person_cat --config.init_new="()" --config.init_unused="()"
--config.init_adapt="(('head.*', 'classes'),)".
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config() -> ConfigDict:
    config = defaults.of_net("voc-fcn32s")
    config.steps = 20_000
    config.data.classes = ("person", "cat")
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    return config
