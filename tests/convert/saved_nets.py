"""Checkpoints of narrow nets, and pictures for them."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from fcn_jax import config as configuration
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.data.labels import VOC, Classes
from fcn_jax.experiment.reading import read_preprocessing
from fcn_jax.models.build import build, spec_of_settings
from fcn_jax.models.fcn import channels, parameter_shapes
from fcn_jax.params.paths import flatten

safetensors = pytest.importorskip("safetensors.torch", reason="it reads the files")

CLASSES = Classes(VOC.names[:5], VOC.palette[:5])
SIZE = (37, 52)
MEAN = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)
"""The reference's, in the order blue, green, red."""


def save(
    directory: Path,
    outputs: Mapping[str, Classes] = MappingProxyType({"semantic": CLASSES}),
    *,
    streams: Mapping[str, tuple[str, ...]] = MappingProxyType({"trunk": ("color",)}),
    records: Mapping[str, dict] = MappingProxyType({}),
    **model: object,
) -> Path:
    """A checkpoint with random weights, those of the score layers included.

    Args:
        directory: where to.
        outputs: classes by name.
        streams: input names of each trunk.
        records: preprocessing where it differs.
        model: what else differs in the network.
    """
    config = configuration.base().unlock()
    config.preprocessing.update(records)
    config.model.update({"width": 1 / 16, **model})
    config.model.streams = type(config.model)(dict(streams))
    records = read_preprocessing(config)
    counts = {name: len(classes) for name, classes in outputs.items()}
    network = build(spec_of_settings(configuration.to_dict(config)["model"], counts))
    shapes = flatten(parameter_shapes(network, channels(records)))
    rng = np.random.default_rng(11)
    params = {}
    for path, shape in shapes.items():
        size = shape.shape
        scale = 3.0 if len(size) == 1 else np.sqrt(2 / np.prod(size[:3]))
        params[path] = rng.normal(0, scale, size).astype(np.float32)
    if config.model.at_once:  # so that the factors leave the skips as large as fc7's
        for endpoint, scale in (("pool4", 100), ("pool3", 10_000)):
            if f"head.score_{endpoint}.kernel" in params:
                params[f"head.score_{endpoint}.kernel"] *= np.float32(scale)
    CheckpointStore(directory).save(
        7,
        params=params,
        optimizer={},
        record={
            "config": configuration.to_dict(config),
            "outputs": {name: own.to_dict() for name, own in outputs.items()},
            "preprocessing": {n: r.to_dict() for n, r in records.items()},
        },
    )
    return directory


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


HHA = {"mean": (132.0, 94.0, 118.0), "scale": 0.5, "logarithm": False, "origin": "x"}
DEPTH = {"mean": (7.844,), "scale": 3.0, "logarithm": True, "origin": "x"}
