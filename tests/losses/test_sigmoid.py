"""Sigmoid cross-entropy, with and without a score of the background."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.losses.sigmoid import sigmoid_cross_entropy

IGNORE = 255
WEIGHTS = (0.2, 1.0, 3.0, 0.0)


def _draw(spread):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (2, 5, 6)).astype(np.uint8)
    labels[labels == 4] = IGNORE
    return rng.normal(0, spread, (2, 5, 6, 4)), labels


def _by_numpy(scores, labels, weights, null_background):
    """Total, weight, valid and the gradient of the total, pixel by pixel."""
    total, weight, valid = 0.0, 0.0, 0
    gradient = np.zeros_like(scores)
    for at in np.ndindex(labels.shape):
        if labels[at] == IGNORE:
            continue
        own = 1.0 if weights is None else weights[labels[at]]
        weight, valid = weight + own, valid + 1
        for k in range(null_background, scores.shape[-1]):
            probability = 1 / (1 + np.exp(-scores[at][k]))
            is_own = k == labels[at]
            total -= own * np.log(probability if is_own else 1 - probability)
            gradient[at][k] = own * (probability - is_own)
    return total, weight, valid, gradient


@pytest.mark.parametrize("null_background", [False, True])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_values_and_gradient_equal_numpy(weights, null_background):
    """Oracle: NumPy, pixel by pixel, from probabilities, in float64."""
    scores, labels = _draw(spread=3.0)
    total, weight, valid, gradient = _by_numpy(scores, labels, weights, null_background)

    def objective(scores):
        terms = sigmoid_cross_entropy(
            scores,
            jnp.asarray(labels),
            class_weights=None if weights is None else jnp.asarray(weights),
            null_background=null_background,
        )
        return terms.total, terms

    with jax.enable_x64(True):
        (loss, terms), ours = jax.value_and_grad(objective, has_aux=True)(
            jnp.asarray(scores)
        )
        assert loss.dtype == jnp.float64
    assert float(loss) == pytest.approx(total, rel=1e-12)
    assert float(terms.weight) == pytest.approx(weight, rel=1e-12)
    assert int(terms.valid) == valid
    np.testing.assert_allclose(ours, gradient, rtol=1e-9, atol=1e-13)
    assert (np.asarray(ours)[..., 0] == 0).all() == null_background


def test_values_equal_torch_for_large_scores():
    """Oracle: torch's binary_cross_entropy_with_logits on one-hot labels."""
    torch = pytest.importorskip("torch", reason="the oracle is torch's loss")
    scores, labels = _draw(spread=200.0)
    theirs = torch.tensor(scores, requires_grad=True)
    valid = torch.tensor(labels != IGNORE)
    hot = torch.nn.functional.one_hot(torch.tensor(labels % 5 % 4).long(), 4)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        theirs[valid], hot[valid].double(), reduction="sum"
    )
    expected.backward()
    assert theirs.grad is not None
    with jax.enable_x64(True):
        loss, ours = jax.value_and_grad(
            lambda s: sigmoid_cross_entropy(s, jnp.asarray(labels)).total
        )(jnp.asarray(scores))
    assert float(loss) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-9, atol=1e-13)


def test_ignored_pixels_count_nothing():
    """Oracle: zero; scores there may be infinite."""
    labels = jnp.full((1, 2, 2), IGNORE, jnp.uint8)
    scores = jnp.full((1, 2, 2, 3), jnp.inf)
    found, gradient = jax.value_and_grad(
        lambda own: sigmoid_cross_entropy(own, labels).total
    )(scores)
    assert found == 0
    assert sigmoid_cross_entropy(scores, labels).valid == 0
    assert (gradient == 0).all()
