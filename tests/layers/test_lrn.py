"""Local response normalisation against NumPy and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.lrn import local_response_normalization


def lrn_by_loops(x, cotangent, size, alpha, beta, k):
    """Value and gradient, channel by channel, from the formula and its derivative."""
    half, channels = size // 2, x.shape[-1]
    near = [
        slice(max(0, c - half), min(channels, c + half + 1)) for c in range(channels)
    ]
    base = np.stack(
        [k + alpha / size * (x[..., near[c]] ** 2).sum(-1) for c in range(channels)], -1
    )
    y = x * base**-beta
    share = cotangent * x * base ** (-beta - 1)
    spread = np.stack([share[..., near[c]].sum(-1) for c in range(channels)], -1)
    gradient = cotangent * base**-beta - 2 * alpha * beta / size * x * spread
    return y, gradient


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0},
        {"size": 3, "alpha": 0.5, "beta": 0.5, "k": 2.0},
        {"size": 1, "alpha": 0.1, "beta": 0.75, "k": 1.0},
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 12])
def test_values_and_gradient_equal_the_formula(settings, channels):
    """Oracle: NumPy in float64, with values large enough to matter."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 200, (2, 3, 4, channels))
    cotangent = rng.normal(size=x.shape)
    with jax.enable_x64(True):
        y, pull = jax.vjp(
            lambda x: local_response_normalization(x, **settings), jnp.asarray(x)
        )
        (gradient,) = pull(jnp.asarray(cotangent))
    expected, expected_gradient = lrn_by_loops(x, cotangent, **settings)
    assert np.abs(expected - x).max() > 0.1
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-10, atol=1e-13)


def test_two_square_roots_are_as_good_as_a_power():
    """Oracle: the formula in float64; sums of squares over six orders of magnitude."""
    x = np.exp(np.random.default_rng(0).uniform(0, 14, (1, 40, 40, 64)))
    x = x.astype(np.float32)
    ours = local_response_normalization(jnp.asarray(x), alpha=1e-4)
    exact, _ = lrn_by_loops(x.astype(np.float64), 0.0, 5, 1e-4, 0.75, 1.0)
    np.testing.assert_allclose(ours, exact, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_gradient_of_the_gradient(beta):
    """Oracle: central differences of the gradient, in float64."""
    rng = np.random.default_rng(0)
    x, along = rng.normal(0, 2, (2, 1, 2, 3, 9))

    with jax.enable_x64(True):

        def total(x):
            y = local_response_normalization(x, alpha=0.5, beta=beta)
            return (y**3).sum()

        slope = jax.jit(jax.grad(total))
        ours = jax.jit(jax.grad(lambda x: (slope(x) * along).sum()))(jnp.asarray(x))
        step = 1e-5
        expected = (slope(x + step * along) - slope(x - step * along)) / (2 * step)
    # The Hessian is symmetric: its product with `along` is the change along it.
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-8)


def test_maps_along_another_axis():
    """Oracle: one map at a time, values and gradients."""
    x = np.random.default_rng(0).normal(0, 200, (3, 1, 4, 5, 8))

    def total(x):
        return (local_response_normalization(x) ** 2).sum()

    with jax.enable_x64(True):
        ours = jax.jit(jax.vmap(jax.value_and_grad(total)))(x)
        apart = [jax.value_and_grad(total)(jnp.asarray(each)) for each in x]
    for together, one in zip(ours, zip(*apart, strict=True), strict=True):
        np.testing.assert_allclose(together, np.stack(one), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_defaults_equal_torch():
    """Oracle: torch.nn.LocalResponseNorm(5), values and gradient in float32."""
    torch = pytest.importorskip("torch", reason="the oracle is torch's layer")
    rng = np.random.default_rng(0)
    x = rng.normal(0, 200, (2, 5, 4, 16)).astype(np.float32)
    cotangent = rng.normal(size=x.shape).astype(np.float32)
    y, pull = jax.vjp(local_response_normalization, jnp.asarray(x))
    (gradient,) = pull(jnp.asarray(cotangent))
    image = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    layer = torch.nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
    normalised = layer(image)
    normalised.backward(torch.tensor(cotangent.transpose(0, 3, 1, 2).copy()))
    expected = normalised.detach().permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    expected = image.grad.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_even_window_is_refused():
    """Oracle: there is no middle channel."""
    with pytest.raises(ValueError, match="4 channels; it must be odd"):
        local_response_normalization(jnp.ones((1, 1, 1, 8)), size=4)
