"""Every CPU form of a convolution, and the choice among them, against the library's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fcn_jax.layers import reference
from fcn_jax.layers.conv import by_platform, convolution
from fcn_jax.layers.cpu import convolution as cpu
from fcn_jax.layers.cpu import im2col
from fcn_jax.layers.reference import ConvSpec

LAYERS = {
    # height, width, channels, features, kernel, spec
    "pixels": (5, 3, 7, 4, 1, ConvSpec()),
    "winograd": (62, 57, 128, 256, 3, ConvSpec(pad=1)),
    "im2col": (9, 8, 84, 3, 7, ConvSpec()),
    "wide window in padding": (6, 7, 84, 3, 7, ConvSpec(pad=3)),
    "taps": (9, 13, 60, 5, 3, ConvSpec(pad=1)),
    "narrow window": (11, 6, 3, 8, 3, ConvSpec(pad=2)),
    "winograd for the kernel": (160, 171, 64, 64, 3, ConvSpec(pad=1)),
    "first layer of AlexNet": (40, 37, 3, 6, 11, ConvSpec(stride=4, pad=5)),
    "first layer of GoogLeNet": (21, 24, 3, 6, 7, ConvSpec(stride=2, pad=3)),
    "stride beyond the kernel": (11, 14, 3, 4, 2, ConvSpec(stride=3)),
    "groups": (9, 10, 96, 8, 5, ConvSpec(pad=2, groups=2)),
    "grouped and strided": (9, 11, 6, 4, 3, ConvSpec(stride=2, pad=1, groups=2)),
}


def _draw(layer, images, dtype=np.float64):
    height, width, channels, features, size, spec = layer
    rng = np.random.default_rng(height)
    x = rng.normal(size=(images, height, width, channels))
    kernel = rng.normal(size=(size, size, channels // spec.groups, features))
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("name", [n for n in LAYERS if "winograd" not in n])
def test_values_and_gradients(name, images):
    """Oracle: the library's convolution and its automatic gradients, float64."""
    layer = LAYERS[name]
    _compare(layer, images)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in LAYERS if "winograd" in n])
def test_values_and_gradients_of_large_layers(name):
    """Oracle: as above; the sizes at which Winograd's form is chosen."""
    _compare(LAYERS[name], 1)


def _compare(layer, images):
    spec = layer[-1]
    with jax.enable_x64(True):
        x, kernel = _draw(layer, images)
        expected = reference.convolve(x, kernel, spec)
        grad = jnp.sin(jnp.arange(expected.size, dtype=x.dtype)).reshape(expected.shape)
        expected_gradients = jax.jit(reference.gradients, static_argnums=3)(
            x, kernel, grad, spec
        )

        @jax.jit
        def own(x, kernel):
            y, pull = jax.vjp(
                lambda x, k: convolution(x, k, **spec._asdict()), x, kernel
            )
            return y, pull(grad)

        y, gradients = own(x, kernel)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-10)
        for mine, theirs in zip(gradients, expected_gradients, strict=True):
            assert mine.shape == theirs.shape
            scale = float(theirs.std())
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-11 * scale + 1e-12)


def test_the_forms_of_the_reference_nets():
    """Oracle: the rule by hand, for the layers of a 500 x 500 image."""
    layers = {
        "conv1_2": ((1, 502, 502, 64), (3, 3, 64, 64), ConvSpec(pad=2), "reference"),
        "conv4_3": ((1, 66, 66, 512), (3, 3, 512, 512), ConvSpec(pad=2), "winograd"),
        "fc6": ((1, 22, 22, 512), (7, 7, 512, 4096), ConvSpec(), "im2col"),
        "fc6 padded": ((1, 16, 16, 512), (7, 7, 512, 4096), ConvSpec(pad=3), "taps"),
        "fc7": ((1, 16, 16, 4096), (1, 1, 4096, 4096), ConvSpec(), "pixels"),
        "conv1": ((1, 500, 500, 3), (11, 11, 3, 96), ConvSpec(4, 100), "reference"),
    }
    for shape, kernel, spec, form in layers.values():
        x, kernel = jnp.broadcast_to(0.0, shape), jnp.broadcast_to(0.0, kernel)
        assert cpu._form(x, kernel, spec) == form


@pytest.mark.slow
@pytest.mark.parametrize("pad", [0, 1, 4])
def test_columns_and_taps(pad):
    """Oracle: the library's convolution and gradients, float64."""
    spec = ConvSpec(pad=pad)
    with jax.enable_x64(True):
        x, kernel = _draw((8, 9, 3, 4, 5, spec), 2)
        expected = reference.convolve(x, kernel, spec)
        for_x, for_kernel = reference.gradients(x, kernel, expected, spec)
        close = {"rtol": 0, "atol": 1e-10}
        np.testing.assert_allclose(im2col.convolve(x, kernel, pad), expected, **close)
        by_columns = im2col.kernel_gradient(x, expected, 5, pad)
        np.testing.assert_allclose(by_columns, for_kernel, **close)
        by_taps = im2col.kernel_gradient_by_taps(x, expected, 5, pad)
        np.testing.assert_allclose(by_taps, for_kernel, **close)
        back = im2col.input_gradient(expected, kernel, pad)
        np.testing.assert_allclose(back, for_x, **close)


