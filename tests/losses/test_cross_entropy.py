"""Softmax cross-entropy against NumPy, torch and the reference's first losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fcn_jax.losses import cross_entropy
from fcn_jax.losses.class_weights import class_factors
from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.losses.terms import LossTerms

IGNORE = 255


def loss_by_numpy(scores, labels, weights=None):
    """Total, weight, valid and the gradient of the total, pixel by pixel."""
    total, weight, valid = 0.0, 0.0, 0
    gradient = np.zeros_like(scores)
    for at in np.ndindex(labels.shape):
        label = labels[at]
        if label == IGNORE:
            continue
        own = 1.0 if weights is None else weights[label]
        shifted = scores[at] - scores[at].max()
        probability = np.exp(shifted) / np.exp(shifted).sum()
        total -= own * np.log(probability[label])
        weight, valid = weight + own, valid + 1
        gradient[at] = own * (probability - (np.arange(len(probability)) == label))
    return total, weight, valid, gradient


def _draw(classes=4, spread=3.0):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes + 1, (2, 5, 6)).astype(np.uint8)
    labels[labels == classes] = IGNORE
    return rng.normal(0, spread, (2, 5, 6, classes)), labels


@pytest.mark.parametrize("weights", [None, (0.2, 1.0, 3.0, 0.0)])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_values_and_gradient_equal_numpy(weights, reduction):
    """Oracle: NumPy, pixel by pixel, in float64."""
    scores, labels = _draw(spread=20.0)
    total, weight, valid, gradient = loss_by_numpy(scores, labels, weights)
    divisor = weight if reduction == "mean" else 1.0

    def objective(scores):
        table = None if weights is None else jnp.asarray(weights)
        terms = softmax_cross_entropy(scores, jnp.asarray(labels), class_weights=table)
        return terms.reduce(reduction), terms

    with jax.enable_x64(True):
        (loss, terms), ours = jax.value_and_grad(objective, has_aux=True)(
            jnp.asarray(scores)
        )
        assert loss.dtype == jnp.float64
    assert float(loss) == pytest.approx(total / divisor, rel=1e-12)
    assert float(terms.weight) == pytest.approx(weight, rel=1e-12)
    assert int(terms.valid) == valid
    assert terms.valid.dtype == jnp.int32
    np.testing.assert_allclose(ours, gradient / divisor, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("weights", [None, (0.2, 1.0, 3.0, 0.0)])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_values_and_gradient_equal_torch(weights, reduction):
    """Oracle: torch.nn.functional.cross_entropy(ignore_index=255) in float32."""
    torch = pytest.importorskip("torch", reason="the oracle is torch's cross_entropy")
    scores, labels = _draw()
    scores = scores.astype(np.float32)
    theirs = torch.tensor(scores, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        theirs.permute(0, 3, 1, 2),
        torch.tensor(labels.astype(np.int64)),
        None if weights is None else torch.tensor(weights),
        ignore_index=IGNORE,
        reduction=reduction,
    )
    expected.backward()
    table = None if weights is None else jnp.asarray(weights, jnp.float32)
    loss, ours = jax.value_and_grad(
        lambda scores: softmax_cross_entropy(
            scores, jnp.asarray(labels), class_weights=table
        ).reduce(reduction)
    )(jnp.asarray(scores))
    assert float(loss) == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_image_without_a_label_gives_zero(reduction, weighted):
    """Oracle: Caffe's max(1, .) divisor: loss 0 and gradient 0, nothing NaN."""
    scores, _ = _draw()
    labels = jnp.full((2, 5, 6), IGNORE, jnp.uint8)
    table = jnp.ones(4) if weighted else None
    loss, gradient = jax.value_and_grad(
        lambda scores: softmax_cross_entropy(
            scores, labels, class_weights=table
        ).reduce(reduction)
    )(jnp.asarray(scores, jnp.float32))
    assert float(loss) == 0
    assert not np.asarray(gradient).any()


