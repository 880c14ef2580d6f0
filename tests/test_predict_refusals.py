"""Images that no prediction is made of."""

import numpy as np
import pytest

from fcn_jax import Segmenter
from fcn_jax import config as configuration
from fcn_jax.checkpoints.load_model import load_model
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.experiment.reading import read_preprocessing
from fcn_jax.models.fcn import parameter_shapes, smallest_image
from fcn_jax.params.trees import flat_arrays
from tests.narrow_fcn import CLASSES, drawn_image, network


def test_an_image_that_the_net_cannot_take_is_refused(tmp_path):
    """Oracle: AlexNet without the reference padding needs 29 pixels."""
    config = configuration.base()
    config.model.backbone = "alexnet"
    config.model.padding = "same"
    config.model.width = 1 / 16
    records = read_preprocessing(config)
    shapes = flat_arrays(parameter_shapes(network(config), {"color": 3}))
    CheckpointStore(tmp_path).save(
        5,
        params={path: np.zeros(s.shape, s.dtype) for path, s in shapes.items()},
        optimizer={},
        record={
            "config": configuration.to_dict(config),
            "outputs": {"semantic": CLASSES.to_dict()},
            "preprocessing": {n: r.to_dict() for n, r in records.items()},
        },
    )
    own = load_model(tmp_path)
    assert smallest_image(own.maps) == 29
    with pytest.raises(ValueError, match="20 x 40 pixels, this net needs at least 29"):
        Segmenter(own).scores(drawn_image(20, 40))
