"""A narrow FCN of four classes, and images for it."""

import numpy as np

from fcn_jax import config as configuration
from fcn_jax.data.labels import VOC, Classes
from fcn_jax.models.build import build, spec_of_settings

CLASSES = Classes(VOC.names[:4], VOC.palette[:4])


def network(config):
    settings = configuration.to_dict(config)["model"]
    return build(spec_of_settings(settings, {"semantic": len(CLASSES)}))


def drawn_image(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
