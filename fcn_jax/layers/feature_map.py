"""A feature map that knows where it lies over the image, and for which images.

Images of different sizes share a batch by being padded to one canvas. What the
padding must never do is change a score: a convolution's bias and ReLU turn the
zeros outside an image into other values, which the next layer would read. So every
layer's result is zeroed outside each image's own extent, which the geometry gives.
The result inside is then what the image alone gives, for scores, losses and
gradients. All of it happens in this file; layers and models never mask.

Zero is what convolutions and average pooling pad with. Max pooling pads with minus
infinity, to which a zero is equal where no value is negative: after a ReLU, which a map
remembers. Where values may be negative, what lies outside is set to minus infinity
before the maximum is taken.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from fcn_jax.layers import conv, pool
from fcn_jax.layers.geometry import IMAGE, Geometry, Window, same_grid


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
        """Data type of the values."""
        ...

    def convolved(
        self,
        kernel: Array,
        bias: Array | None,
        *,
        stride: int = 1,
        pad: int = 0,
        dilation: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> "Features":
        """Apply a convolution; see `FeatureMap.convolved`."""
        ...

    def max_pooled(self, *, kernel: int, stride: int, pad: int = 0) -> "Features":
        """Apply max pooling; see `FeatureMap.max_pooled`."""
        ...

    def to_feature_map(self) -> "FeatureMap":
        """Return the whole map, computed where it is in parts."""
        ...


class FeatureMap(struct.PyTreeNode):
    """Values on a grid over the images of a batch.

    Attributes:
        values: `[N, H, W, C]` floating point, zero outside the images if sizes are given.
        image_sizes: `[N, 2] int32`, true (height, width) of each image, or None if
            every image fills the canvas.
        geometry: where this grid lies over the image.
        nonnegative: whether no value is known to be negative, as after a ReLU.
    """

    values: Array
    image_sizes: Array | None = None
    geometry: Geometry = struct.field(pytree_node=False, default=IMAGE)
    nonnegative: bool = struct.field(pytree_node=False, default=False)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.values.shape[-1]

    @property
    def dtype(self) -> Any:
        """Data type of the values."""
        return self.values.dtype

    @property
    def sizes(self) -> Array | None:
        """`[N, 2] int32`: rows and columns of this map inside each image."""
        if self.image_sizes is None:
            return None
        return self.geometry.size(self.image_sizes)

    def inside(self) -> Array | None:
        """Return where pixels lie inside the images, `[N, H, W, 1] bool`; None if all do."""
        sizes = self.sizes
        if sizes is None:
            return None
        height, width = self.values.shape[1:3]
        rows = jnp.arange(height, dtype=sizes.dtype)[None, :] < sizes[:, :1]
        columns = jnp.arange(width, dtype=sizes.dtype)[None, :] < sizes[:, 1:]
        return rows[:, :, None, None] & columns[:, None, :, None]

    def masked(self) -> "FeatureMap":
        """Return the same map with zeros outside each image's extent."""
        return self.replace(values=self._filled(0))

    def _filled(self, value: float) -> Array:
        """Return the values `[N, H, W, C]`, with `value` outside each image's extent."""
        inside = self.inside()
        if inside is None:
            return self.values
        return jnp.where(inside, self.values, jnp.full((), value, self.dtype))

    def after(
        self, window: Window, values: Array, *, nonnegative: bool = False
    ) -> "FeatureMap":
        """Return the map that a layer with this window has computed from this one.

        Args:
            window: the layer's window.
            values: `[N, H', W', D]` floating point, the layer's output.
            nonnegative: whether no value is negative.
        """
        geometry = self.geometry.after(window)
        return self.placed(geometry, values, nonnegative=nonnegative)

    def placed(
        self, geometry: Geometry, values: Array, *, nonnegative: bool = False
    ) -> "FeatureMap":
        """Return a map of other values at another place, masked.

        Args:
            geometry: where the values lie over the image.
            values: `[N, H', W', D]` floating point.
            nonnegative: whether no value is negative.

        Raises:
            ValueError: if the values have no pixel, the image being too small.
        """
        if 0 in values.shape:
            height, width = values.shape[1:3]
            raise ValueError(
                f"the image is too small for this net: a map of {height} x {width} "
                "pixels is empty; use the reference padding or a larger image"
            )
        return self.replace(
            values=values, geometry=geometry, nonnegative=nonnegative
        ).masked()

    def convolved(
        self,
        kernel: Array,
        bias: Array | None,
        *,
        stride: int = 1,
        pad: int = 0,
        dilation: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> "FeatureMap":
        """Apply a convolution and, unless told otherwise, a ReLU.

        Args:
            kernel: `[k, k, C / groups, D]` in the dtype of the values or a wider one.
            bias: `[D]` in such a dtype, or None.
            stride: step of the window in pixels.
            pad: zeros on each of the four sides.
            dilation: distance between taps in pixels.
            groups: number of channel groups that do not see each other.
            relu: whether a ReLU follows.

        Returns:
            The map `[N, H', W', D]` in the dtype of the values.
        """
        y = conv.convolution(
            self.values,
            kernel,
            bias,
            stride=stride,
            pad=pad,
            dilation=dilation,
            groups=groups,
        )
        window = Window("convolution", kernel.shape[0], stride, pad, dilation)
        return self.after(window, jax.nn.relu(y) if relu else y, nonnegative=relu)

    def max_pooled(self, *, kernel: int, stride: int, pad: int = 0) -> "FeatureMap":
        """Apply Caffe's max pooling, ceil mode.

        Args:
            kernel: window size in pixels.
            stride: step of the window in pixels.
            pad: pixels of minus infinity on each of the four sides.

        Returns:
            The map `[N, H', W', C]` in the dtype of the values.
        """
        values = self.values if self.nonnegative else self._filled(-jnp.inf)
        pooled = pool.max_pool(values, kernel=kernel, stride=stride, pad=pad)
        window = Window("pooling", kernel, stride, pad)
        return self.after(window, pooled, nonnegative=self.nonnegative)

    def relu(self) -> "FeatureMap":
        """Set negative values of the map `[N, H, W, C]` to zero."""
        return self.replace(values=jax.nn.relu(self.values), nonnegative=True)

    def map(
        self, function: Callable[[Array], Array], *, keeps_sign: bool = False
    ) -> "FeatureMap":
        """Apply a function that treats every pixel alone.

        Args:
            function: maps `[N, H, W, C]` to `[N, H, W, D]`, floating point.
            keeps_sign: whether nonnegative values stay nonnegative.
        """
        known = self.nonnegative and keeps_sign
        return self.placed(self.geometry, function(self.values), nonnegative=known)

    def to_feature_map(self) -> "FeatureMap":
        """Return the map itself, which is whole."""
        return self


def concatenate(parts: Sequence[Features]) -> FeatureMap:
    """Join maps of the same grid along the channels.

    Args:
        parts: maps `[N, H, W, C_i]` of one floating-point dtype.

    Returns:
        The map `[N, H, W, sum of C_i]` in that dtype. Its receptive field is the
        largest of all.

    Raises:
        ValueError: if the maps differ in place or extent.
    """
    maps = [part.to_feature_map() for part in parts]
    values = [feature_map.values for feature_map in maps]
    return _joined(maps, "joined", lambda: jnp.concatenate(values, axis=-1))


def add(first: Features, second: Features) -> FeatureMap:
    """Add two maps of the same grid, as a residual net does.

    Args:
        first: map `[N, H, W, C]` floating point.
        second: map `[N, H, W, C]` in the same dtype.

    Returns:
        The map `[N, H, W, C]` in that dtype. Its receptive field is the larger of the
        two.

    Raises:
        ValueError: if the maps differ in place or extent.
    """
    maps = first.to_feature_map(), second.to_feature_map()
    return _joined(maps, "added", lambda: maps[0].values + maps[1].values)


def _joined(
    maps: Sequence[FeatureMap], verb: str, values: Callable[[], Array]
) -> FeatureMap:
    """Place values in the map with the largest receptive field; all share one grid."""
    places = {feature_map.geometry.map for feature_map in maps}
    if len(places) != 1:
        raise ValueError(f"maps at different places cannot be {verb}: {places}")
    first = maps[0].geometry
    if not all(same_grid(first, feature_map.geometry) for feature_map in maps):
        raise ValueError(
            f"maps of different extents cannot be {verb}: for some images one has a "
            "row more than the other; give their layers paddings and rounding alike"
        )
    widest = max(maps, key=lambda feature_map: feature_map.geometry.receptive_field)
    known = all(feature_map.nonnegative for feature_map in maps)
    return widest.replace(values=values(), nonnegative=known)
