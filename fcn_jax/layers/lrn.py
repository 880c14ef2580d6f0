"""Local response normalisation across channels (AlexNet and GoogLeNet)."""

import jax.numpy as jnp
from jax import Array, lax


def local_response_normalization(
    x: Array,
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Array:
    """Caffe's LRN layer, ACROSS_CHANNELS.

    `y_c = x_c (k + alpha / size * sum_{|c' - c| <= size // 2} x_c'^2) ** -beta`,
    with zeros beyond the channel range. Caffe and torch divide alpha by the window
    size; TensorFlow does not (its alpha for these nets is 2e-5).

    Args:
        x: `[N, H, W, C]`.
        size: channels in the window, odd.
        alpha: strength, before the division by `size`.
        beta: exponent.
        k: constant term.

    Returns:
        `[N, H, W, C]`.
    """
    if size % 2 == 0:
        raise ValueError(f"the LRN window is {size} channels; it must be odd")
    half = size // 2
    channels = x.shape[-1]
    squares = jnp.pad(jnp.square(x), ((0, 0), (0, 0), (0, 0), (half, half)))
    total = sum(
        (lax.slice_in_dim(squares, i, i + channels, axis=3) for i in range(1, size)),
        start=lax.slice_in_dim(squares, 0, channels, axis=3),
    )
    return x * (k + (alpha / size) * total) ** -beta
