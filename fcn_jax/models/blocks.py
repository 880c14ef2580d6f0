"""The few building blocks that backbones are written in.

Each takes `Features` and returns some, so that geometry and the exactness of padded
batches come with every layer. The computing dtype is the dtype of the input image;
parameters are kept in float32.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.ad_checkpoint import checkpoint_name

from fcn_jax.layers import pool
from fcn_jax.layers.dropout import dropout as drop
from fcn_jax.layers.feature_map import FeatureMap, Features
from fcn_jax.layers.geometry import Window
from fcn_jax.models.batch_norm import BatchNorm

Initializer = nn.initializers.Initializer


class Step(NamedTuple):
    """One step of a backbone.

    Attributes:
        name: name of the endpoint that the layer computes.
        layer: the layer.
        ends_stage: whether its result is kept for the gradient when features are
            recomputed (`training.rematerialize`); usually true at the end of each scale.
    """

    name: str
    layer: Callable[[Features], Features]
    ends_stage: bool = False


Steps = Iterable[Step]

MOMENTUM, EPSILON = 0.9, 1e-5
"""Of the trunks' batch normalisation; torch's defaults, whose momentum is 1 - 0.9."""

END_OF_STAGE = "end of a stage"
"""Name of the mark that `end_stage` leaves in a program."""


def _newest(_: tuple[Any, ...], new: Any) -> tuple[Any, ...]:
    return (new,)


def show(module: nn.Module, collection: str, name: str, value: Any) -> None:
    """Sow a value for an `apply` that asks for its collection; replace an older one.

    `init` sows nothing: it returns variables only.

    Args:
        module: what computed it.
        collection: "endpoints" or "scores".
        name: its name in the collection.
        value: any tree of `FeatureMap`s; `apply` returns it as a tuple of one.
    """
    if not module.is_initializing():
        module.sow(collection, name, value, reduce_fn=_newest)


def scaled(channels: int, width: float) -> int:
    """Return the channels of a layer at this width: even (two groups), at least 2."""
    return channels if width == 1 else max(2, 2 * round(channels * width / 2))


def end_stage(features: Any) -> Any:
    """Mark features, arrays in any nest, as the end of a stage; change nothing else."""
    return jax.tree.map(lambda values: checkpoint_name(values, END_OF_STAGE), features)


def run_until(steps: Steps, x: Features, last: str) -> dict[str, FeatureMap]:
    """Run the layers of a backbone up to the endpoint `last`, which ends it.

    Args:
        steps: from high to low resolution.
        x: mean-subtracted image `[N, H, W, C]` floating point.
        last: name of the last endpoint to compute.

    Returns:
        Every endpoint up to the last, by name.

    Raises:
        ValueError: if there is no such endpoint.
    """
    endpoints = {}
    for step in steps:
        x = step.layer(x)
        if step.ends_stage:
            x = end_stage(x)
        endpoints[step.name] = x.to_feature_map()
        if step.name == last:
            return endpoints
    raise ValueError(
        f"the backbone has no endpoint {last!r}; it has {', '.join(endpoints)}"
    )


class Convolution(nn.Module):
    """Convolution with bias and ReLU, unless told otherwise.

    Attributes:
        features: output channels.
        kernel: window size in pixels.
        stride: step of the window in pixels.
        pad: zeros on each side.
        dilation: distance between the taps of the window in pixels.
        groups: channel groups.
        use_bias: whether there is a bias; none is needed before a `BatchNorm`.
        relu: whether a ReLU follows.
        kernel_init: initialiser of the kernel; He-normal suits training from
            scratch. The bias starts at zero.
    """

    features: int
    kernel: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    groups: int = 1
    use_bias: bool = True
    relu: bool = True
    kernel_init: Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """Map `[N, H, W, C]` to `[N, H', W', features]`, both in one dtype."""
        channels = x.channels // self.groups
        shape = (self.kernel, self.kernel, channels, self.features)
        # The dtype is named: its default, and so the numbers drawn, follow jax_enable_x64.
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = None
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, shape[-1:], jnp.float32)
            bias = bias.astype(np.promote_types(bias.dtype, x.dtype))
        return x.convolved(
            kernel.astype(np.promote_types(kernel.dtype, x.dtype)),
            bias,
            stride=self.stride,
            pad=self.pad,
            dilation=self.dilation,
            groups=self.groups,
            relu=self.relu,
        )


def convolution(
    features: int,
    *,
    kernel: int,
    name: str,
    batch_norm: bool,
    train: bool,
    stride: int = 1,
    pad: int = 0,
    groups: int = 1,
    dilation: int = 1,
) -> Callable[[Features], Features]:
    """Return a convolution with ReLU, and batch normalisation between them if asked.

    Args:
        features: output channels.
        kernel: window size in pixels.
        name: of the `Convolution`; that of its `BatchNorm` is `<name>_bn`.
        batch_norm: whether the convolution is normalised; it then has no bias.
        train: whether by the statistics of the batch.
        stride: step of the window in pixels.
        pad: zeros on each side.
        groups: channel groups.
        dilation: distance between the taps of the window in pixels.

    Returns:
        A layer from `[N, H, W, C]` to `[N, H', W', features]`, both in one dtype.
    """
    layer = Convolution(
        features,
        kernel,
        stride,
        pad,
        dilation,
        groups,
        use_bias=not batch_norm,
        relu=not batch_norm,
        name=name,
    )
    if not batch_norm:
        return layer
    norm = BatchNorm(momentum=MOMENTUM, epsilon=EPSILON, relu=True, name=f"{name}_bn")
    return lambda x: norm(layer(x), train=train)


def max_pool(x: Features, *, kernel: int, stride: int, pad: int = 0) -> Features:
    """Apply Caffe's max pooling, ceil mode: `[N, H, W, C]` to `[N, H', W', C]`."""
    return x.max_pooled(kernel=kernel, stride=stride, pad=pad)


