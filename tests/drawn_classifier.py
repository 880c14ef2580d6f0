"""A small classifier with batch normalisation whose arrays are drawn at random."""

from typing import NamedTuple

import numpy as np

from fcn_jax.models.build import build, classifier_spec
from fcn_jax.models.fcn import abstract
from fcn_jax.models.spec import ModelSpec
from fcn_jax.params.paths import flatten


class DrawnClassifier(NamedTuple):
    """Its network, and its arrays by dotted path: `trunk.conv1_1.kernel`."""

    spec: ModelSpec
    params: dict[str, np.ndarray]
    statistics: dict[str, np.ndarray]


def draw_classifier(backbone: str, classes: int) -> DrawnClassifier:
    """A sixteenth of the width, padding "same"; values from 0.03 to 1."""
    spec = classifier_spec(
        backbone=backbone,
        classes=classes,
        width=1 / 16,
        padding="same",
        normalization="batch",
    )
    _, shapes = abstract(build(spec), {"color": 3})
    rng = np.random.default_rng(0)
    arrays = {
        path: rng.uniform(0.1, 1, leaf.shape).astype(np.float32)
        for path, leaf in flatten(shapes).items()
    }
    params = {
        path.removeprefix("params."): 0.3 * value
        for path, value in arrays.items()
        if path.startswith("params.")
    }
    statistics = {p: v for p, v in arrays.items() if p.startswith("batch_stats.")}
    return DrawnClassifier(spec, params, statistics)
