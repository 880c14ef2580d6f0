"""Distances of gradients, and bounds in bfloat16 that a wrong gradient does not pass."""

import numpy as np
import pytest

from benchmarks import agreement, fcn_jax_system
from benchmarks.cases import Case, Setting, create_weights
from benchmarks.gradients import LARGE_SLICE, Difference, by_layer, difference

CASE = Case("train", "fcn8s_same_narrow", 96, 128, 2)
ALLOWED = agreement.tolerances("bfloat16", CASE.net)


def test_distances_of_a_gradient_from_its_reference():
    """Oracle: hand-computed for vectors with an angle, and a scaled one."""
    reference = np.array([3.0, 4.0], np.float32)
    assert difference(reference, reference) == Difference(0, 0, 0, 0)
    found = difference(np.array([4.0, 3.0], np.float32), reference)
    assert found.error == pytest.approx(np.sqrt(2) / 5)
    assert found.cosine == pytest.approx(1 - 24 / 25)
    assert found.norm == pytest.approx(0, abs=1e-12)
    assert found.slice == pytest.approx(1 / 3)
    longer = difference(1.1 * reference, reference)
    assert (longer.cosine, longer.norm) == pytest.approx((0, 0.1), abs=1e-7)


def test_slices_along_every_axis():
    """Oracle: hand-made; one input channel, one output, one row of taps is zero."""
    reference = np.random.default_rng(0).choice([-1.0, 1.0], (3, 3, 4, 5))
    for axis, size in enumerate(reference.shape):
        found = reference.copy()
        np.moveaxis(found, axis, 0)[-1] = 0
        own = difference(found, reference)
        assert own.slice == 1
        assert own.error == pytest.approx(1 / np.sqrt(size))


def test_small_slices_are_not_compared():
    """Oracle: a slice of a third of the mean norm is left out, one of nine tenths not."""
    reference = np.ones((1, 1, 1, 100))
    reference[..., 0] = 0.8 * LARGE_SLICE
    found = reference.copy()
    found[..., 0] = 0
    assert difference(found, reference).slice == 0
    reference[..., 0] = 1.2 * LARGE_SLICE
    assert difference(found, reference).slice == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_does_not_pass(value):
    """Oracle: no comparison with NaN holds."""
    reference = np.ones((3, 3, 2, 2), np.float32)
    found = reference.copy()
    found[1, 1, 1, 1] = value
    with np.errstate(invalid="ignore"):
        measured = agreement.errors({"update.a": found}, {"update.a": reference})
    assert len(agreement.excess(measured, ALLOWED)) == 3
    assert difference(reference, 0 * reference).error == np.inf
    assert difference(0 * reference, reference) == Difference(1, 1, 1, 1)
    with pytest.raises(ValueError, match="its reference"):
        difference(reference[..., :1], reference)


@pytest.fixture(scope="module")
def updates(tmp_path_factory):
    """First update without dropout in float32 and in bfloat16."""
    weights = tmp_path_factory.mktemp("files") / "weights"
    create_weights(CASE.net, weights)
    setting, found = Setting("cpu", 2, "none"), []
    for dtype in ("float32", "bfloat16"):
        system = fcn_jax_system.make(CASE, setting, weights, dtype=dtype, dropout=False)
        system.step()
        own = system.outputs()
        found.append({k: v for k, v in own.items() if k.startswith("update.")})
    return found


def excess(found, reference):
    """What is beyond the bounds of bfloat16, for one layer."""
    measured = agreement.errors({"update.x": found}, {"update.x": reference})
    return [clause.split()[4] for clause in agreement.excess(measured, ALLOWED)]


def test_bfloat16_passes(updates):
    """Oracle: float32. The bounds leave room, but not much."""
    reference, found = updates
    layers = by_layer(found, reference)
    assert len(layers) == 36
    assert agreement.excess(agreement.errors(found, reference), ALLOWED) == []
    assert max(own.cosine for own in layers.values()) > 0.05 * ALLOWED["update_cosine"]
    assert max(own.norm for own in layers.values()) > 0.1 * ALLOWED["update_norm"]
    assert max(own.slice for own in layers.values()) > 0.2 * ALLOWED["update_slice"]


def test_a_layer_times_1_1_does_not(updates):
    """Oracle: every layer of the bfloat16 gradient, longer and shorter by a tenth."""
    reference, found = updates
    for name, own in found.items():
        assert "update_norm" in excess(1.1 * own, reference[name]), name
        assert "update_norm" in excess(own / 1.1, reference[name]), name


def test_a_channel_of_zeros_does_not(updates):
    """Oracle: every layer, each channel in turn that is large in the reference."""
    reference, found = updates
    for name, own in found.items():
        expected = reference[name].astype(np.float64)
        squares = np.square(expected).reshape(-1, own.shape[-1]).sum(0)
        large = np.flatnonzero(squares >= LARGE_SLICE**2 * squares.mean())
        assert 4 * len(large) >= len(squares), name
        for channel in (large[0], large[len(large) // 2], large[-1]):
            wrong = own.copy()
            wrong[..., channel] = 0
            assert "update_slice" in excess(wrong, reference[name]), (name, channel)


def test_exchanged_channels_do_not(updates):
    """Oracle: every layer with its output channels moved by one."""
    reference, found = updates
    for name, own in found.items():
        assert excess(np.roll(own, 1, axis=-1), reference[name]), name