def average_pool(x: Features, *, kernel: int, stride: int, pad: int = 0) -> FeatureMap:
    """Apply Caffe's average pooling, ceil mode: `[N, H, W, C]` to `[N, H', W', C]`."""
    window = Window("pooling", kernel, stride, pad)
    x = x.to_feature_map()
    values = pool.average_pool(
        x.values, kernel=kernel, stride=stride, pad=pad, sizes=x.sizes
    )
    return x.after(window, values, nonnegative=x.nonnegative)


def dropout(
    x: Features,
    *,
    rate: float,
    layer: int,
    train: bool,
    keys: Array | None,
    channels: bool = False,
) -> Features:
    """Zero features at random in training; change nothing otherwise.

    Args:
        x: `[N, H, W, C]` floating point.
        rate: probability of zero.
        layer: number that tells this dropout layer from others of the net.
        train: whether features are dropped at all.
        keys: `[N]` typed random keys, one an image; required to train with a rate
            above 0.
        channels: whether a channel of an image is dropped as a whole.

    Returns:
        `[N, H, W, C]` in the dtype of `x`.

    Raises:
        ValueError: if features are to be dropped and there are no keys.
    """
    if not train or rate == 0:
        return x
    if keys is None:
        raise ValueError("training with dropout needs dropout_keys, one key an image")
    own = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, jnp.uint32(layer))
    return x.to_feature_map().map(
        lambda values: drop(values, own, rate=rate, channels=channels), keeps_sign=True
    )


def fully_connected(
    width: float,
    *,
    kernel: int,
    pad: int,
    rate: float,
    train: bool,
    keys: Array | None,
    batch_norm: bool = False,
    dilation: int = 1,
) -> Steps:
    """Yield fc6 and fc7 as convolutions, each followed by dropout (AlexNet, VGG16).

    They map `[N, H, W, C]` to `[N, H', W', 4096 width]`.

    Args:
        width: factor on their 4,096 channels.
        kernel: window size of fc6 in pixels; fc7 is 1 x 1.
        pad: padding of fc6.
        rate: probability of zero in training.
        train: whether dropout is on.
        keys: `[N]` random keys, one an image.
        batch_norm: whether batch normalisation follows each of them.
        dilation: distance between the taps of fc6 in pixels.
    """
    make = partial(convolution, scaled(4096, width), batch_norm=batch_norm, train=train)
    fc6 = make(kernel=kernel, pad=pad, dilation=dilation, name="fc6")
    fc7 = make(kernel=1, name="fc7")
    for layer, conv in ((6, fc6), (7, fc7)):
        drop = partial(dropout, rate=rate, layer=layer, train=train, keys=keys)
        yield Step(f"fc{layer}", lambda x, conv=conv, drop=drop: drop(conv(x)))
