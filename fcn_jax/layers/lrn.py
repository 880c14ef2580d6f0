"""Local response normalisation across channels (AlexNet and GoogLeNet).

With the neighbourhood N(c) = {c' : |c' - c| <= size // 2} and

    t_c = k + alpha / size sum_{c' in N(c)} x_c'^2,    y_c = x_c t_c^-beta,

the gradient is, because c' is near c where c is near c',

    dx_c = dy_c t_c^-beta
           - 2 alpha beta / size x_c sum_{c' in N(c)} dy_c' x_c' t_c'^(-beta - 1).

It is written out, because derived by jax it takes four times as long on a CPU or more.
The nets' beta is 3/4, which two square roots give in a sixth of the time of a power;
the result is within 3e-7 of it, relatively, in float32.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from fcn_jax.layers.feature_map import FeatureMap, Features


def normalize(x: Features) -> FeatureMap:
    """Normalise `[N, H, W, C]` floating point across channels, as AlexNet does."""
    return x.to_feature_map().map(local_response_normalization, keeps_sign=True)


def local_response_normalization(
    x: Array,
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Array:
    """Apply Caffe's LRN layer, ACROSS_CHANNELS.

    `y_c = x_c (k + alpha / size * sum_{|c' - c| <= size // 2} x_c'^2) ** -beta`,
    with zeros beyond the channel range. Caffe and torch divide alpha by the window
    size; TensorFlow does not (its alpha for these nets is 2e-5).

    Args:
        x: `[N, H, W, C]` floating point.
        size: channels in the window, odd.
        alpha: strength, before the division by `size`.
        beta: exponent.
        k: constant term.

    Returns:
        `[N, H, W, C]`.

    Raises:
        ValueError: if `size` is even.
    """
    if size % 2 == 0:
        raise ValueError(f"the LRN window is {size} channels; it must be odd")
    return _normalize(x, size, alpha / size, beta, k)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _normalize(x: Array, size: int, scale: float, beta: float, k: float) -> Array:
    return _forward(x, size, scale, beta, k)[0]


def _forward(
    x: Array, size: int, scale: float, beta: float, k: float
) -> tuple[Array, tuple[Array, Array]]:
    base = k + scale * _sum_of_neighbours(jnp.square(x), size)
    return x * _inverse_power(base, beta), (x, base)


def _backward(
    size: int,
    scale: float,
    beta: float,
    k: float,
    kept: tuple[Array, Array],
    cotangent: Array,
) -> tuple[Array]:
    del k
    x, base = kept
    factor = _inverse_power(base, beta)
    shares = _sum_of_neighbours(cotangent * x * (factor / base), size)
    return (cotangent * factor - (2 * scale * beta) * x * shares,)


_normalize.defvjp(_forward, _backward)


def _sum_of_neighbours(x: Array, size: int) -> Array:
    """Sum the `size` channels around each channel, with zeros beyond the range."""
    half, channels = size // 2, x.shape[-1]
    padded = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (half, half)))
    first, *others = (
        lax.slice_in_dim(padded, i, i + channels, axis=3) for i in range(size)
    )
    return sum(others, start=first)


def _inverse_power(base: Array, beta: float) -> Array:
    if beta != 0.75:
        return base**-beta
    half = lax.rsqrt(base)
    return half * lax.sqrt(half)
