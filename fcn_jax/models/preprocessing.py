"""From stored pixels to network input: a record that travels with the weights.

`layers.preprocess` applies it on the device inside the jitted step, so that images travel
as uint8. The order of colours is RGB everywhere; weights that expect BGR are flipped when
they are converted, never the images.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


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

    @property
    def mean_pixel(self) -> tuple[int, ...]:
        """The stored pixel, rounded, that becomes about 0."""
        return tuple(
            round(math.exp(value) if self.logarithm else value) for value in self.mean
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON stores it."""
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


def checked_input(name: str, value: np.ndarray) -> np.ndarray:
    """Check one input; return `[H, W, C] uint8` or, for depth, `[H, W, 1] float32`."""
    value = np.asarray(value)
    if name == "depth":
        if value.ndim != 2 or 0 in value.shape:
            raise ValueError(f"depth has shape {value.shape}; it must be [H, W]")
        depth = value.astype(np.float32)
        bad = int((~(np.isfinite(depth) & (depth > 0))).sum())
        if bad:
            raise ValueError(
                f"depth has {bad} values that are not positive and finite, which have "
                "no logarithm; fill the holes first"
            )
        return depth[:, :, None]
    if value.ndim != 3 or value.shape[2] != 3 or 0 in value.shape:
        raise ValueError(f"{name} has shape {value.shape}; it must be [H, W, 3] RGB")
    if value.dtype != np.uint8:
        raise ValueError(
            f"{name} is {value.dtype}; it must be uint8, 0..255, without normalisation"
        )
    return value
