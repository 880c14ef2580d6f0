"""Batch normalisation against torch, and against the valid pixels alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import ModifyScopeVariableError
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fcn_jax.layers.batch_norm import (
    batch_normalization,
    batch_statistics,
    normalized_by_batch,
)
from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.models.batch_norm import BatchNorm

LAYER = BatchNorm(momentum=0.9, epsilon=1e-3)
SIZES = ((5, 7), (6, 2), (1, 1), (4, 7), (6, 7), (3, 3), (2, 6), (1, 5))
CANVAS = (6, 7)
CHANNELS = 3


def _images():
    rng = np.random.default_rng(0)
    return [rng.normal(2, 3, (*size, CHANNELS)) for size in SIZES]


def _batch(images, dtype):
    """The images with a loud value around them, then masked."""
    batch = np.full((len(images), *CANVAS, CHANNELS), 99.0)
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return FeatureMap(jnp.asarray(batch, dtype), jnp.asarray(SIZES, jnp.int32)).masked()


def _variables(seed=1):
    rng = np.random.default_rng(seed)
    draw = [jnp.asarray(rng.uniform(0.5, 2, CHANNELS), jnp.float32) for _ in range(4)]
    return {
        "params": {"scale": draw[0], "bias": draw[1]},
        "batch_stats": {"mean": draw[2], "var": draw[3]},
    }


def _train(variables, x):
    return LAYER.apply(variables, x, train=True, mutable=["batch_stats"])


@pytest.mark.parametrize("train", [True, False])
def test_unpadded_images_equal_torch(train):
    """Oracle: torch.nn.BatchNorm2d, values, gradients and running statistics."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    values, cotangent = rng.normal(1, 2, (2, 4, 6, 7, CHANNELS))
    variables = _variables()
    layer = torch.nn.BatchNorm2d(CHANNELS, eps=1e-3, momentum=0.1, dtype=torch.float64)
    stats = variables["batch_stats"]
    for target, value in (
        (layer.weight.data, variables["params"]["scale"]),
        (layer.bias.data, variables["params"]["bias"]),
        (layer.running_mean, stats["mean"]),
        (layer.running_var, stats["var"]),
    ):
        target.copy_(torch.tensor(np.asarray(value, np.float64)))
    layer.train(train)
    x = torch.tensor(values.transpose(0, 3, 1, 2), requires_grad=True)
    expected = layer(x)
    expected.backward(torch.tensor(cotangent.transpose(0, 3, 1, 2)))

    def forward(params, values):
        given = {"params": params, "batch_stats": stats}
        if not train:
            return LAYER.apply(given, FeatureMap(values), train=False).values, stats
        found, moved = _train(given, FeatureMap(values))
        return found.values, moved["batch_stats"]

    with jax.enable_x64(True):
        own, pull, moved = jax.vjp(
            forward, variables["params"], jnp.asarray(values), has_aux=True
        )
        for_params, for_x = pull(jnp.asarray(cotangent))
    channels_last = (0, 2, 3, 1)
    np.testing.assert_allclose(
        own, expected.detach().permute(channels_last), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(for_x, x.grad.permute(channels_last), rtol=0, atol=1e-12)
    for name, parameter in (("scale", layer.weight), ("bias", layer.bias)):
        np.testing.assert_allclose(for_params[name], parameter.grad, rtol=1e-6)
    np.testing.assert_allclose(moved["mean"], layer.running_mean, rtol=1e-6)
    np.testing.assert_allclose(moved["var"], layer.running_var, rtol=1e-6)
    assert moved["mean"].dtype == moved["var"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)]
)
def test_padded_batch_has_the_statistics_of_its_images(dtype, tolerance):
    """Oracle: NumPy over the concatenated pixels of the images."""
    images = _images()
    pixels = np.concatenate([image.reshape(-1, CHANNELS) for image in images])
    with jax.enable_x64(dtype == "float64"):
        x, variables = _batch(images, dtype), _variables()
        found, moved = jax.jit(_train)(variables, x)
    scale, bias, mean, var = (
        np.asarray(value, np.float64)
        for value in (
            *(variables["params"][name] for name in ("scale", "bias")),
            *(variables["batch_stats"][name] for name in ("mean", "var")),
        )
    )
    spread = np.sqrt(pixels.var(axis=0) + 1e-3)
    for row, image in zip(np.array(found.values), images, strict=True):
        height, width = image.shape[:2]
        expected = (image - pixels.mean(axis=0)) / spread * scale + bias
        np.testing.assert_allclose(row[:height, :width], expected, atol=tolerance)
        row[:height, :width] = 0
        assert not row.any()
    stats = moved["batch_stats"]
    mean = 0.9 * mean + 0.1 * pixels.mean(axis=0)
    var = 0.9 * var + 0.1 * pixels.var(axis=0, ddof=1)
    np.testing.assert_allclose(stats["mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(stats["var"], var, rtol=1e-6)


def test_gradients_of_a_padded_batch():
    """Oracle: the gradient of a masked sum, by central differences in float64."""
    with jax.enable_x64(True):
        x, variables = _batch(_images(), "float64"), _variables()

        def total(values):
            found, _ = _train(variables, x.replace(values=values))
            return jnp.sum(jnp.sin(found.values))

        gradient = np.asarray(jax.grad(total)(x.values))
        total = jax.jit(total)
        for place in ((0, 4, 6, 0), (2, 0, 0, 1), (7, 0, 4, 2), (2, 1, 1, 1)):
            step = np.zeros(x.values.shape)
            step[place] = 1e-5
            slope = (total(x.values + step) - total(x.values - step)) / 2e-5
            assert gradient[place] == pytest.approx(float(slope), abs=1e-8)
    assert not gradient[~np.asarray(x.inside())[..., 0]].any()


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_the_gradient_in_training_is_that_of_the_formulas(relu, padded):
    """Oracle: jax's own derivative of statistics and normalisation, float64."""
    with jax.enable_x64(True):
        x = _batch(_images(), "float64")
        inside = x.inside() if padded else None
        scale, bias = (jnp.asarray(v) for v in _variables()["params"].values())
        cotangent = jnp.asarray(np.random.default_rng(4).normal(size=x.values.shape))

        def formulas(x, scale, bias):
            found = batch_statistics(x, inside)
            y = batch_normalization(x, found, scale=scale, bias=bias, epsilon=1e-3)
            y = jax.nn.relu(y) if relu else y
            y = y if inside is None else jnp.where(inside, y, 0.0)
            return jnp.sum(y * cotangent), found

        def own(x, scale, bias):
            y, found = normalized_by_batch(
                x, inside, scale=scale, bias=bias, epsilon=1e-3, relu=relu
            )
            y = y if inside is None else jnp.where(inside, y, 0.0)
            return jnp.sum(y * cotangent), found

        given = (x.values, scale, bias)
        expected, found = (
            jax.value_and_grad(function, (0, 1, 2), has_aux=True)(*given)
            for function in (formulas, own)
        )
    assert np.abs(expected[1][0]).max() > 0.1
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        assert one.dtype == other.dtype
        # Parameters, and so their gradients, are float32.
        rtol = 1e-6 if one.dtype == np.float32 else 1e-11
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-11)


def test_a_relu_after_batch_normalisation():
    """Oracle: the block without one; afterwards a pooling may pad with zeros."""
    x, variables = _batch(_images(), "float32"), _variables()
    block = BatchNorm(momentum=0.9, epsilon=1e-3, relu=True)
    for train in (False, True):
        own, _ = block.apply(variables, x, train=train, mutable=["batch_stats"])
        plain, _ = LAYER.apply(variables, x, train=train, mutable=["batch_stats"])
        assert own.nonnegative
        assert not plain.nonnegative
        assert (np.asarray(plain.values) < 0).any()
        np.testing.assert_array_equal(own.values, np.maximum(plain.values, 0))


def test_statistics_of_a_batch_on_eight_devices():
    """Oracle: one device; every device has the statistics of the whole batch."""
    mesh = Mesh(np.array(jax.devices()), ("data",))
    split = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    with jax.enable_x64(True):
        x, variables = _batch(_images(), "float64"), _variables()
        alone, moved = jax.jit(_train)(variables, x)
        placed = jax.device_put(x, split), jax.device_put(variables, everywhere)
        found, again = jax.jit(_train)(placed[1], placed[0])
        assert len(jax.devices()) == 8
        assert found.values.sharding.is_equivalent_to(split, 4)
        np.testing.assert_allclose(found.values, alone.values, rtol=0, atol=1e-12)
        for name, value in again["batch_stats"].items():
            np.testing.assert_allclose(value, moved["batch_stats"][name], rtol=1e-7)


def test_running_statistics_are_used_without_training():
    """Oracle: the formula in NumPy; what `apply` returns has no other collection."""
    variables, (image, *_) = _variables(), _images()
    x = FeatureMap(jnp.asarray(image[None], jnp.float32))
    found, changed = LAYER.apply(variables, x, train=False, mutable=["batch_stats"])
    params, stats = (jax.device_get(variables[n]) for n in ("params", "batch_stats"))
    expected = (image - stats["mean"]) / np.sqrt(stats["var"] + 1e-3)
    expected = expected * params["scale"] + params["bias"]
    np.testing.assert_allclose(found.values[0], expected, rtol=1e-4, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, changed["batch_stats"], stats)


def test_fresh_statistics_and_parameters():
    """Oracle: zeros and ones of float32, in training and with x64 as well."""
    for wide in (False, True):
        with jax.enable_x64(wide):
            x = FeatureMap(jnp.full((1, 2, 2, CHANNELS), 5.0))
            variables = LAYER.init(jax.random.key(0), x, train=True)
        for leaf in jax.tree.leaves(variables):
            assert leaf.dtype == jnp.float32
        for name, value in (("mean", 0), ("var", 1)):
            assert (variables["batch_stats"][name] == value).all()
        assert (variables["params"]["scale"] == 1).all()
        assert (variables["params"]["bias"] == 0).all()


def test_training_without_mutable_statistics_is_refused():
    """Oracle: Flax's own error, which names the collection."""
    x = _batch(_images(), "float32")
    with pytest.raises(ModifyScopeVariableError, match="batch_stats"):
        LAYER.apply(_variables(), x, train=True)


def test_low_precision_values_have_float32_statistics():
    """Oracle: float64 statistics of the same rounded values."""
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.normal(100, 1, (2, 30, 30, CHANNELS)), jnp.bfloat16)
    found = batch_statistics(x, None)
    exact = np.asarray(x, np.float64)
    np.testing.assert_allclose(found.mean, exact.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found.var, exact.var(axis=(0, 1, 2)), rtol=1e-5)
    y, _ = _train(_variables(), FeatureMap(x))
    assert y.values.dtype == jnp.bfloat16


def test_a_batch_of_one_pixel_and_of_none():
    """Oracle: by hand; the variance is zero, and nothing is infinite."""
    for size in ((1, 1), (0, 0)):
        x = FeatureMap(
            jnp.ones((1, 2, 2, CHANNELS)), jnp.asarray([size], jnp.int32)
        ).masked()
        found, moved = _train(_variables(), x)
        for leaf in (found.values, *jax.tree.leaves(moved)):
            assert np.isfinite(np.asarray(leaf)).all()
        var = _variables()["batch_stats"]["var"]
        np.testing.assert_allclose(moved["batch_stats"]["var"], 0.9 * var, rtol=1e-6)
