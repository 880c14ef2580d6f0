"""Shapes and places of scores and parameters, found without computing anything."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.models.fcn import FCN
from fcn_jax.models.preprocessing import Preprocessing

SIZE = 64
"""Rows and columns of a square image that every FCN with reference padding takes."""


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
    model: FCN, channels: Mapping[str, int], size: int = SIZE
) -> tuple[dict[str, FeatureMap], dict[str, Any]]:
    """Return the scores of a square image and the variables, as shapes.

    Args:
        model: the network.
        channels: channels of each input by name.
        size: rows and columns of an image that the network takes.

    Returns:
        For each output a `FeatureMap` of `jax.ShapeDtypeStruct`; and the collections,
        "params" first, as nested mappings of `jax.ShapeDtypeStruct`.
    """
    maps, variables = jax.eval_shape(
        lambda: model.init_with_output(
            jax.random.key(0), blank_inputs(channels, size), train=False
        )
    )
    return maps, variables


def parameter_shapes(
    model: FCN, channels: Mapping[str, int], size: int = SIZE
) -> dict[str, Any]:
    """Return the shapes of the parameters; see `abstract`."""
    return abstract(model, channels, size)[1]["params"]


def score_maps(
    model: FCN, channels: Mapping[str, int], size: int = SIZE
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
        sizes: `[N, 2]` (height, width) of the images, as they are cropped.
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
        f"{least}; use a net with model.padding=reference, which takes any size, or "
        "leave such images out"
    )
