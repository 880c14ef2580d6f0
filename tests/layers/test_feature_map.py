"""Layers on padded batches of feature maps: against the images one by one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.feature_map import FeatureMap, add, concatenate
from fcn_jax.layers.frame import Frame, FramedMap, framed
from fcn_jax.layers.geometry import Geometry, Window, same_grid
from fcn_jax.models.blocks import Convolution, fully_connected, run_until

SIZES = ((11, 14), (16, 5), (2, 3), (9, 16))
CANVAS = (16, 16)


def _images(channels=3):
    """Images of both signs, alone and padded with a loud value."""
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(*size, channels)) - 1 for size in SIZES]
    batch = np.full((len(SIZES), *CANVAS, channels), 77.0)
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    sizes = jnp.asarray(SIZES, jnp.int32)
    alone = [FeatureMap(jnp.asarray(image[None])) for image in images]
    return alone, FeatureMap(jnp.asarray(batch), sizes).masked()


def _assert_equal(batch, alone, tolerance=1e-12):
    """Every image of a padded batch, and zeros around it."""
    for row, image in zip(batch.values, alone, strict=True):
        height, width = image.values.shape[1:3]
        np.testing.assert_allclose(
            row[:height, :width], image.values[0], rtol=0, atol=tolerance
        )
        rest = np.asarray(row).copy()
        rest[:height, :width] = 0
        assert not rest.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1)]
)
def test_max_pooling_of_values_of_any_sign(kernel, stride, pad):
    """Oracle: each image alone, in float64, values and gradients."""

    def pooled(x):
        return x.max_pooled(kernel=kernel, stride=stride, pad=pad)

    def gradient(x):
        def total(values):
            return jnp.sum(jnp.sin(pooled(x.replace(values=values)).values))

        return x.replace(values=jax.grad(total)(x.values))

    with jax.enable_x64(True):
        alone, batch = _images()
        _assert_equal(pooled(batch), [pooled(x) for x in alone])
        _assert_equal(gradient(batch), [gradient(x) for x in alone])


def test_maps_know_whether_they_may_be_negative():
    """Oracle: the rule by hand; only what may be is masked once more for pooling."""
    _, image = _images()
    kernel = jnp.ones((3, 3, 3, 2))
    linear = image.convolved(kernel, None, pad=1, relu=False)
    rectified = image.convolved(kernel, None, pad=1)
    assert not image.nonnegative
    assert not linear.nonnegative
    assert rectified.nonnegative
    assert linear.relu().nonnegative
    assert rectified.max_pooled(kernel=2, stride=2).nonnegative
    assert not linear.max_pooled(kernel=2, stride=2).nonnegative
    assert not rectified.map(jnp.negative).nonnegative
    assert rectified.map(jnp.sqrt, keeps_sign=True).nonnegative
    assert not linear.map(jnp.sin, keeps_sign=True).nonnegative
    assert add(rectified, rectified).nonnegative
    assert not add(rectified, linear).nonnegative
    assert not concatenate([linear, rectified]).nonnegative


@pytest.mark.parametrize("dilation", [2, 3])
def test_dilated_convolution_of_a_padded_batch(dilation):
    """Oracle: each image alone; sizes by the window, the receptive field by hand."""
    layer = Convolution(4, kernel=3, pad=dilation, dilation=dilation)
    with jax.enable_x64(True):
        alone, batch = _images()
        variables = layer.init(jax.random.key(0), batch)
        own = layer.apply(variables, batch)
        _assert_equal(own, [layer.apply(variables, x) for x in alone])
    assert own.geometry.steps == (Window("convolution", 3, 1, dilation, dilation),)
    assert own.geometry.receptive_field == 2 * dilation + 1
    assert own.geometry.map == (1, 0)
    assert own.values.shape[1:3] == CANVAS


def test_dilated_convolution_equals_torch():
    """Oracle: torch's conv2d with stride, padding, dilation and groups."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(2, 13, 17, 4)), rng.normal(size=(3, 3, 2, 6))
    with jax.enable_x64(True):
        own = FeatureMap(jnp.asarray(x)).convolved(
            jnp.asarray(kernel), None, stride=2, pad=3, dilation=4, groups=2, relu=False
        )
    expected = torch.nn.functional.conv2d(
        torch.tensor(x).permute(0, 3, 1, 2),
        torch.tensor(kernel).permute(3, 2, 0, 1),
        stride=2,
        padding=3,
        dilation=4,
        groups=2,
    ).permute(0, 2, 3, 1)
    np.testing.assert_allclose(own.values, expected, rtol=0, atol=1e-12)
    assert own.values.shape[1:3] == (own.geometry.size(13), own.geometry.size(17))


