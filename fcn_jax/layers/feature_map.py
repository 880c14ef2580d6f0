"""A feature map that knows where it lies over the image, and for which images.

Images of different sizes share a batch by being padded to one canvas. What the
padding must never do is change a score: a convolution's bias and ReLU turn the
zeros outside an image into something, which the next layer would read. So every
layer's result is zeroed outside each image's own extent, which the geometry gives.
The result inside is then what the image alone gives, for scores, losses and
gradients. All of it happens in this file; layers and models never mask.

Exactness needs two properties that the nets here have: padding of convolutions is
zero padding, and max pooling sees values >= 0 (after a ReLU), to which a zero from
outside the image adds nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from fcn_jax.layers import conv, pool
from fcn_jax.layers.geometry import IMAGE, Geometry, Window


class Features(Protocol):
    """What a layer may be given: a `FeatureMap`, or one in parts (`frame.FramedMap`).

    Every layer takes both; one that needs the values asks for the `FeatureMap`.
    """

    @property
    def channels(self) -> int:
        """Number of channels."""
        ...

    @property
    def dtype(self) -> Any:
        """Of the values."""
        ...

    def convolved(
        self,
        kernel: Array,
        bias: Array,
        *,
        stride: int = 1,
        pad: int = 0,
        groups: int = 1,
        relu: bool = True,
    ) -> "Features":
        """Apply a convolution; see `FeatureMap.convolved`."""
        ...

    def max_pooled(self, *, kernel: int, stride: int, pad: int = 0) -> "Features":
        """Apply max pooling; see `FeatureMap.max_pooled`."""
        ...

    def to_feature_map(self) -> "FeatureMap":
        """Give the whole map, computing it where it is in parts."""
        ...


class FeatureMap(struct.PyTreeNode):
    """Values on a grid over the images of a batch.

    Attributes:
        values: `[N, H, W, C]`, zero outside each image's extent if sizes are given.
        image_sizes: `[N, 2] int32`, true (height, width) of each image, or None if
            every image fills the canvas.
        geometry: where this grid lies over the image.
    """

    values: Array
    image_sizes: Array | None = None
    geometry: Geometry = struct.field(pytree_node=False, default=IMAGE)

    @property
    def sizes(self) -> Array | None:
        """`[N, 2] int32`: rows and columns of this map that each image owns."""
        if self.image_sizes is None:
            return None
        return self.geometry.size(self.image_sizes)

    def inside(self) -> Array | None:
        """`[N, H, W, 1] bool`: the pixels that belong to the image; None if all."""
        sizes = self.sizes
        if sizes is None:
            return None
        height, width = self.values.shape[1:3]
        rows = jnp.arange(height, dtype=sizes.dtype)[None, :] < sizes[:, :1]
        columns = jnp.arange(width, dtype=sizes.dtype)[None, :] < sizes[:, 1:]
        return rows[:, :, None, None] & columns[:, None, :, None]

    def masked(self) -> "FeatureMap":
        """The same map with zeros outside each image's extent."""
        inside = self.inside()
        if inside is None:
            return self
        zero = jnp.zeros((), self.values.dtype)
        return self.replace(values=jnp.where(inside, self.values, zero))

    def after(self, window: Window, values: Array) -> "FeatureMap":
        """The map that a layer with this window has computed from this one."""
        return self.placed(self.geometry.after(window), values)

    def placed(self, geometry: Geometry, values: Array) -> "FeatureMap":
        """New values at another place, masked.

        Raises:
            ValueError: if the values have no pixel, the image being too small.
        """
        if 0 in values.shape:
            height, width = values.shape[1:3]
            raise ValueError(
                f"the image is too small for this net: a map of {height} x {width} "
                "pixels is empty; use the reference padding or a larger image"
            )
        return self.replace(values=values, geometry=geometry).masked()

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.values.shape[-1]

    @property
    def dtype(self) -> Any:
        """Of the values."""
        return self.values.dtype

    def convolved(
        self,
        kernel: Array,
        bias: Array,
        *,
        stride: int = 1,
        pad: int = 0,
        groups: int = 1,
        relu: bool = True,
    ) -> "FeatureMap":
        """The map after a convolution with bias and, unless told otherwise, ReLU."""
        y = conv.convolution(
            self.values, kernel, bias, stride=stride, pad=pad, groups=groups
        )
        window = Window("convolution", kernel.shape[0], stride, pad)
        return self.after(window, jax.nn.relu(y) if relu else y)

    def max_pooled(self, *, kernel: int, stride: int, pad: int = 0) -> "FeatureMap":
        """The map after Caffe's max pooling, ceil mode."""
        values = pool.max_pool(self.values, kernel=kernel, stride=stride, pad=pad)
        return self.after(Window("pooling", kernel, stride, pad), values)

    def to_feature_map(self) -> "FeatureMap":
        """Give the map itself, which is whole."""
        return self

    def map(self, function: Callable[[Array], Array]) -> "FeatureMap":
        """Apply a function that treats every pixel alone."""
        return self.placed(self.geometry, function(self.values))


def concatenate(parts: Sequence[Features]) -> FeatureMap:
    """Join maps of equal scale and offset along the channels.

    The result has the geometry of the map with the largest receptive field.
    """
    maps = [part.to_feature_map() for part in parts]
    places = {feature_map.geometry.map for feature_map in maps}
    if len(places) != 1:
        raise ValueError(f"maps at different places cannot be joined: {places}")
    widest = max(maps, key=lambda feature_map: feature_map.geometry.receptive_field)
    joined = jnp.concatenate([feature_map.values for feature_map in maps], axis=-1)
    return widest.replace(values=joined)