def test_ignored_pixels_have_no_gradient():
    """Oracle: the definition, also where the ignored scores are not finite."""
    scores, labels = _draw()
    scores[labels == IGNORE] = 1e30
    gradient = jax.grad(
        lambda scores: softmax_cross_entropy(scores, jnp.asarray(labels)).total
    )(jnp.asarray(scores, jnp.float32))
    gradient = np.asarray(gradient)
    assert np.isfinite(gradient).all()
    assert not gradient[labels == IGNORE].any()
    assert np.abs(gradient[labels != IGNORE]).sum(axis=-1).min() > 0


def test_every_value_that_is_no_class_is_ignored():
    """Oracle: by hand; of six labels only 0 and 3 are classes of four."""
    labels = jnp.asarray([-1, 0, 3, 4, 5, IGNORE], jnp.int32).reshape(1, 6, 1)
    scores = jnp.zeros((1, 6, 1, 4))
    terms = softmax_cross_entropy(scores, labels)
    assert int(terms.valid) == float(terms.weight) == 2
    assert float(terms.total) == pytest.approx(2 * np.log(4), rel=1e-6)


def test_more_classes_than_the_type_of_the_labels_can_count():
    """Oracle: by hand; equal scores of 300 classes, and labels of one byte."""
    labels = jnp.asarray([[[0, 254]]], jnp.uint8)
    loss, gradient = jax.value_and_grad(
        lambda scores: softmax_cross_entropy(scores, labels).reduce("mean")
    )(jnp.zeros((1, 1, 2, 300)))
    assert float(loss) == pytest.approx(np.log(300), rel=1e-6)
    expected = (1 / 300 - np.eye(300)[[0, 254]]) / 2
    np.testing.assert_allclose(gradient[0, 0], expected, rtol=1e-5)


def test_scores_of_an_ignored_pixel_may_be_anything():
    """Oracle: NumPy, which skips the pixel."""
    scores, labels = _draw()
    total = loss_by_numpy(scores, labels)[0]
    scores[labels == IGNORE] = np.nan
    terms = softmax_cross_entropy(jnp.asarray(scores, jnp.float32), jnp.asarray(labels))
    assert float(terms.total) == pytest.approx(total, rel=1e-6)


def test_gradient_of_the_class_weights():
    """Oracle: NumPy; the summed loss of each class, 0 for a class that is ignored."""
    scores, labels = _draw()
    weights = (0.2, 1.0, 3.0, 0.0)
    alone = [loss_by_numpy(scores, labels, np.eye(4)[index])[0] for index in range(3)]

    def total(table):
        terms = softmax_cross_entropy(
            jnp.asarray(scores), jnp.asarray(labels), class_weights=table
        )
        return 2 * terms.total

    with jax.enable_x64(True):
        ours = jax.grad(total)(jnp.asarray(weights))
    np.testing.assert_allclose(ours, [*(2 * np.array(alone)), 0.0], rtol=1e-12)


def test_class_weights_take_the_type_of_the_scores():
    """Oracle: NumPy in float64, with weights that float32 rounded."""
    scores, labels = _draw()
    weights = class_factors((0.2, 1.0, 3.0, 0.0), 4)
    expected, *_ = loss_by_numpy(scores, labels, weights.astype(np.float64))
    with jax.enable_x64(True):
        terms = softmax_cross_entropy(
            jnp.asarray(scores), jnp.asarray(labels), class_weights=jnp.asarray(weights)
        )
        assert terms.total.dtype == terms.weight.dtype == jnp.float64
    assert float(terms.total) == pytest.approx(expected, rel=1e-12)


