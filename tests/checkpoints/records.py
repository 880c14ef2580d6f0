"""Records of tiny nets in both versions, and their checkpoints."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fcn_jax import config as configuration
from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.models.build import build
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.params.trees import flat_arrays
from tests.tiny import get_config

CLASSES = {"names": ["a", "b"], "palette": [[0, 0, 0], [9, 9, 9]]}
COLOR = {"mean": [1.0, 2.0, 3.0], "scale": 1.0, "logarithm": False, "origin": ""}
VERSIONS = (1, 2)


def tiny_record(version: int = 1, **changes: Any) -> dict[str, Any]:
    """A record of the tiny net; of version 1 as 0.1.0 wrote it.

    Args:
        version: of its form.
        changes: in its form of version 1.
    """
    config = configuration.to_dict(get_config())
    del config["model"]["scores"], config["model"]["head"]  # newer than 0.1.0
    record = {
        "network": "fcn",
        "config": config,
        "outputs": {"semantic": CLASSES},
        "preprocessing": {"color": COLOR},
        "origins": {"trunk.conv1_1.kernel": "initialised"},
        **changes,
    }
    if version == 1:
        return record
    return json.loads(json.dumps(Record.from_dict(record, "x").to_dict()))


def classifier_record(version: int = 1) -> dict[str, Any]:
    return tiny_record(version, network="classifier", outputs={}, categories=["a", "b"])


def drawn_params(record: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Parameters of the net of a record, all of them 0.01."""
    spec = Record.from_dict(record, "x").spec
    size = 224 if spec.is_classifier else 64
    shapes = flat_arrays(parameter_shapes(build(spec), {"color": 3}, size))
    return {name: np.full(own.shape, 0.01, own.dtype) for name, own in shapes.items()}


def save(directory: Path, record: Mapping[str, Any], params: Mapping[str, Any]):
    CheckpointStore(directory).save(0, params=params, optimizer={}, record=record)
