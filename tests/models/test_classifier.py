"""The ImageNet classifiers made convolutional: shapes, sizes and numbers of parameters.

Their scores are compared with torch networks in tests/convert/test_nets.py.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.models.build import BACKBONES, build_classifier
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.models.heads import CLASSIFIER_OUTPUT
from fcn_jax.params.paths import flatten


def _shape(model: Any, height: int, width: int, images: int = 1) -> tuple[int, ...]:
    """Shape of the scores, without computing any."""
    size = max(own.native_size for own in BACKBONES.values())
    params = parameter_shapes(model, {"color": 3}, size)
    image = jax.ShapeDtypeStruct((images, height, width, 3), jnp.float32)
    maps = jax.eval_shape(
        lambda p, x: model.apply({"params": p}, {"color": x}, train=False),
        params,
        image,
    )
    assert set(maps) == {"imagenet"}
    return maps[CLASSIFIER_OUTPUT].values.shape


def _pooled(length: int, size: int, stride: int) -> int:
    return math.ceil((length - size) / stride) + 1


def _vgg16(length: int) -> int:
    for _ in range(5):
        length = _pooled(length, 2, 2)
    return length - 6


def _alexnet(length: int) -> int:
    length = (length - 11) // 4 + 1
    for _ in range(3):
        length = _pooled(length, 3, 2)
    return length - 5


def _googlenet(length: int) -> int:
    length = (length + 6 - 7) // 2 + 1
    for _ in range(4):
        length = _pooled(length, 3, 2)
    return length - 6


SIZES = {"vgg16": _vgg16, "alexnet": _alexnet, "googlenet": _googlenet}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_image_of_the_own_size_gives_one_vector(backbone):
    """Oracle: the ImageNet nets' own sizes."""
    own = {"vgg16": 224, "alexnet": 227, "googlenet": 224}[backbone]
    assert BACKBONES[backbone].native_size == own
    model = build_classifier(backbone=backbone, width=1 / 16)
    assert _shape(model, own, own, images=2) == (2, 1, 1, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_larger_image_gives_a_map(backbone):
    """Oracle: the formulas of Caffe's layers, written above."""
    model = build_classifier(backbone=backbone, classes=7, width=1 / 16)
    size = SIZES[backbone]
    assert size(BACKBONES[backbone].native_size) == 1
    for height, width in ((225, 240), (256, 257), (300, 500), (227, 600)):
        if height < BACKBONES[backbone].native_size:
            continue
        assert _shape(model, height, width) == (1, size(height), size(width), 7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "order", "count"),
    [
        ("vgg16", "pool-norm", 138_357_544),
        ("alexnet", "pool-norm", 60_965_224),
        ("alexnet", "norm-pool", 60_965_224),
        ("googlenet", "pool-norm", 6_998_552),
    ],
)
def test_numbers_of_parameters_as_published(backbone, order, count):
    """Oracle: the numbers of float32 values in the published files."""
    model = build_classifier(backbone=backbone, order=order)
    shapes = flatten(parameter_shapes(model, {"color": 3}, 227))
    assert sum(math.prod(value.shape) for value in shapes.values()) == count
    last = "head.loss3_classifier" if backbone == "googlenet" else "head.fc8"
    inputs = 1024 if backbone == "googlenet" else 4096
    assert shapes[f"{last}.kernel"].shape == (1, 1, inputs, 1000)


def test_scores_are_not_rectified():
    """Oracle: a bias of -1 on zero weights."""
    model = build_classifier(backbone="alexnet", classes=3, width=1 / 48)
    params = jax.tree.map(
        lambda s: np.zeros(s.shape, np.float32),
        parameter_shapes(model, {"color": 3}, 227),
    )
    params["head"]["fc8"]["bias"] = np.full(3, -1, np.float32)
    image = jnp.ones((1, 227, 227, 3), jnp.float32)
    maps: Any = model.apply({"params": params}, {"color": image}, train=False)
    assert np.asarray(maps[CLASSIFIER_OUTPUT].values).tolist() == [[[[-1, -1, -1]]]]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"backbone": "resnet"}, "backbone is 'resnet'; it must be one of vgg16"),
        ({"backbone": "alexnet", "order": "norm"}, "order is 'norm'.*norm-pool"),
    ],
)
def test_other_names_are_refused(settings, words):
    """Oracle: the documented choices."""
    with pytest.raises(ValueError, match=words):
        build_classifier(**settings)