def test_the_form_of_accelerators_equals_numpy(monkeypatch):
    """Oracle: NumPy, pixel by pixel; the form without a gather, run on the processor."""
    monkeypatch.setattr(
        cross_entropy.lax,
        "platform_dependent",
        lambda *arguments, cpu, default: default(*arguments),
    )
    scores, labels = _draw()
    total, _, _, gradient = loss_by_numpy(scores, labels)

    def objective(scores):
        return softmax_cross_entropy(scores, jnp.asarray(labels)).total

    with jax.enable_x64(True):
        loss, ours = jax.value_and_grad(objective)(jnp.asarray(scores))
    assert float(loss) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(ours, gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("height", "width", "classes", "golden"),
    [
        (375, 500, 21, 570_848.0),
        (500, 500, 21, 761_130.6),
        (375, 500, 60, 767_689.6),
        (256, 256, 33, 229_147.1),
        (256, 256, 3, 71_998.7),
    ],
)
def test_first_loss_of_the_reference(height, width, classes, golden):
    """Oracle: ln(classes) times the pixels, what Caffe prints at zero scores."""
    labels = jnp.zeros((1, height, width), jnp.uint8)
    terms = softmax_cross_entropy(jnp.zeros((1, height, width, classes)), labels)
    assert float(terms.reduce("sum")) == pytest.approx(golden, rel=1e-6)
    assert float(terms.reduce("mean")) == pytest.approx(np.log(classes), rel=1e-6)
    assert int(terms.valid) == float(terms.weight) == height * width


def test_sums_add_up_over_batches():
    """Oracle: one batch of two images against two batches of one."""
    scores, labels = _draw()
    scores, labels = jnp.asarray(scores, jnp.float32), jnp.asarray(labels)
    whole = softmax_cross_entropy(scores, labels)
    parts = [
        softmax_cross_entropy(scores[i : i + 1], labels[i : i + 1]) for i in (0, 1)
    ]
    summed = jax.tree.map(jnp.add, *parts)
    assert int(summed.valid) == int(whole.valid)
    for reduction in ("sum", "mean"):
        assert float(summed.reduce(reduction)) == pytest.approx(
            float(whole.reduce(reduction)), rel=1e-6
        )


def test_large_scores_neither_overflow_nor_cap():
    """Oracle: by hand; 1e4 nats behind costs 1e4 (Caffe would cap at 87.3)."""
    scores = jnp.asarray([0.0, 1e4])[None, None, None, :]
    loss, gradient = jax.value_and_grad(
        lambda s: softmax_cross_entropy(s, jnp.zeros((1, 1, 1), jnp.uint8)).total
    )(scores)
    assert float(loss) == 1e4
    np.testing.assert_array_equal(gradient[0, 0, 0], [-1, 1])


def test_unknown_reduction_is_refused():
    """Oracle: the message names the value and the two that exist."""
    terms = LossTerms(jnp.ones(()), jnp.ones(()), jnp.ones((), jnp.int32))
    with pytest.raises(ValueError, match="'none'; it must be 'sum' or 'mean'"):
        terms.reduce("none")  # pyright: ignore[reportArgumentType]


def test_mean_with_small_class_weights():
    """Oracle: a weighted mean does not change when all weights are scaled."""
    scores, labels = jnp.zeros((1, 1, 2, 4)), jnp.zeros((1, 1, 2), jnp.uint8)
    for weight in (1.0, 0.1):
        terms = softmax_cross_entropy(
            scores, labels, class_weights=jnp.full((4,), weight)
        )
        assert float(terms.reduce("mean")) == pytest.approx(np.log(4), rel=1e-6)


def test_gradient_of_the_gradient_is_the_softmax_s():
    """Oracle: by hand; w (diag(p) - p p^T) of each valid pixel, in float64."""
    scores, labels = _draw()
    direction = np.random.default_rng(1).normal(size=scores.shape)
    weights = (0.2, 1.0, 3.0, 0.5)
    with jax.enable_x64(True):

        def slope(scores):
            terms = softmax_cross_entropy(
                scores, jnp.asarray(labels), class_weights=jnp.asarray(weights)
            )
            return terms.total

        ours = jax.jit(
            jax.grad(lambda s: (jax.grad(slope)(s) * jnp.asarray(direction)).sum())
        )(jnp.asarray(scores))
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    expected = p * direction - p * (p * direction).sum(-1, keepdims=True)
    table = np.array([*weights, *[0.0] * (IGNORE - 3)])
    np.testing.assert_allclose(
        ours, table[labels][..., None] * expected, rtol=1e-10, atol=1e-14
    )


