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

torch = pytest.importorskip("torch", reason="the oracles are torch networks")

SIZE = (37, 52)
CLASSES = 5


class Oracle:
    """Layers of a reference net, with parameters by dotted path."""

    def __init__(self, params: dict[str, Any]):
        self.params = params

    def conv(self, name, x, stride=1, pad=0, groups=1, relu=True):
        """Convolution with bias, and ReLU."""
        weight = self.params[f"{name}.kernel"].permute(3, 2, 0, 1)
        bias = self.params[f"{name}.bias"]
        y = torch.nn.functional.conv2d(x, weight, bias, stride, pad, groups=groups)
        return torch.relu(y) if relu else y

    def score(self, name, x):
        """Score layer of the head."""
        return self.conv(f"head.{name}", x, relu=False)

    def learned(self, name, x, stride):
        """Deconvolution with a dense kernel of its own."""
        weight = self.params[f"head.{name}"].permute(2, 3, 0, 1)
        return torch.nn.functional.conv_transpose2d(x, weight, stride=stride)


def pool(x, kernel=2, stride=2, pad=0):
    return torch.nn.functional.max_pool2d(x, kernel, stride, pad, ceil_mode=True)


def norm(x):
    return torch.nn.functional.local_response_norm(x, 5, 1e-4, 0.75, 1.0)


def up(x, kernel, stride):
    """Deconvolution with the reference's dense bilinear weights."""
    factor = (kernel + 1) // 2
    centre = factor - 1 if kernel % 2 == 1 else factor - 0.5
    taps = 1 - abs(np.arange(kernel) - centre) / factor
    channels = x.shape[1]
    weight = np.zeros((channels, channels, kernel, kernel))
    weight[range(channels), range(channels)] = np.outer(taps, taps)
    weight = torch.tensor(weight, dtype=x.dtype)
    return torch.nn.functional.conv_transpose2d(x, weight, stride=stride)


def crop(x, offset, size):
    rows, columns = size
    assert offset + rows <= x.shape[2]
    assert offset + columns <= x.shape[3]
    return x[:, :, offset : offset + rows, offset : offset + columns]


def vgg16(net, x, trunk="trunk", first_pad=100, fc6_pad=0, until="fc7"):
    maps = {}
    for stage, depth in enumerate((2, 2, 3, 3, 3), start=1):
        for layer in range(1, depth + 1):
            pad = first_pad if (stage, layer) == (1, 1) else 1
            x = net.conv(f"{trunk}.conv{stage}_{layer}", x, pad=pad)
        x = maps[f"pool{stage}"] = pool(x)
        if until == f"pool{stage}":
            return maps
    x = net.conv(f"{trunk}.fc6", x, pad=fc6_pad)
    maps["fc7"] = net.conv(f"{trunk}.fc7", x)
    return maps


def alexnet(net, x, pool_first):
    def pool_and_norm(x):
        return norm(pool(x, 3)) if pool_first else pool(norm(x), 3)

    x = pool_and_norm(net.conv("trunk.conv1", x, stride=4, pad=100))
    x = pool_and_norm(net.conv("trunk.conv2", x, pad=2, groups=2))
    x = net.conv("trunk.conv3", x, pad=1)
    x = net.conv("trunk.conv4", x, pad=1, groups=2)
    x = pool(net.conv("trunk.conv5", x, pad=1, groups=2), 3)
    return net.conv("trunk.fc7", net.conv("trunk.fc6", x))


def inception(net, name, x):
    block = f"trunk.inception_{name}"
    three = net.conv(f"{block}.3x3", net.conv(f"{block}.3x3_reduce", x), pad=1)
    five = net.conv(f"{block}.5x5", net.conv(f"{block}.5x5_reduce", x), pad=2)
    project = net.conv(f"{block}.pool_proj", pool(x, 3, 1, 1))
    return torch.cat([net.conv(f"{block}.1x1", x), three, five, project], dim=1)


def googlenet(net, x):
    x = norm(pool(net.conv("trunk.conv1_7x7_s2", x, stride=2, pad=3 + 15), 3))
    x = net.conv("trunk.conv2_3x3", net.conv("trunk.conv2_3x3_reduce", x), pad=1)
    x = pool(norm(x), 3)
    for names in (("3a", "3b"), ("4a", "4b", "4c", "4d", "4e"), ("5a", "5b")):
        for name in names:
            x = inception(net, name, x)
        x = x if names[0] == "5a" else pool(x, 3)
    return x


def fcn8s(net, images, factors=(1.0, 1.0), fuse=torch.add, learned=False):
    upsample = {
        "upscore2": lambda x: up(x, 4, 2),
        "upscore_pool4": lambda x: up(x, 4, 2),
        "upscore8": lambda x: up(x, 16, 8),
    }
    if learned:
        upsample = {
            "upscore2": lambda x: net.learned("upscore2", x, 2),
            "upscore_pool4": lambda x: net.learned("upscore_pool4", x, 2),
            "upscore8": lambda x: net.learned("upscore8", x, 8),
        }
    maps = vgg16(net, images["color"])
    upscore2 = upsample["upscore2"](net.score("score_fr", maps["fc7"]))
    pool4 = net.score("score_pool4", maps["pool4"] * factors[0])
    fused = fuse(upscore2, crop(pool4, 5, upscore2.shape[2:]))
    upscore_pool4 = upsample["upscore_pool4"](fused)
    pool3 = net.score("score_pool3", maps["pool3"] * factors[1])
    fused = fuse(upscore_pool4, crop(pool3, 9, upscore_pool4.shape[2:]))
    return {"semantic": crop(upsample["upscore8"](fused), 31, SIZE)}


