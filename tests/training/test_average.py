"""The moving average of a state, mixup, and maps that are there in training only."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.losses.terms import LossTerms
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.params.trees import flat_arrays, restore_tree
from fcn_jax.runtime import sharding
from fcn_jax.training.state import TrainState, create_state, restored_state
from fcn_jax.training.train_step import make_train_step, mixed, moving_average

RECORDS = {"color": Preprocessing(mean=(1.0, 2.0, 3.0), origin="test")}
CLASSES, IMAGES = 4, 6


class Linear:
    """A classifier of one matrix, with a second output that exists in training only."""

    def apply(self, variables, inputs, *, train, sizes, dropout_keys, mutable):
        del sizes, dropout_keys
        assert not mutable
        pixels = inputs["color"].mean(axis=(1, 2), keepdims=True)
        own = variables["params"]
        maps = {"imagenet": FeatureMap(pixels @ own["main"]["kernel"])}
        if train:
            maps["loss1"] = FeatureMap(pixels @ own["side"]["kernel"])
        return maps


def _params():
    rng = np.random.default_rng(0)
    return {
        name: {"kernel": jnp.asarray(rng.normal(0, 0.1, (3, CLASSES)), jnp.float32)}
        for name in ("main", "side")
    }


def _batch(seed=1):
    rng = np.random.default_rng(seed)
    lead = (1, IMAGES)
    return {
        "inputs": {"color": rng.integers(0, 9, (*lead, 5, 5, 3)).astype(np.uint8)},
        "labels": {
            "imagenet": rng.integers(0, CLASSES, (*lead, 1, 1)).astype(np.uint16)
        },
        "sizes": None,
        "index": np.arange(IMAGES, dtype=np.int32)[None],
    }


def _step(**options):
    return make_train_step(
        model=Linear(),  # pyright: ignore
        records=RECORDS,
        optimizer=optax.sgd(0.1),
        loss=softmax_cross_entropy,
        reduction="mean",
        dtype="float32",
        seed=3,
        mesh=sharding.make_mesh(jax.devices()[:1]),
        **options,
    )


def _state(averaged=False):
    everywhere = sharding.replicated(sharding.make_mesh(jax.devices()[:1]))
    variables = {"params": jax.device_put(_params(), everywhere)}
    return create_state(
        variables, optax.sgd(0.1), sharding=everywhere, averaged=averaged
    )


def _numpy_loss_and_gradient(kernel, pixels, target):
    """Mean cross-entropy of `pixels @ kernel` against soft targets, in float64."""
    scores = pixels @ kernel
    shifted = scores - scores.max(axis=1, keepdims=True)
    softmax = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    loss = -(target * np.log(softmax)).sum(axis=1).mean()
    return loss, pixels.T @ (softmax - target) / len(pixels)


def _pixels(batch):
    values = batch["inputs"]["color"][0].astype(np.float64) - (1.0, 2.0, 3.0)
    return values.mean(axis=(1, 2))


def test_auxiliary_maps_add_their_part_of_the_loss():
    """Oracle: NumPy; 0.3 times the second loss, and each kernel's own gradient."""
    batch, before = _batch(), _params()
    target = np.eye(CLASSES)[batch["labels"]["imagenet"].ravel()]
    step = _step(auxiliary={"loss1": ("imagenet", 0.3)})
    state, report = step(_state(), batch)
    losses = {}
    for name, factor in (("main", 1.0), ("side", 0.3)):
        kernel = np.asarray(before[name]["kernel"], np.float64)
        losses[name], gradient = _numpy_loss_and_gradient(
            kernel, _pixels(batch), target
        )
        np.testing.assert_allclose(
            state.params[name]["kernel"], kernel - 0.1 * factor * gradient, atol=1e-6
        )
    expected = losses["main"] + 0.3 * losses["side"]
    assert float(report["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(report["loss_per_pixel"]) == pytest.approx(losses["main"], rel=1e-5)


def test_mixup_learns_the_mixture_of_two_labels():
    """Oracle: NumPy with mixed pixels and soft targets, the share read from the loss."""
    batch, kernel = _batch(), np.asarray(_params()["main"]["kernel"], np.float64)
    pixels = _pixels(batch)
    target = np.eye(CLASSES)[batch["labels"]["imagenet"].ravel()]
    state, report = _step(mixup=0.4)(_state(), batch)
    ours = np.asarray(state.params["main"]["kernel"])
    shares = np.linspace(0, 1, 20_001)
    found = [
        _numpy_loss_and_gradient(
            kernel,
            s * pixels + (1 - s) * pixels[::-1],
            s * target + (1 - s) * target[::-1],
        )[0]
        for s in shares
    ]
    # The loss is the same for s and 1 - s; so is the gradient.
    share = shares[np.argmin(np.abs(np.array(found) - float(report["loss"])))]
    assert 0 < share < 1
    _, gradient = _numpy_loss_and_gradient(
        kernel,
        share * pixels + (1 - share) * pixels[::-1],
        share * target + (1 - share) * target[::-1],
    )
    np.testing.assert_allclose(ours, kernel - 0.1 * gradient, atol=2e-5)


def test_images_are_mixed_with_the_mirrored_place():
    """Oracle: by hand."""
    images = jnp.arange(3.0).reshape(3, 1, 1, 1)
    found = mixed(images, jnp.float32(0.75))
    np.testing.assert_allclose(np.ravel(found), [0.5, 1.0, 1.5])


def test_shares_differ_between_updates_and_not_between_runs():
    """Oracle: equal losses of equal updates, other losses of the next one."""
    first, again = (_step(mixup=1.0)(_state(), _batch())[1]["loss"] for _ in range(2))
    assert float(first) == float(again)
    later = _state().replace(step=jnp.int32(7))
    assert float(_step(mixup=1.0)(later, _batch())[1]["loss"]) != float(first)


def test_the_average_by_hand():
    """Oracle: NumPy in float64, with the factor min(decay, (1 + t) / (10 + t))."""
    state, step = _state(averaged=True), _step(average_decay=0.3)
    expected = np.asarray(_params()["main"]["kernel"], np.float64)
    for count in range(6):
        state, _ = step(state, _batch(count))
        keep = min(0.3, (1 + count) / (10 + count))
        new = np.asarray(state.params["main"]["kernel"], np.float64)
        expected = keep * expected + (1 - keep) * new
        found = state.variables["params"]["main"]["kernel"]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected - new).max() > 1e-3


def test_integers_are_not_averaged():
    """Oracle: the newest value."""
    found = moving_average(
        {"a": jnp.int32(3), "b": jnp.float32(3)},
        {"a": jnp.int32(9), "b": jnp.float32(9)},
        jnp.int32(1_000_000),
        decay=0.5,
    )
    assert int(found["a"]) == 9
    assert float(found["b"]) == 6


def test_a_stored_state_with_an_average_continues_bit_for_bit():
    """Oracle: the uninterrupted state, parameters and average alike."""
    step = _step(average_decay=0.9)
    state = _state(averaged=True)
    for count in range(3):
        state, _ = step(state, _batch(count))
    net, rest = flat_arrays(state.variables), flat_arrays(state.rest)
    net, rest = ({k: np.array(v) for k, v in own.items()} for own in (net, rest))
    for count in range(3, 6):
        state, _ = step(state, _batch(count))

    fresh = _state(averaged=True)
    again: TrainState = restored_state(
        fresh,
        jnp.int32(3),
        restore_tree(fresh.variables, net, "net"),
        restore_tree(fresh.rest, rest, "rest"),
    )
    again = jax.device_put(again, jax.tree.leaves(fresh.params)[0].sharding)
    for count in range(3, 6):
        again, _ = step(again, _batch(count))
    for ours, theirs in zip(
        jax.tree.leaves(again), jax.tree.leaves(state), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_the_sums_of_a_mixture():
    """Oracle: by hand."""
    one = LossTerms(jnp.float32(8), jnp.float32(4), jnp.int32(4))
    two = LossTerms(jnp.float32(4), jnp.float32(2), jnp.int32(4))
    found = one.mixed(two, jnp.float32(0.25))
    assert [float(value) for value in found] == [5.0, 2.5, 4.0]
