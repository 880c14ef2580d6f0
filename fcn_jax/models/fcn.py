"""The fully convolutional network: one or more trunks under one head.

RGB, early-fused RGB-D and late-fused RGB + HHA are the same class with other
streams (PAMI section 5.3).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.layers.frame import Frame, framed
from fcn_jax.models.blocks import show


class Stream(NamedTuple):
    """One trunk and what it sees.

    Attributes:
        name: name of the trunk's parameters; "trunk" when there is one stream.
        inputs: input names, concatenated along the channels (early fusion).
        backbone: makes the backbone module, given its `name`.
        frame: the part of the backbone's input padding that need not be computed, or
            None. It changes the time, not the values.
    """

    name: str
    inputs: tuple[str, ...]
    backbone: Callable[..., nn.Module]
    frame: Frame | None = None


class FCN(nn.Module):
    """Pixel scores of images of any size.

    Attributes:
        streams: the trunks; the head averages their scores (late fusion).
        head: makes the head module, given its `name`.
    """

    streams: tuple[Stream, ...]
    head: Callable[..., nn.Module]

    @nn.compact
    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        train: bool,
        sizes: Array | None = None,
        dropout_keys: Array | None = None,
    ) -> dict[str, FeatureMap]:
        """Compute the scores of every pixel.

        Args:
            inputs: preprocessed images by input name, `[N, H, W, C]` floating point.
            train: whether dropout is on and batch normalisation uses the statistics
                of the batch. A net with batch normalisation then updates its running
                statistics: call `apply` with `mutable=["batch_stats"]`.
            sizes: `[N, 2] int32`, true (height, width) of each image; what lies
                outside is ignored and its scores are zero. None: no padding.
            dropout_keys: `[N]` typed random keys, one an image; needed to train.

        Returns:
            For each output a `FeatureMap` with values `[N, H, W, K]`, float32 or
            better. Endpoints and coarse scores are sown into the collections
            "endpoints" and "scores", for an `apply` in which those are mutable.
            `init` returns parameters and, if the net has any, "batch_stats": float32,
            with the same values whether or not jax_enable_x64 is set.

        Raises:
            ValueError: if an input is missing, or the image is too small.
        """
        endpoints = {}
        for index, stream in enumerate(self.streams):
            missing = [name for name in stream.inputs if name not in inputs]
            if missing:
                raise ValueError(
                    f"the network needs the inputs {stream.inputs}; "
                    f"{', '.join(missing)} is missing from {sorted(inputs)}"
                )
            pixels = jnp.concatenate([inputs[name] for name in stream.inputs], axis=-1)
            backbone = stream.backbone(name=stream.name)
            image = FeatureMap(pixels, sizes).masked()
            keys = _own_keys(dropout_keys, index)
            if stream.frame is not None:
                image = framed(image, stream.frame)
            features = backbone(
                image,
                train=train,
                dropout_keys=keys,
            )
            show(self, "endpoints", f"{stream.name}_maps", features)
            endpoints[stream.name] = features
        first = self.streams[0].inputs[0]
        canvas = (inputs[first].shape[1], inputs[first].shape[2])
        return self.head(name="head")(endpoints, canvas=canvas)


def _own_keys(keys: Array | None, stream: int) -> Array | None:
    """Derive a stream's keys, so that late-fused trunks drop different features."""
    if keys is None or stream == 0:
        return keys
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, jnp.uint32(stream))
