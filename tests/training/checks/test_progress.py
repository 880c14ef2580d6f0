"""What is said of a net that learns nothing, tried at rates over many decades."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.optim.optimizers import make_optimizer
from fcn_jax.training.checks.progress import Losses, Reading, find_problem

CLASSES, STEPS, RECENT = 3, 150, 50
RATES = 10.0 ** np.arange(-12, 6)
EQUAL = float(np.log(CLASSES))


def _net(params, image):
    """Features and scores of a net of two layers."""
    first, second = params["trunk"]["conv"], params["head"]["score"]
    features = jax.nn.relu(_pixelwise(image, first))
    return features, _pixelwise(features, second)


def _pixelwise(x, layer):
    return (
        jnp.einsum("nhwc,cd->nhwd", x, layer["kernel"])
        + layer["bias"][None, None, None, :]
    )


def _start(spread):
    rng = np.random.default_rng(1)

    def layer(kernel):
        return {
            "kernel": jnp.asarray(kernel, jnp.float32),
            "bias": jnp.zeros(kernel.shape[-1]),
        }

    trunk = rng.normal(0, (2 / 3) ** 0.5, (3, 8))
    score = rng.normal(0, 1, (8, CLASSES)) * spread
    return {"trunk": {"conv": layer(trunk)}, "head": {"score": layer(score)}}


@functools.partial(jax.jit, static_argnums=(0, 1))
def _train(name, reduction, rates, params, image, labels):
    """Losses per pixel, features and scores of a run at each rate."""

    def run(rate):
        optimizer = make_optimizer(
            name,
            lambda count: rate,
            params=params,
            momentum=0.9,
            weight_decay=5e-4,
            multipliers=(("*.bias", 2.0, 0.0), ("*", 1.0, 1.0)),
        )

        def step(state, _):
            def loss(params):
                terms = softmax_cross_entropy(_net(params, image)[1], labels)
                return terms.reduce(reduction), terms.reduce("mean")

            own, opt_state = state
            (_, per_pixel), gradient = jax.value_and_grad(loss, has_aux=True)(own)
            updates, opt_state = optimizer.update(gradient, opt_state, own)
            return (optax.apply_updates(own, updates), opt_state), per_pixel

        first = (params, optimizer.init(params))
        (last, _), losses = jax.lax.scan(step, first, None, length=STEPS)
        return losses, *_net(last, image)

    return jax.vmap(run)(rates)


def _batch():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, (2, 3, 3)).repeat(4, 1).repeat(4, 2)
    image = rng.normal(0, 1, (*labels.shape, 3)) + 2 * np.eye(3)[labels]
    return jnp.asarray(image, jnp.float32), jnp.asarray(labels, jnp.int32)


def _reading(features, scores):
    return Reading({"trunk": FeatureMap(features)}, {"score": FeatureMap(scores)})


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 3.0])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("name", ["caffe_sgd", "sgd", "adam", "adamw"])
def test_the_direction_of_the_advice(name, reduction, spread):
    """Oracle: the rate at which the same training does best, from zero and wild scores.

    Rates that learn are not judged; none below the best is called too large and none
    above it too small; the smallest are always called too small, and the largest whose
    losses are finite too large.
    """
    image, labels = _batch()
    params = _start(spread)
    before = _reading(*jax.device_get(_net(params, image)))
    losses, features, scores = jax.device_get(
        _train(name, reduction, jnp.asarray(RATES, jnp.float32), params, image, labels)
    )
    recent = losses[:, -RECENT:].mean(axis=1)
    best = int(np.nanargmin(recent))
    assert recent[best] < 0.3
    said = []
    for index in range(len(RATES)):
        now = _reading(features[index], scores[index])
        finite = np.isfinite(recent[index]) and np.isfinite(now.reach)
        problem = finite and find_problem(
            step=STEPS, loss=float(recent[index]), equal=EQUAL, before=before, now=now
        )
        said.append(problem.direction if problem else "" if finite else "not finite")
        if problem:
            assert ("raise it" in problem.sentence) == (problem.direction == "small")
            assert ("lower it" in problem.sentence) == (problem.direction == "large")
    assert said[best] == ""
    assert "large" not in said[:best], said
    assert "small" not in said[best:], said
    assert said[:2] == ["small", "small"], said
    finite = [word for word in said[best:] if word != "not finite"]
    assert finite[-1] == "large" or said[-1] == "not finite", said
    learned = recent < 0.9 * EQUAL
    assert all(not said[index] for index in np.flatnonzero(learned)), said


def test_losses_are_averaged_over_the_last_hundred():
    """Oracle: NumPy; NaN before the first."""
    losses = Losses()
    assert np.isnan(losses.recent)
    values = np.random.default_rng(0).uniform(size=250)
    for value in values:
        losses.add(value)
    assert losses.recent == pytest.approx(values[-100:].mean(), rel=1e-12)


def _varied(scale=1.0, seed=0, channels=2):
    return scale * np.random.default_rng(seed).normal(size=(1, 3, 4, channels))


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_scores_are_a_problem_whatever_the_loss(value):
    """Oracle: zero scores, and a constant other than zero, in every layer."""
    still = Reading(
        {"trunk": FeatureMap(_varied())},
        {
            "score_fr": FeatureMap(np.full((1, 3, 3, 2), value)),
            "score_pool4": FeatureMap(np.zeros((1, 6, 6, 2))),
        },
    )
    problem = find_problem(step=300, loss=0.1, equal=EQUAL, before=None, now=still)
    assert problem is not None
    assert problem.constant
    assert "after 300 updates" in problem.sentence
    assert "scores of score_fr, score_pool4 are constant" in problem.sentence
    moving = Reading(
        still.features, {**still.scores, "score_pool3": FeatureMap(_varied())}
    )
    assert not find_problem(step=300, loss=0.1, equal=EQUAL, before=None, now=moving)


def test_a_continued_run_is_given_no_direction_by_movement():
    """Oracle: the start is not known, so small scores may have come from anywhere."""
    small = _reading(_varied(channels=8), _varied(1e-6))
    settings = {"step": 300, "loss": EQUAL, "equal": EQUAL}
    problem = find_problem(**settings, before=None, now=small)
    assert problem is not None
    assert problem.direction == "unclear"
    known = find_problem(**settings, before=small, now=small)
    assert known is not None
    assert known.direction == "small"


def test_the_margin_of_the_loss():
    """Oracle: by hand, 1 % of ln 3."""
    now = _reading(_varied(channels=8), _varied())
    for share, fine in ((0.98, True), (0.995, False), (1.2, False)):
        problem = find_problem(
            step=300, loss=share * EQUAL, equal=EQUAL, before=None, now=now
        )
        assert (problem is None) == fine
