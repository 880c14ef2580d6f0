"""Bilinear upsampling against its dense form, torch and properties of a ramp."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fcn_jax.layers.upsample import (
    bilinear_kernel,
    bilinear_taps,
    bilinear_upsample,
    transposed_convolution,
)

SIZES = [(2, 4), (3, 5), (8, 16), (4, 7)]
"""(stride, kernel): even and odd kernels."""


def surgery_kernel(size):
    """The reference's upsample_filt, from its description."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    rows, columns = np.ogrid[:size, :size]
    return (1 - abs(rows - centre) / factor) * (1 - abs(columns - centre) / factor)


@pytest.mark.parametrize(
    ("kernel", "start", "largest"),
    [
        (4, [0.25, 0.75], 0.75),
        (16, [0.0625, 0.1875], 0.9375),
        (32, [0.03125, 0.09375], 0.96875),
        (64, [0.015625, 0.046875], 0.984375),
        (63, [0.03125, 0.0625], 1.0),
    ],
)
def test_taps_of_the_reference(kernel, start, largest):
    """Oracle: the reference's numbers; the taps sum to the stride."""
    taps = bilinear_taps(kernel)
    assert taps.shape == (kernel,)
    np.testing.assert_array_equal(taps[:2], start)
    assert taps.max() == largest
    np.testing.assert_array_equal(taps, taps[::-1])
    assert taps.sum() == (kernel + 1) // 2
    dense = bilinear_kernel(kernel, 3)
    np.testing.assert_allclose(dense[:, :, 1, 1], surgery_kernel(kernel), rtol=1e-15)
    assert not dense[:, :, 0, 1].any()
    assert not dense[:, :, 2, 1].any()


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "kernel"), SIZES)
def test_values_and_gradient_equal_the_dense_transposed_convolution(stride, kernel):
    """Oracle: transposed_convolution with the bilinear kernel, in float64."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(2, 3, 4, 3)))
        weights = jnp.asarray(bilinear_kernel(kernel, 3))
        expected, pull_expected = jax.vjp(
            lambda x: transposed_convolution(x, weights, stride=stride), x
        )
        y, pull = jax.vjp(
            lambda x: bilinear_upsample(
                x, stride=stride, kernel=kernel, size=expected.shape[1:3]
            ),
            x,
        )
        cotangent = jnp.asarray(rng.normal(size=y.shape))
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(
            pull(cotangent)[0], pull_expected(cotangent)[0], rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(("stride", "kernel"), [(2, 4), (3, 5)])
def test_windows_of_the_result(stride, kernel):
    """Oracle: slices of the dense result, for every start."""
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 2)).astype(np.float32)
    x, weights = jnp.asarray(x), jnp.asarray(bilinear_kernel(kernel, 2), jnp.float32)
    full = np.asarray(transposed_convolution(x, weights, stride=stride))
    rows, columns = full.shape[1:3]
    upsample = jax.jit(
        bilinear_upsample, static_argnames=("stride", "kernel", "start", "size")
    )
    for start in range(min(rows, columns)):
        size = (max(1, rows - start - start % 2), columns - start)
        ours = upsample(x, stride=stride, kernel=kernel, start=start, size=size)
        expected = full[:, start : start + size[0], start : start + size[1]]
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("stride", "kernel"), [(2, 4), (16, 32), (32, 63), (32, 64)])
def test_upsampling_equals_torch_with_dense_weights(stride, kernel):
    """Oracle: torch conv_transpose2d, dense weights as Caffe stores them, cropped."""
    torch = pytest.importorskip("torch", reason="the oracle is torch's transpose")
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 3)).astype(np.float32)
    weights = np.zeros((3, 3, kernel, kernel), np.float32)
    weights[range(3), range(3)] = surgery_kernel(kernel)
    theirs = torch.nn.functional.conv_transpose2d(
        torch.tensor(x).permute(0, 3, 1, 2), torch.tensor(weights), stride=stride
    )
    expected = theirs.permute(0, 2, 3, 1).numpy()[:, 1:, 1:]
    ours = bilinear_upsample(
        jnp.asarray(x), stride=stride, kernel=kernel, start=1, size=expected.shape[1:3]
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("stride", "kernel"), SIZES)
def test_a_ramp_stays_a_ramp_inside(stride, kernel):
    """Oracle: bilinear interpolation reproduces linear functions; borders fade."""
    with jax.enable_x64(True):
        ramp = jnp.arange(6.0)[None, :, None, None] * jnp.ones((1, 1, 6, 1))
        full = stride * 5 + kernel
        y = bilinear_upsample(ramp, stride=stride, kernel=kernel, size=(full, full))
        column = np.asarray(y[0, :, full // 2, 0])
    inside = slice(kernel - 1, full - kernel + 1)
    expected = (np.arange(full) - (kernel - 1) / 2) / stride
    np.testing.assert_allclose(column[inside], expected[inside], rtol=1e-12)
    assert column[-1] < expected[-1]


def test_the_dtype_is_the_input_s():
    """Oracle: the docstring."""
    x = jnp.ones((1, 2, 2, 1), jnp.bfloat16)
    y = bilinear_upsample(x, stride=2, kernel=4, start=1, size=(3, 3))
    assert y.dtype == jnp.bfloat16
    assert y.shape == (1, 3, 3, 1)


def test_images_along_another_axis_and_in_batches():
    """Oracle: one image at a time, value and gradient, in float64."""
    rng = np.random.default_rng(0)

    def both(x):
        y, pull = jax.vjp(
            lambda x: bilinear_upsample(x, stride=4, kernel=8, start=3, size=(11, 13)),
            x,
        )
        return y, pull(jnp.cos(y))[0]

    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(3, 4, 5, 2)))
        apart = [both(x[i : i + 1]) for i in range(3)]
        together = jax.jit(both)(x)
        mapped = jax.jit(jax.vmap(lambda one: both(one[None])))(x)
    for index in (0, 1):
        expected = np.concatenate([one[index] for one in apart])
        np.testing.assert_allclose(together[index], expected, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(
            mapped[index][:, 0], expected, rtol=1e-12, atol=1e-13
        )


def test_images_split_over_devices():
    """Oracle: the same batch on one device; no image travels."""
    x = np.random.default_rng(0).normal(size=(8, 3, 4, 2)).astype(np.float32)

    def both(x):
        y, pull = jax.vjp(
            lambda x: bilinear_upsample(x, stride=2, kernel=4, start=1, size=(6, 7)), x
        )
        return y, pull(jnp.cos(y))[0]

    place = NamedSharding(
        Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")
    )
    split = jax.jit(both, in_shardings=place)
    compiled = split.lower(x).compile().as_text()
    assert compiled is not None
    assert "all-gather" not in compiled
    for ours, expected in zip(split(x), jax.jit(both)(x), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
