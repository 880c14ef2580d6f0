"""A narrow VGG16 as a caffemodel, its last layers fully connected as in Caffe."""

import math
from collections.abc import Mapping

import numpy as np

from tests.convert.caffemodel_writer import caffemodel

WIDTH = 1 / 16
STAGES = ((2, 4), (2, 8), (3, 16), (3, 32), (3, 32))


def vgg16_caffemodel(change: Mapping[str, float] | None = None) -> bytes:
    """The file's bytes, with He-normal weights.

    Args:
        change: layer -> value that the first number of its weight gets.
    """
    rng = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for stage, (depth, width) in enumerate(STAGES, start=1):
        for layer in range(1, depth + 1):
            shapes[f"conv{stage}_{layer}"] = (width, channels, 3, 3)
            channels = width
    shapes |= {"fc6": (256, 32 * 49), "fc7": (256, 256), "fc8": (1000, 256)}
    blobs = {}
    for name, shape in shapes.items():
        weight = rng.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape)
        bias = rng.normal(0, 0.1, shape[:1])
        blobs[name] = [weight.astype(np.float32), bias.astype(np.float32)]
    for name, value in (change or {}).items():
        blobs[name][0].flat[0] = value
    return caffemodel(blobs)
