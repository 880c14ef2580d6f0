"""From stored pixels to network input: a record that travels with the weights.

Applied on the device inside the jitted step, so that images travel as uint8. The
order of colours is RGB everywhere; weights that expect BGR are flipped when they
are converted, never the images.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike


@dataclass(frozen=True)
class Preprocessing:
    """What is done to one input.

    Attributes:
        mean: subtracted from each channel, in units of the pixel (0..255), or of
            its logarithm.
        scale: factor after the subtraction; 1 in the reference.
        logarithm: take the natural logarithm first (depth in millimetres). Pixels
            that are not positive, as outside an image, become 0 in the end.
        origin: where the numbers come from, for the record.
    """

    mean: tuple[float, ...]
    scale: float = 1.0
    logarithm: bool = False
    origin: str = ""

    def apply(self, pixels: Array, dtype: DTypeLike) -> Array:
        """Turn stored pixels into the input of a network.

        Args:
            pixels: `[N, H, W, C]` of any dtype, as stored.
            dtype: of the result.

        Returns:
            `[N, H, W, C]` floating point.

        Raises:
            ValueError: if the image has another number of channels.
        """
        if pixels.shape[-1] != len(self.mean):
            raise ValueError(
                f"the image has {pixels.shape[-1]} channels, its preprocessing record "
                f"{len(self.mean)} ({self.origin})"
            )
        precise = np.promote_types(dtype, np.float32)
        values = pixels.astype(precise)
        mean = jnp.asarray(self.mean, precise)[None, None, None, :]
        if self.logarithm:
            positive = values > 0
            values = jnp.where(positive, jnp.log(jnp.where(positive, values, 1)), mean)
        return ((values - mean) * self.scale).astype(dtype)

    @property
    def mean_pixel(self) -> tuple[int, ...]:
        """The stored pixel, rounded, that becomes about 0."""
        return tuple(
            round(math.exp(value) if self.logarithm else value) for value in self.mean
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the record as JSON stores it."""
        return {**asdict(self), "mean": list(self.mean)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Preprocessing":
        """Invert `to_dict`."""
        return cls(
            mean=tuple(record["mean"]),
            scale=record["scale"],
            logarithm=record["logarithm"],
            origin=record["origin"],
        )


def preprocess(
    inputs: Mapping[str, Array],
    records: Mapping[str, Preprocessing],
    dtype: DTypeLike,
) -> dict[str, Array]:
    """Apply each input's record.

    Args:
        inputs: input name -> stored pixels `[N, H, W, C]`.
        records: input name -> record.
        dtype: of the results.

    Returns:
        Input name -> `[N, H, W, C]` floating point.

    Raises:
        ValueError: if an input has no record.
    """
    missing = sorted(set(inputs) - set(records))
    if missing:
        raise ValueError(
            f"no preprocessing record for the inputs {missing}; records exist for "
            f"{sorted(records)}"
        )
    return {name: records[name].apply(inputs[name], dtype) for name in inputs}
