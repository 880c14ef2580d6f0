"""Whole small networks against the same networks written in torch.

The torch networks are written from the papers' tables and the reference's
prototxts: paddings, strides and crop offsets are typed here as numbers, bilinear
weights are dense. All weights are random, those of the score layers included.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.layers.geometry import Geometry, Window
from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.models.heads import SkipHead
from fcn_jax.models.spec import ScoreLayer
from fcn_jax.params.paths import flatten
from tests.models.torch_fcns import (
    CHANNELS,
    CLASSES,
    NETS,
    SIZE,
    Oracle,
)

torch = pytest.importorskip("torch", reason="the oracles are torch networks")


def _network(settings: dict[str, Any]):
    """A narrow net, random parameters that keep its features alive, an image."""
    model = build_fcn(**{"outputs": {"semantic": CLASSES}, "width": 1 / 16, **settings})
    channels = {
        name: CHANNELS[name] for stream in model.streams for name in stream.inputs
    }
    rng = np.random.default_rng(0)

    def draw(shape):
        if len(shape.shape) == 1:
            return rng.uniform(0, 1, shape.shape)
        return rng.normal(0, (2 / np.prod(shape.shape[:-1])) ** 0.5, shape.shape)

    params = jax.tree.map(draw, parameter_shapes(model, channels))
    images = {
        name: rng.uniform(-120, 130, (1, *SIZE, count))
        for name, count in channels.items()
    }
    return model, params, images


def _ours(model, params, images, cotangents, dtype):
    """Scores, and the gradient of their product with the cotangents."""

    def objective(params, images):
        maps = model.apply({"params": params}, images, train=False)
        scores = {name: found.values for name, found in maps.items()}
        parts = [(scores[name] * cotangents[name]).sum() for name in scores]
        return sum(parts[1:], start=parts[0]), scores

    arrays = [
        jax.tree.map(lambda a: jnp.asarray(a, dtype), t) for t in (params, images)
    ]
    cotangents = {name: jnp.asarray(c, dtype) for name, c in cotangents.items()}
    step = jax.jit(jax.value_and_grad(objective, has_aux=True))
    (_, scores), gradients = step(*arrays)
    return scores, flatten(gradients)


def _theirs(oracle, params, images, cotangents):
    """The same from torch, in float64."""
    tensors = {
        path: torch.tensor(value, requires_grad=True)
        for path, value in flatten(params).items()
    }
    inputs = {
        name: torch.tensor(image).permute(0, 3, 1, 2) for name, image in images.items()
    }
    scores = oracle(Oracle(tensors), inputs)
    scores = {name: value.permute(0, 2, 3, 1) for name, value in scores.items()}
    sum(
        (scores[name] * torch.tensor(cotangents[name])).sum() for name in scores
    ).backward()
    gradients = {path: tensor.grad.numpy() for path, tensor in tensors.items()}
    return {name: value.detach().numpy() for name, value in scores.items()}, gradients


def _cotangents(settings):
    outputs = settings.get("outputs", {"semantic": CLASSES})
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=(1, *SIZE, k)) for name, k in outputs.items()}


def _assert_close(ours, theirs, tolerance, dead=0):
    """Equal to within `tolerance` deviations; `dead` arrays at most are all zero."""
    assert ours.keys() == theirs.keys()
    assert sum(not expected.any() for expected in theirs.values()) <= dead
    for name, expected in theirs.items():
        difference = np.abs(np.asarray(ours[name]) - expected).max()
        assert difference <= tolerance * expected.std(), name


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_network_equals_torch_in_float64(name):
    """Oracle: the torch network above; scores, and gradients of all parameters."""
    settings, oracle = NETS[name]
    model, params, images = _network(settings)
    cotangents = _cotangents(settings)
    expected, expected_gradients = _theirs(oracle, params, images, cotangents)
    with jax.enable_x64(True):
        scores, gradients = _ours(model, params, images, cotangents, np.float64)
    assert scores["semantic"].dtype == np.float64
    assert scores["semantic"].shape == (1, *SIZE, CLASSES)
    _assert_close(scores, expected, 1e-9)
    # Some of GoogLeNet's smallest branches, of two channels here, are never active.
    dead = 8 if name == "googlenet" else 0
    _assert_close(gradients, expected_gradients, 1e-8, dead)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["8s", "alexnet", "googlenet"])
def test_network_equals_torch_in_float32(name):
    """Oracle: the torch network above, in float64."""
    settings, oracle = NETS[name]
    model, params, images = _network(settings)
    cotangents = _cotangents(settings)
    expected, _ = _theirs(oracle, params, images, cotangents)
    forward = jax.jit(lambda p, x: model.apply({"params": p}, x, train=False))
    arrays = [
        jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), t) for t in (params, images)
    ]
    scores = forward(*arrays)["semantic"].values
    assert scores.dtype == np.float32
    _assert_close({"semantic": scores}, expected, 1e-4)


# The head alone -----------------------------------------------------------------


def _endpoints(dtype=jnp.float32):
    """Two streams with one stride-2 map over an image of 7 x 5 pixels."""
    geometry = Geometry((Window("convolution", 6, stride=2, pad=5),))
    rng = np.random.default_rng(2)
    shape = (1, geometry.size(7), geometry.size(5), 4)
    return {
        stream: {
            "last": FeatureMap(
                jnp.asarray(rng.normal(size=shape), dtype), None, geometry
            )
        }
        for stream in ("color", "hha")
    }


def _head(**settings):
    settings = {"outputs": (("semantic", 3),), **settings}
    return SkipHead(scores=(ScoreLayer("score", "last"),), **settings)


@pytest.mark.slow
def test_fresh_scores_are_zero_or_small_and_learned_upsampling_starts_bilinear():
    """Oracle: zero initialisation; standard deviation 0.01; the fixed upsampling."""
    endpoints = {"trunk": _endpoints()["color"]}
    key = jax.random.key(0)
    maps, variables = _head().init_with_output(key, endpoints, canvas=(7, 5))
    assert maps["semantic"].values.shape == (1, 7, 5, 3)
    assert not maps["semantic"].values.any()
    assert not any(leaf.any() for leaf in jax.tree.leaves(variables["params"]))
    gaussian = _head(score_init="gaussian", outputs=(("semantic", 250),))
    params = gaussian.init(key, endpoints, canvas=(7, 5))["params"]
    assert params["score"]["kernel"].std() == pytest.approx(0.01, rel=0.1)
    assert not params["score"]["bias"].any()
    fixed = _head(score_init="gaussian")
    learned = _head(score_init="gaussian", upsampling="learned")
    start = learned.init(key, endpoints, canvas=(7, 5))["params"]
    own = {"score": start["score"]}
    np.testing.assert_allclose(
        learned.apply({"params": start}, endpoints, canvas=(7, 5))["semantic"].values,
        fixed.apply({"params": own}, endpoints, canvas=(7, 5))["semantic"].values,
        rtol=1e-5,
        atol=1e-7,
    )


def test_scores_of_low_precision_features_are_float32():
    """Oracle: the docstring; the features are bfloat16."""
    head = _head(score_init="gaussian")
    maps, _ = head.init_with_output(
        jax.random.key(0), _endpoints(jnp.bfloat16), canvas=(7, 5)
    )
    assert maps["semantic"].values.dtype == jnp.float32


def test_scores_that_end_inside_the_image_are_refused():
    """Oracle: by hand; the map of a 7 x 5 image covers no 14 x 5 canvas."""
    with pytest.raises(ValueError, match="end . pixels inside the image; enlarge"):
        _head().init(jax.random.key(0), _endpoints(), canvas=(14, 5))


@pytest.mark.slow
def test_streams_of_late_fusion_drop_different_features():
    """Oracle: independent coins agree about half of the time, not always."""
    settings, _ = NETS["32s-late-fusion"]
    model, params, images = _network(settings)
    # The same trunk and image twice, so that only the masks can differ.
    params = {**params, "hha": params["color"]}
    images = {"color": images["color"], "hha": images["color"]}
    arrays = [
        jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), t) for t in (params, images)
    ]
    keys = jax.random.split(jax.random.key(0), 1)
    _, variables = model.apply(
        {"params": arrays[0]},
        arrays[1],
        train=True,
        dropout_keys=keys,
        mutable=["endpoints"],
    )
    maps = variables["endpoints"]
    color, hha = (maps[f"{name}_maps"][0]["fc6"].values for name in ("color", "hha"))
    assert (np.asarray(color) != np.asarray(hha)).any()
