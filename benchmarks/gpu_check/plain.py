"""The package's layers by their definitions in `jax.lax`, without any faster form."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
from jax import Array

from fcn_jax.layers import conv, pool, reference, upsample
from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.layers.frame import Frame
from fcn_jax.layers.geometry import Window
from fcn_jax.layers.reference import ConvSpec
from fcn_jax.models import fcn, heads


@contextlib.contextmanager
def plain_layers() -> Iterator[None]:
    """Replace layer functions by their definitions, in programs traced inside.

    Convolution, max pooling and bilinear upsampling lose the forms of every platform,
    and the reference's padding is computed whole. The functions themselves are replaced, so that it does
    not matter which forms stand behind them.
    """
    with (
        without_frame(),
        _replaced(conv, "convolution", convolution),
        _replaced(pool, "max_pool", max_pool),
        _replaced(heads, "bilinear_upsample", bilinear_upsample),
    ):
        yield


@contextlib.contextmanager
def without_frame() -> Iterator[None]:
    """Compute the reference's padding whole, in programs traced inside."""
    with _replaced(fcn, "framed", unframed):
        yield


def convolution(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """`conv.convolution` by its definition; arguments and result are the same."""
    spec = ConvSpec(stride, pad, dilation, groups)
    y = reference.convolve(x, kernel.astype(x.dtype), spec)
    return y if bias is None else y + bias.astype(y.dtype)[None, None, None, :]


def max_pool(x: Array, *, kernel: int, stride: int, pad: int = 0) -> Array:
    """`pool.max_pool` by its definition; arguments and result are the same."""
    return pool.reference_max_pool(x, Window("pooling", kernel, stride, pad))


def bilinear_upsample(
    x: Array, *, stride: int, kernel: int, start: int = 0, size: tuple[int, int]
) -> Array:
    """`upsample.bilinear_upsample` as the transposed convolution that defines it."""
    weights = upsample.bilinear_kernel(kernel, x.shape[-1])
    return upsample.reference_transposed_convolution(
        x, jnp.asarray(weights, x.dtype), stride=stride, start=start, size=size
    )


def unframed(image: FeatureMap, frame: Frame) -> FeatureMap:
    """The image itself, in place of `frame.framed`."""
    del frame
    return image


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