def fcn8s_same(net, images):
    maps = vgg16(net, images["color"], first_pad=1, fc6_pad=3)
    upscore2 = up(net.score("score_fr", maps["fc7"]), 4, 2)[:, :, 1:, 1:]
    pool4 = net.score("score_pool4", maps["pool4"])
    rows, columns = np.minimum(upscore2.shape[2:], pool4.shape[2:])
    fused = crop(upscore2, 0, (rows, columns)) + crop(pool4, 0, (rows, columns))
    upscore_pool4 = up(fused, 4, 2)[:, :, 1:, 1:]
    pool3 = net.score("score_pool3", maps["pool3"])
    rows, columns = np.minimum(upscore_pool4.shape[2:], pool3.shape[2:])
    fused = crop(upscore_pool4, 0, (rows, columns)) + crop(pool3, 0, (rows, columns))
    return {"semantic": crop(up(fused, 16, 8), 4, SIZE)}


def fcn16s(net, images, suffix=""):
    maps = vgg16(net, images["color"])
    upscore2 = up(net.score(f"score_fr{suffix}", maps["fc7"]), 4, 2)
    pool4 = net.score(f"score_pool4{suffix}", maps["pool4"])
    fused = upscore2 + crop(pool4, 5, upscore2.shape[2:])
    return crop(up(fused, 32, 16), 27, SIZE)


def late_fusion(net, images):
    scores = [
        net.score(f"score_fr_{name}", vgg16(net, images[name], name)["fc7"])
        for name in ("color", "hha")
    ]
    return {"semantic": crop(up(0.5 * scores[0] + 0.5 * scores[1], 64, 32), 19, SIZE)}


def early_fusion(net, images):
    x = torch.cat([images["color"], images["depth"]], dim=1)
    score = net.score("score_fr", vgg16(net, x)["fc7"])
    return {"semantic": crop(up(score, 64, 32), 19, SIZE)}


def truncated(net, images, name, factor, offset):
    features = vgg16(net, images["color"], until=name)[name]
    score = net.score(f"score_{name}", features)
    return {"semantic": crop(up(score, 2 * factor, factor), offset, SIZE)}


def odd_32s(net, trunk, offset):
    return {"semantic": crop(up(net.score("score_fr", trunk), 63, 32), offset, SIZE)}


VGG_8S = {"backbone": "vgg16", "stride": 8}
TWO = {"semantic": CLASSES, "geometric": 3}
NETS = {
    "8s": (VGG_8S, fcn8s),
    "8s-at-once": (
        {**VGG_8S, "at_once": True},
        lambda net, x: fcn8s(net, x, factors=(0.01, 0.0001)),
    ),
    "8s-max": (
        {**VGG_8S, "fusion": "max"},
        lambda net, x: fcn8s(net, x, fuse=torch.maximum),
    ),
    "8s-learned": (
        {**VGG_8S, "upsampling": "learned"},
        lambda net, x: fcn8s(net, x, learned=True),
    ),
    "8s-same": ({**VGG_8S, "padding": "same"}, fcn8s_same),
    "16s-two-outputs": (
        {"backbone": "vgg16", "stride": 16, "outputs": TWO},
        lambda net, x: {name: fcn16s(net, x, f"_{name}") for name in TWO},
    ),
    "32s-late-fusion": (
        {"backbone": "vgg16", "streams": {"color": ("color",), "hha": ("hha",)}},
        late_fusion,
    ),
    "32s-early-fusion": (
        {"backbone": "vgg16", "streams": {"trunk": ("color", "depth")}},
        early_fusion,
    ),
    "pool4": (
        {"backbone": "vgg16", "score_at": "pool4"},
        lambda net, x: truncated(net, x, "pool4", 16, 107),
    ),
    "pool3": (
        {"backbone": "vgg16", "score_at": "pool3"},
        lambda net, x: truncated(net, x, "pool3", 8, 103),
    ),
    "alexnet": (
        {"backbone": "alexnet"},
        lambda net, x: odd_32s(net, alexnet(net, x["color"], True), 18),
    ),
    "alexnet-norm-pool": (
        {"backbone": "alexnet", "order": "norm-pool"},
        lambda net, x: odd_32s(net, alexnet(net, x["color"], False), 18),
    ),
    "googlenet": (
        {"backbone": "googlenet"},
        lambda net, x: odd_32s(net, googlenet(net, x["color"]), 16),
    ),
}
CHANNELS = {"color": 3, "hha": 3, "depth": 1}


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
