"""Label smoothing against torch and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.losses.cross_entropy import softmax_cross_entropy

IGNORE = 255


def _draw(classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes + 1, (2, 5, 6)).astype(np.uint8)
    labels[labels == classes] = IGNORE
    return rng.normal(0, 3, (2, 5, 6, classes)), labels


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing_equals_torch(smoothing):
    """Oracle: torch.nn.functional.cross_entropy(label_smoothing=) in float64."""
    torch = pytest.importorskip("torch", reason="the oracle is torch's cross_entropy")
    scores, labels = _draw(classes=7)
    theirs = torch.tensor(scores, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        theirs.permute(0, 3, 1, 2),
        torch.tensor(labels.astype(np.int64)),
        ignore_index=IGNORE,
        label_smoothing=smoothing,
    )
    expected.backward()
    with jax.enable_x64(True):
        loss, ours = jax.value_and_grad(
            lambda scores: softmax_cross_entropy(
                scores, jnp.asarray(labels), smoothing=smoothing
            ).reduce("mean")
        )(jnp.asarray(scores))
    assert float(loss) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-9, atol=1e-14)


def test_smoothed_classes_keep_their_weights():
    """Oracle: NumPy; the weight of a pixel's class is on its whole loss."""
    scores, labels = _draw(classes=3)
    weights, smoothing = np.array([0.5, 2.0, 0.0]), 0.2
    shifted = scores - scores.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    valid = labels != IGNORE
    own = np.where(valid, labels, 0)
    target = (1 - smoothing) * np.eye(3)[own] + smoothing / 3
    expected = (-(target * log_p).sum(-1) * weights[own] * valid).sum()
    with jax.enable_x64(True):
        terms = softmax_cross_entropy(
            jnp.asarray(scores),
            jnp.asarray(labels),
            class_weights=jnp.asarray(weights),
            smoothing=smoothing,
        )
        assert float(terms.total) == pytest.approx(expected, rel=1e-12)
