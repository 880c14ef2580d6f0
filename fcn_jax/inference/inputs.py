"""What a picture must be before it goes into a network."""

import numpy as np


def checked_input(name: str, value: np.ndarray) -> np.ndarray:
    """One input as `[H, W, C]`, uint8 or, for depth, float32."""
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
