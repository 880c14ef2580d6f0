"""From stored pixels to network input, on the device inside the jitted step."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike


class Record(Protocol):
    """What is done to one input; `models.preprocessing.Preprocessing` is one."""

    @property
    def mean(self) -> Sequence[float]:
        """Subtracted from each channel."""
        ...

    @property
    def scale(self) -> float:
        """Factor after the subtraction."""
        ...

    @property
    def logarithm(self) -> bool:
        """Whether the natural logarithm is taken first."""
        ...

    @property
    def origin(self) -> str:
        """Where the numbers come from, for messages."""
        ...


def preprocess(
    inputs: Mapping[str, Array], records: Mapping[str, Record], dtype: DTypeLike
) -> dict[str, Array]:
    """Apply each input's preprocessing record.

    Args:
        inputs: stored pixels by input name, `[N, H, W, C]`.
        records: by input name.
        dtype: of the result.

    Returns:
        By input name `[N, H, W, C]` of `dtype`.

    Raises:
        ValueError: if an input has no record, or another number of channels.
    """
    missing = sorted(set(inputs) - set(records))
    if missing:
        raise ValueError(
            f"no preprocessing record for the inputs {missing}; records exist for "
            f"{sorted(records)}"
        )
    return {name: _apply(inputs[name], records[name], dtype) for name in inputs}


def _apply(pixels: Array, record: Record, dtype: DTypeLike) -> Array:
    """Turn stored pixels `[N, H, W, C]` into network input `[N, H, W, C]` of `dtype`."""
    if pixels.shape[-1] != len(record.mean):
        raise ValueError(
            f"the image has {pixels.shape[-1]} channels, its preprocessing record "
            f"{len(record.mean)} ({record.origin})"
        )
    precise = np.promote_types(dtype, np.float32)
    values = pixels.astype(precise)
    mean = jnp.asarray(record.mean, precise)[None, None, None, :]
    if record.logarithm:
        positive = values > 0
        values = jnp.where(positive, jnp.log(jnp.where(positive, values, 1)), mean)
    return ((values - mean) * record.scale).astype(dtype)