def test_images_along_another_axis():
    """Oracle: one image at a time."""
    scores, labels = _draw()
    scores, labels = jnp.asarray(scores, jnp.float32), jnp.asarray(labels)

    def total(scores, labels):
        return softmax_cross_entropy(scores[None], labels[None]).total

    ours = jax.jit(jax.vmap(jax.value_and_grad(total)))(scores, labels)
    apart = [
        jax.value_and_grad(total)(*one) for one in zip(scores, labels, strict=True)
    ]
    for together, one in zip(ours, zip(*apart, strict=True), strict=True):
        np.testing.assert_allclose(together, jnp.stack(one), rtol=1e-6, atol=1e-7)


def test_images_split_over_devices():
    """Oracle: the same batch on one device; scores stay where they are."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(8, 5, 6, 4)).astype(np.float32)
    labels = rng.integers(0, 5, (8, 5, 6)).astype(np.uint8)
    place = NamedSharding(
        Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")
    )

    def both(scores, labels):
        return jax.value_and_grad(lambda s: softmax_cross_entropy(s, labels).total)(
            scores
        )

    split = jax.jit(both, in_shardings=place)
    compiled = split.lower(scores, labels).compile().as_text()
    assert compiled is not None
    assert "all-gather" not in compiled
    loss, gradient = split(scores, labels)
    assert gradient.sharding.is_equivalent_to(place, 4)
    expected_loss, expected = jax.jit(both)(scores, labels)
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_not_hidden(value):
    """Oracle: the planted value, at every class of a labelled pixel."""
    for channel in range(4):
        scores, labels = _draw()
        labels[0, 0, 0] = 1
        scores[0, 0, 0, channel] = value
        loss = softmax_cross_entropy(
            jnp.asarray(scores, jnp.float32), jnp.asarray(labels)
        )
        assert not np.isfinite(loss.total)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ((1.0, -0.1, 1.0), "class 1 is -0.1"),
        ((1.0, 1.0, float("nan")), "class 2 is nan"),
        ((float("inf"), 1.0, 1.0), "class 0 is inf"),
        ((1e39, 1.0, 1.0), "class 0 is 1e\\+39"),
        ((1.0, 1e-60, 1.0), "class 1 is 1e-60"),
        ((1.0, None, 1.0), "class 1 is None"),
        ((1.0, "2", 1.0), "class 1 is '2'"),
        ((1.0, True, 1.0), "class 1 is True"),
        ((0, 0.0, 0), "all class weights are 0"),
        ((1.0, 2.0), "2 class weights for 3 classes"),
        ((1.0, 2.0, 3.0, 4.0), "4 class weights for 3 classes"),
    ],
)
def test_class_weights_that_cannot_be_are_refused(weights, words):
    """Oracle: what a factor on a loss may be."""
    with pytest.raises(ValueError, match=words):
        class_factors(weights, 3)


def test_class_weights_are_refused_alike_where_numpy_raises():
    """Oracle: the same sentences, in a program that turned NumPy's warnings to errors."""
    for weights, words in (
        ((1e39, 1.0), "class 0 is 1e"),
        ((1.0, 1e-60), "class 1 is"),
    ):
        with np.errstate(all="raise"), pytest.raises(ValueError, match=words):
            class_factors(weights, 2)


def test_class_weights_are_float32():
    """Oracle: NumPy's rounding; 0 and whole numbers are fine."""
    found = class_factors((0, 2, 0.1), 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float32([0, 2, 0.1]))
