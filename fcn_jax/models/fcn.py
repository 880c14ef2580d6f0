"""The fully convolutional network, and the shapes of what it computes.

A network is one or more trunks under one head. RGB, early-fused RGB-D and late-fused
RGB + HHA are the same class with other streams (PAMI section 5.3).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.layers.frame import Frame, framed
from fcn_jax.models.blocks import show
from fcn_jax.models.preprocessing import Preprocessing

SIZE = 64
"""Rows and columns of a square image that the nets take; classifiers with their native
padding need their native size."""


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
        probe_size: rows and columns of a square image that the net takes, of which it
            is initialised.
    """

    streams: tuple[Stream, ...]
    head: Callable[..., nn.Module]
    probe_size: int = SIZE

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


def channels(records: Mapping[str, Preprocessing]) -> dict[str, int]:
    """Return the channels of each input."""
    return {name: len(record.mean) for name, record in records.items()}


def blank_inputs(channels: Mapping[str, int], size: int = SIZE) -> dict[str, jax.Array]:
    """Return a square image of zeros for each input, `[1, size, size, C] float32`."""
    return {
        name: jnp.zeros((1, size, size, count), jnp.float32)
        for name, count in channels.items()
    }


def abstract(
    model: FCN, channels: Mapping[str, int], size: int | None = None
) -> tuple[dict[str, FeatureMap], dict[str, Any]]:
    """Return the scores of a square image and the variables, as shapes.

    Args:
        model: the network.
        channels: channels of each input by name.
        size: rows and columns of an image that the network takes; None is
            `FCN.probe_size`.

    Returns:
        For each output a `FeatureMap` of `jax.ShapeDtypeStruct`; and the collections,
        "params" first, as nested mappings of `jax.ShapeDtypeStruct`.
    """
    size = model.probe_size if size is None else size
    maps, variables = jax.eval_shape(
        lambda: model.init_with_output(
            jax.random.key(0), blank_inputs(channels, size), train=False
        )
    )
    return maps, variables


def parameter_shapes(
    model: FCN, channels: Mapping[str, int], size: int | None = None
) -> dict[str, Any]:
    """Return the shapes of the parameters; see `abstract`."""
    return abstract(model, channels, size)[1]["params"]


def score_maps(
    model: FCN, channels: Mapping[str, int], size: int | None = None
) -> dict[str, FeatureMap]:
    """Return the shapes and geometry of the scores; see `abstract`."""
    return abstract(model, channels, size)[0]


def smallest_image(maps: Mapping[str, FeatureMap]) -> int:
    """Return the least height and width for which no map of the net is empty."""
    return max(found.geometry.smallest_image() for found in maps.values())


def refuse_small_images(
    sizes: np.ndarray, name: Callable[[int], str], least: int
) -> None:
    """Refuse a split with images smaller than a network takes.

    Args:
        sizes: `[N, 2] int32`, (height, width) of the images, as they are cropped.
        name: of the image of an index.
        least: pixels that the network needs of either side.

    Raises:
        ValueError: names the first such image.
    """
    small = np.flatnonzero(sizes.min(axis=1) < least)
    if small.size:
        index = int(small[0])
        raise ValueError(too_small(name(index), sizes[index].tolist(), least))


def too_small(name: str, size: Sequence[int], least: int) -> str:
    """Return the sentence for an image that a net cannot take.

    Args:
        name: of the image.
        size: its height and width in pixels.
        least: what the net needs of either, in pixels.
    """
    return (
        f"{name} is {size[0]} x {size[1]} pixels, this net needs at least {least} x "
        f"{least}; use a net that takes smaller ones (an FCN with "
        "model.padding=reference takes any size), or leave such images out"
    )