@pytest.mark.slow
def test_a_framed_image_is_computed_whole_for_a_dilated_layer():
    """Oracle: the same layers on the padded image, without a bias too; float64."""
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        kernels = [
            jnp.asarray(rng.normal(size=(3, 3, channels, 4))) for channels in (3, 4, 4)
        ]
        _, image = _images()
        maps = []
        for x in (framed(image, Frame(39, 4)), image):
            first = x.convolved(kernels[0], None, pad=40)
            second = first.convolved(kernels[1], None, pad=1)
            third = second.convolved(kernels[2], None, pad=2, dilation=2)
            maps.append((second, third))
        (parts, own), (plain, expected) = maps
        assert isinstance(parts, FramedMap)
        assert isinstance(own, FeatureMap)
        assert own.geometry == expected.geometry
        assert plain.nonnegative
        np.testing.assert_allclose(own.values, expected.values, rtol=0, atol=1e-10)


class _FullyConnected(nn.Module):
    """fc6 of VGG16, dilated, and fc7."""

    @nn.compact
    def __call__(self, x):
        layers = fully_connected(
            1 / 64, kernel=7, pad=6, rate=0.5, train=False, keys=None, dilation=2
        )
        return run_until(layers, x, "fc7")


def test_dilation_of_the_fully_connected_layers():
    """Oracle: by hand; fc6's 7 taps, 2 apart, see 13 cells, and fc7 sees no more."""
    maps = jax.eval_shape(
        lambda x: _FullyConnected().init_with_output(jax.random.key(0), x)[0],
        FeatureMap(jax.ShapeDtypeStruct((1, 9, 12, 8), jnp.float32)),
    )
    for name in ("fc6", "fc7"):
        assert maps[name].geometry.receptive_field == 13
        assert maps[name].values.shape == (1, 9, 12, 64)


def test_sum_of_maps_in_a_padded_batch():
    """Oracle: each image alone; a residual block with a strided shortcut."""
    rng = np.random.default_rng(3)
    kernels = [rng.normal(size=(k, k, 3, 3)) for k in (3, 3, 1)]

    def block(x):
        wide, again, short = (jnp.asarray(kernel) for kernel in kernels)
        left = x.convolved(wide, None, stride=2, pad=1)
        left = left.convolved(again, None, pad=1, relu=False)
        return add(left, x.convolved(short, None, stride=2, relu=False)).relu()

    with jax.enable_x64(True):
        alone, batch = _images()
        own = block(batch)
        _assert_equal(own, [block(x) for x in alone])
        assert own.geometry.map == (2, 0)
        assert own.geometry.receptive_field == 7
        wider = own.after(Window("convolution", 3, pad=1), own.values)
        for total in (add(own, wider), add(wider, own)):
            assert total.geometry == wider.geometry


def test_maps_that_cannot_be_added_are_refused():
    """Oracle: by hand; of 16 rows pooling 3 / 2 keeps 8, a convolution 7."""
    _, image = _images()
    values = jnp.ones((4, 7, 7, 3))
    pooled = image.after(Window("pooling", 3, 2), values)
    strided = image.after(Window("convolution", 3, 2), values)
    assert pooled.geometry.map == strided.geometry.map
    for join in (add, lambda *maps: concatenate(maps)):
        with pytest.raises(ValueError, match="different extents cannot be"):
            join(pooled, strided)
        with pytest.raises(ValueError, match="different places cannot be"):
            join(image.after(Window("pooling", 2, 2), values), strided)


def test_same_grid_says_whether_extents_ever_differ():
    """Oracle: extents of all images up to 600 pixels, compared one by one."""
    chains = [
        Geometry(tuple(Window(*window) for window in windows))
        for windows in (
            [("convolution", 3, 2, 1)],
            [("convolution", 1, 2, 0)],
            [("pooling", 3, 2, 1)],
            [("pooling", 1, 2, 0)],
            [("convolution", 3, 2, 1), ("convolution", 3, 2, 1)],
            [("convolution", 1, 4, 0)],
            [("pooling", 3, 2, 1), ("convolution", 3, 2, 1)],
            [("convolution", 3, 1, 1), ("pooling", 2, 2, 0), ("transposed", 3, 2, 0)],
            [("convolution", 1, 3, 0), ("convolution", 5, 4, 2)],
        )
    ]
    same = 0
    for first in chains:
        for second in chains:
            expected = first.map == second.map and all(
                first.size(n) == second.size(n) for n in range(1, 600)
            )
            assert same_grid(first, second) == expected
            same += expected
    assert len(chains) < same < len(chains) ** 2
