"""How an update is made of images: accumulating, online and heavy learning.

Paper row: PAMI Table 2, pixel accuracy, mean accuracy, mean IU, frequency-weighted IU of
FCN-32s on seg11valid: FCN-accum (batch 20, momentum 0.9) 86.0, 66.5, 51.9, 76.5;
FCN-online (batch 1, 0.9) 89.3, 76.2, 60.7, 81.8; FCN-heavy (batch 1, 0.99) 90.5, 76.5,
63.6, 83.5.

    python -m fcn_jax.main --config=experiments/pami_table2.py:accum
    python -m fcn_jax.main --config=experiments/pami_table2.py:online
    python -m fcn_jax.main --config=experiments/pami_table2.py:heavy

All see the same sequence of 100,000 images, drawn once with the seed, and sum the loss
over pixels. Only heavy's rate is published, 1e-10. Inferred: the rates of the others, so
that an image moves the parameters as far in the long run, rate / (1 - momentum) being
equal; the 20 images of an update are averaged, hence 20 times the rate for accum. Expected
time: 100,000 images. Starts from third_party_weights/vgg16.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults

IMAGES = 100_000
ARMS = {  # images of an update, momentum, rate
    "accum": (20, 0.9, 2e-8),
    "online": (1, 0.9, 1e-9),
    "heavy": (1, 0.99, 1e-10),
}


def get_config(arm: str = "heavy") -> ConfigDict:
    if arm not in ARMS:
        raise ValueError(f"pami_table2:{arm} does not exist; use :{', :'.join(ARMS)}")
    images, momentum, rate = ARMS[arm]
    config = defaults.base()
    config.steps = IMAGES // images
    config.accumulation = images
    config.optimizer.momentum = momentum
    config.optimizer.learning_rate = rate
    config.evaluation.every = config.checkpoint.every = 4000 // images
    config.init_from = "third_party_weights/vgg16"
    config.init_new = ("head.*",)
    config.init_unused = ("*fc8*",)
    return config
