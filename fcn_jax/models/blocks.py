"""The few building blocks that all three backbones are written in.

Each takes `Features` and returns some, so that geometry and the exactness of padded
batches come with every layer. The computing dtype is the dtype of the input image;
parameters are kept in float32.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from fcn_jax.layers import lrn, pool
from fcn_jax.layers.dropout import dropout as drop
from fcn_jax.layers.feature_map import FeatureMap, Features
from fcn_jax.layers.geometry import Window
from fcn_jax.layers.rematerialize import end_stage

Initializer = nn.initializers.Initializer
Steps = Iterable[tuple[str, Callable[[Features], Features]]]


def _newest(_: tuple[Any, ...], new: Any) -> tuple[Any, ...]:
    return (new,)


def show(module: nn.Module, collection: str, name: str, value: Any) -> None:
    """Sow a value for those who ask for its collection, in place of an older one.

    `init` is not asked: it returns parameters alone.

    Args:
        module: what computed it.
        collection: "endpoints" or "scores".
        name: its name in the collection.
        value: `FeatureMap`s in any nest; found as a tuple of this value alone.
    """
    if not module.is_initializing():
        module.sow(collection, name, value, reduce_fn=_newest)


def scaled(channels: int, width: float) -> int:
    """Channels of a layer of a narrower net: even (for two groups), at least 2."""
    return channels if width == 1 else max(2, 2 * round(channels * width / 2))


def run_until(steps: Steps, x: Features, last: str) -> dict[str, FeatureMap]:
    """Run the layers of a backbone up to the endpoint `last`, which ends it.

    Args:
        steps: (endpoint, layer), from high to low resolution.
        x: mean-subtracted image `[N, H, W, C]`.
        last: name of the last endpoint to compute.

    Returns:
        Every endpoint up to the last, by name.

    Raises:
        ValueError: if there is no such endpoint.
    """
    endpoints = {}
    for name, layer in steps:
        x = layer(x)
        if name.startswith("pool"):
            x = end_stage(x)
        endpoints[name] = x.to_feature_map()
        if name == last:
            return endpoints
    raise ValueError(
        f"the backbone has no endpoint {last!r}; it has {', '.join(endpoints)}"
    )


class Convolution(nn.Module):
    """Convolution with bias and, unless told otherwise, ReLU.

    Attributes:
        features: output channels.
        kernel: window size in pixels.
        stride: step of the window.
        pad: zeros on each side.
        groups: channel groups.
        relu: whether a ReLU follows.
        kernel_init: initialiser of the kernel; He-normal suits training from
            scratch. The bias starts at zero.
    """

    features: int
    kernel: int
    stride: int = 1
    pad: int = 0
    groups: int = 1
    relu: bool = True
    kernel_init: Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """`[N, H, W, C]` to `[N, H', W', features]`."""
        channels = x.channels // self.groups
        shape = (self.kernel, self.kernel, channels, self.features)
        # The dtype is named: its default, and so the numbers drawn, follow jax_enable_x64.
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape[-1:], jnp.float32)
        return x.convolved(
            kernel.astype(x.dtype),
            bias.astype(x.dtype),
            stride=self.stride,
            pad=self.pad,
            groups=self.groups,
            relu=self.relu,
        )


def max_pool(x: Features, *, kernel: int, stride: int, pad: int = 0) -> Features:
    """Caffe's max pooling, ceil mode."""
    return x.max_pooled(kernel=kernel, stride=stride, pad=pad)


def average_pool(x: Features, *, kernel: int, stride: int, pad: int = 0) -> FeatureMap:
    """Caffe's average pooling, ceil mode."""
    window = Window("pooling", kernel, stride, pad)
    x = x.to_feature_map()
    values = pool.average_pool(x.values, kernel=kernel, stride=stride, pad=pad)
    return x.after(window, values)


def normalize(x: Features) -> FeatureMap:
    """Local response normalisation with the constants of AlexNet and GoogLeNet."""
    return x.to_feature_map().map(lrn.local_response_normalization)


def dropout(
    x: Features, *, rate: float, layer: int, train: bool, keys: Array | None
) -> Features:
    """Dropout in training, nothing otherwise.

    Args:
        x: the features.
        rate: probability of zero.
        layer: number that tells this dropout layer from others of the net.
        train: whether features are dropped at all.
        keys: `[N]` typed random keys, one an image; required to train with a rate
            above 0.
    """
    if not train or rate == 0:
        return x
    if keys is None:
        raise ValueError("training with dropout needs dropout_keys, one key an image")
    own = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, jnp.uint32(layer))
    return x.to_feature_map().map(lambda values: drop(values, own, rate=rate))


def fully_connected(
    width: float, *, kernel: int, pad: int, rate: float, train: bool, keys: Array | None
) -> Steps:
    """fc6 and fc7 as convolutions, each followed by dropout (AlexNet and VGG16).

    Args:
        width: factor on their 4,096 channels.
        kernel: window size of fc6, the classifier's map; fc7 is 1 x 1.
        pad: padding of fc6.
        rate: probability of zero in training.
        train: whether dropout is on.
        keys: `[N]` random keys, one an image.
    """
    features = scaled(4096, width)
    for layer, size, border in ((6, kernel, pad), (7, 1, 0)):
        name = f"fc{layer}"
        convolution = Convolution(features, kernel=size, pad=border, name=name)
        drop = partial(dropout, rate=rate, layer=layer, train=train, keys=keys)
        yield name, lambda x, conv=convolution, drop=drop: drop(conv(x))