@pytest.mark.parametrize("values", [1, 400, 1000, 10**9])
@pytest.mark.parametrize(("size", "pad"), [(3, 1), (5, 0), (2, 2)])
def test_bands_of_rows(monkeypatch, size, pad, values):
    """Oracle: the library's gradient, float64; bands of 1 row, some, a rest, and all."""
    monkeypatch.setattr(im2col, "BAND", values)
    spec = ConvSpec(pad=pad)
    with jax.enable_x64(True):
        x, kernel = _draw((11, 9, 3, 4, size, spec), 2)
        grad = reference.convolve(x, kernel, spec)
        expected = reference.gradients(x, kernel, grad, spec)[1]
        found = jax.jit(im2col.kernel_gradient_by_bands, static_argnums=(2, 3))(
            x, grad, size, pad
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("height", "width", "size", "pad"),
    [
        (8, 9, 7, 3),
        (1, 2, 7, 3),
        (5, 4, 6, 3),
        (4, 3, 3, 5),
        (9, 8, 5, 0),
        (2, 7, 5, 4),
    ],
)
def test_taps_outside_the_map_are_left_out(height, width, size, pad):
    """Oracle: the library's convolution and its input's gradient, float64.

    Also kernels of an even size, maps that no central tap fills, padding beyond the
    kernel, and the number of products: the taps that see a pixel, by hand.
    """
    spec = ConvSpec(pad=pad)
    with jax.enable_x64(True):
        x, kernel = _draw((height, width, 3, 4, size, spec), 2)
        expected = reference.convolve(x, kernel, spec)
        for_x, _ = reference.gradients(x, kernel, expected, spec)
        own = im2col.convolve_by_taps(x, kernel, pad)
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-10)
        back = im2col.input_gradient_by_taps(expected, kernel, pad)
        np.testing.assert_allclose(back, for_x, rtol=0, atol=1e-10)
        products = str(jax.make_jaxpr(im2col.convolve_by_taps, 2)(x, kernel, pad))
    rows, across = (
        sum(
            any(
                0 <= out + tap - pad < length
                for out in range(length + 2 * pad - size + 1)
            )
            for tap in range(size)
        )
        for length in (height, width)
    )
    assert products.count("dot_general") == rows * across


def test_small_layers_keep_the_library():
    """Oracle: the rule; conv1_2 of a 32 x 32 image is large, a narrow net's is not."""
    x = jnp.broadcast_to(0.0, (1, 34, 34, 64))
    assert cpu.pays(x, jnp.broadcast_to(0.0, (3, 3, 64, 64)), ConvSpec())
    x = jnp.broadcast_to(0.0, (1, 260, 260, 4))
    assert not cpu.pays(x, jnp.broadcast_to(0.0, (3, 3, 4, 4)), ConvSpec())


def test_other_dtypes_and_dilation_keep_the_library(monkeypatch):
    """Oracle: the library's result, bit for bit."""
    monkeypatch.setattr(cpu, "SMALL_WORK", 0)
    x, kernel = _draw(LAYERS["taps"], 2, np.float32)
    low = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    assert not cpu.pays(*low, ConvSpec())
    assert not cpu.pays(x, kernel, ConvSpec(dilation=2))
    own = convolution(x, kernel, dilation=2)
    np.testing.assert_array_equal(
        own, reference.convolve(x, kernel, ConvSpec(dilation=2))
    )


def test_second_derivatives():
    """Oracle: the library's convolution, differentiated in reverse twice."""
    with jax.enable_x64(True):
        x, kernel = _draw(LAYERS["taps"], 1)

        def twice(function):
            inner = jax.grad(lambda x: jnp.sum(function(x) ** 3))
            return jax.grad(lambda x: jnp.sum(inner(x) ** 2))(x)

        own = twice(lambda x: by_platform(x, kernel, ConvSpec(pad=1)))
        expected = twice(lambda x: reference.convolve(x, kernel, ConvSpec(pad=1)))
        np.testing.assert_allclose(own, expected, rtol=1e-9)


def test_split_over_devices():
    """Oracle: one device; the gradient of the kernel is summed over all images."""
    mesh = Mesh(np.array(jax.devices()), ("data",))
    split = NamedSharding(mesh, PartitionSpec("data"))
    whole = NamedSharding(mesh, PartitionSpec())
    with jax.enable_x64(True):
        x, kernel = _draw(LAYERS["taps"], 8)

        def both(x, kernel):
            y, pull = jax.vjp(
                lambda x, k: by_platform(x, k, ConvSpec(pad=1)), x, kernel
            )
            return y, pull(y)

        alone = both(x, kernel)
        split_up = jax.jit(both)(
            jax.device_put(x, split), jax.device_put(kernel, whole)
        )
        assert split_up[0].sharding.is_equivalent_to(split, 4)
        for mine, theirs in zip(*map(jax.tree.leaves, (split_up, alone)), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-9)
