"""A narrow FCN of four classes, a checkpoint of it, and images for it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax import config as configuration
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.data.labels import VOC, Classes
from fcn_jax.experiment.reading import read_preprocessing
from fcn_jax.models.build import build, spec_of_settings
from fcn_jax.params.trees import flat_arrays

CLASSES = Classes(VOC.names[:4], VOC.palette[:4])


def network(config):
    settings = configuration.to_dict(config)["model"]
    return build(spec_of_settings(settings, {"semantic": len(CLASSES)}))


def drawn_image(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def save_checkpoint(directory: Path):
    """Save an FCN-8s with random parameters; return these, and the network."""
    config = configuration.base()
    config.model.width = 1 / 16
    config.model.stride = 8
    model = network(config)
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(
        lambda: model.init(
            jax.random.key(0), {"color": jnp.zeros((1, 40, 40, 3))}, train=False
        )["params"]
    )
    params = jax.tree.map(
        lambda s: rng.normal(0, 0.2, s.shape).astype(np.float32), shapes
    )
    records = read_preprocessing(config)
    CheckpointStore(directory).save(
        5,
        params=flat_arrays(params),
        optimizer={},
        record={
            "config": configuration.to_dict(config),
            "outputs": {"semantic": CLASSES.to_dict()},
            "preprocessing": {n: r.to_dict() for n, r in records.items()},
        },
    )
    return params, model
