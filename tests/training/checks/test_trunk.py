"""Each start-up check fires on its mistake and is silent otherwise."""

import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.layers.geometry import Geometry, Window
from fcn_jax.training.checks.trunk import (
    check_features,
    check_trunk,
    deepest,
    sown,
    spatial_spread,
)


def _map(values, sizes=None):
    sizes = None if sizes is None else jnp.asarray(sizes, jnp.int32)
    return FeatureMap(np.asarray(values, np.float32), sizes)


def _varied(shape=(2, 3, 4, 5)):
    return np.random.default_rng(0).normal(size=shape)


# Trunk --------------------------------------------------------------------------


def test_fine_tuning_an_untrained_trunk_is_refused():
    """Oracle: the message counts and names the parameters and the switch."""
    origins = {
        "trunk.conv1_1.kernel": "vgg16",
        "trunk.fc6.kernel": "initialised",
        "hha.fc7.bias": "initialised",
        "head.score_fr.kernel": "initialised",
    }
    with pytest.raises(
        ValueError, match="but 2 parameters.*fc6.*untrained_trunk=False"
    ):
        check_trunk("fine-tune", origins)
    check_trunk("scratch", origins)


def test_fine_tuning_a_loaded_trunk_passes():
    """Oracle: score layers start fresh in every recipe."""
    check_trunk(
        "fine-tune",
        {"trunk.fc6.kernel": "vgg16", "head.score_fr.kernel": "initialised"},
    )


# Features and scores ------------------------------------------------------------


def test_features_that_tell_pixels_apart_pass():
    """Oracle: random features; one varied image in the batch is enough."""
    values = _varied()
    check_features({"trunk": _map(values)})
    values[0] = 1.0
    check_features({"trunk": _map(values)})


@pytest.mark.parametrize(
    "values",
    [np.zeros((2, 3, 4, 5)), np.broadcast_to(np.arange(5.0), (2, 3, 4, 5))],
)
def test_constant_features_are_refused(values):
    """Oracle: dead features, and features equal at every pixel."""
    with pytest.raises(
        ValueError, match="of hha are constant.*constant_features=False"
    ):
        check_features({"color": _map(_varied()), "hha": _map(values)})


def test_rounding_noise_counts_as_constant():
    """Oracle: a relative deviation of 1e-8 passes for no signal, 1e-3 does."""
    noise = _varied()
    with pytest.raises(ValueError, match="constant"):
        check_features({"trunk": FeatureMap(1 + 1e-8 * noise)})
    check_features({"trunk": FeatureMap(1 + 1e-3 * noise)})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad):
    """Oracle: one bad value."""
    values = _varied()
    values[1, 2, 0, 3] = bad
    with pytest.raises(ValueError, match="not finite.*constant_features=False"):
        check_features({"trunk": _map(values)})


def test_maps_of_one_pixel_say_nothing():
    """Oracle: a single pixel cannot differ from another."""
    single = _map(np.zeros((2, 1, 1, 5)))
    assert spatial_spread(single).size == 0
    check_features({"trunk": single})


def test_only_pixels_of_the_image_count():
    """Oracle: by hand; all variation lies in the padding of the second image."""
    values = np.ones((2, 4, 5, 2))
    values[1, 3:] = 7
    values[1, :, 4:] = 9
    spread = spatial_spread(_map(values, [(4, 5), (3, 4)]))
    np.testing.assert_array_equal(spread, [0, 0])
    with pytest.raises(ValueError, match="constant"):
        check_features({"trunk": _map(values, [(4, 5), (3, 4)])})
    check_features({"trunk": _map(values)})
    single = spatial_spread(_map(values, [(4, 5), (1, 1)]))
    assert single.shape == (1,)


def test_spread_by_hand():
    """Oracle: channel 1 is 0 and 4, deviation 2, over the largest magnitude 8."""
    values = np.zeros((1, 1, 2, 2))
    values[0, 0] = [[-8, 0], [-8, 4]]
    np.testing.assert_allclose(spatial_spread(_map(values)), [2 / 8])


# What the network sows ----------------------------------------------------------


def test_deepest_sees_most_of_the_image():
    """Oracle: fc7 follows fc6 with an equal receptive field; order does not matter."""
    one = Geometry((Window("convolution", 3),))
    two = one.after(Window("convolution", 7))
    values = jnp.zeros((1, 2, 2, 1))
    maps = {
        "fc7": FeatureMap(values, None, two.after(Window("convolution", 1))),
        "fc6": FeatureMap(values, None, two),
        "pool5": FeatureMap(values, None, one),
    }
    assert deepest(maps) is maps["fc7"]
    assert deepest(dict(reversed(maps.items()))) is maps["fc7"]


def test_sown_maps_by_name():
    """Oracle: by hand; flax stores tuples below module names."""
    variables = {
        "endpoints": {"color_maps": ({"fc7": 1},), "hha_maps": ({"fc7": 2},)},
        "scores": {"head": {"score_fr_maps": (3,), "score_pool4_maps": (4,)}},
    }
    assert sown(variables, "endpoints") == {"color": {"fc7": 1}, "hha": {"fc7": 2}}
    assert sown(variables, "scores") == {"score_fr": 3, "score_pool4": 4}
