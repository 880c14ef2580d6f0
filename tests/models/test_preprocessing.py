"""From stored pixels to network input."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.preprocess import preprocess
from fcn_jax.models.preprocessing import Preprocessing

RGB = Preprocessing((122.67891434, 116.66876762, 104.00698793), origin="ILSVRC")
DEPTH = Preprocessing((7.844,), logarithm=True, origin="NYUDv2")


def _image(channels, dtype=np.uint8, high=256):
    rng = np.random.default_rng(0)
    return rng.integers(1, high, (2, 4, 5, channels)).astype(dtype)


def _apply(record, pixels, dtype):
    return preprocess({"x": pixels}, {"x": record}, dtype)["x"]


def test_mean_is_subtracted_in_rgb_order():
    """Oracle: NumPy in float64; the reference's mean, its BGR order turned round."""
    image = _image(3)
    ours = _apply(RGB, jnp.asarray(image), jnp.float32)
    bgr_mean = np.array([104.00698793, 116.66876762, 122.67891434])
    expected = (image[..., ::-1] - bgr_mean)[..., ::-1]
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-5)


def test_scale_is_applied_after_the_mean():
    """Oracle: by hand; (200 - 100) / 64."""
    record = Preprocessing((100.0,), scale=1 / 64)
    ours = _apply(record, jnp.full((1, 1, 1, 1), 200, jnp.uint8), jnp.float32)
    assert float(ours[0, 0, 0, 0]) == 100 / 64


def test_depth_is_taken_to_its_natural_logarithm_first():
    """Oracle: NumPy; stored depth in millimetres, uint16."""
    depth = _image(1, np.uint16, 10_000)
    ours = _apply(DEPTH, jnp.asarray(depth), jnp.float32)
    expected = np.log(depth.astype(np.float64)) - 7.844
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_low_precision_is_rounded_once_at_the_end():
    """Oracle: the float32 result, rounded; 255 - 0.5 has no bfloat16 of its own."""
    record = Preprocessing((0.3, 0.6, 0.9), scale=1.1)
    image = jnp.asarray(_image(3))
    precise = _apply(record, image, jnp.float32)
    ours = _apply(record, image, jnp.bfloat16)
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_array_equal(
        ours.astype(jnp.float32), precise.astype(jnp.bfloat16).astype(jnp.float32)
    )


def test_another_number_of_channels_is_refused():
    """Oracle: the message names both numbers and the record's origin."""
    with pytest.raises(ValueError, match=r"4 channels.*record 3 \(ILSVRC\)"):
        _apply(RGB, jnp.zeros((1, 2, 2, 4), jnp.uint8), jnp.float32)
    with pytest.raises(ValueError, match="3 channels"):
        _apply(DEPTH, jnp.zeros((1, 2, 2, 3), jnp.uint8), jnp.float32)


@pytest.mark.parametrize("record", [RGB, DEPTH, Preprocessing((1.0, 2.0), 0.5)])
def test_record_survives_json(record):
    """Oracle: the record itself."""
    stored = json.loads(json.dumps(record.to_dict()))
    assert Preprocessing.from_dict(stored) == record


def test_each_input_gets_its_own_record():
    """Oracle: the records one by one; a record without an input is idle."""
    inputs = {"color": jnp.asarray(_image(3)), "depth": jnp.asarray(_image(1))}
    records = {"color": RGB, "depth": DEPTH, "hha": RGB}
    ours = preprocess(inputs, records, jnp.float32)
    assert set(ours) == {"color", "depth"}
    for name, array in ours.items():
        expected = _apply(records[name], inputs[name], jnp.float32)
        np.testing.assert_array_equal(array, expected)


def test_input_without_a_record_is_refused():
    """Oracle: the message names it and the records that exist."""
    with pytest.raises(ValueError, match=r"inputs \['hha'\]; records exist.*'color'"):
        preprocess({"hha": jnp.ones((1, 1, 1, 3))}, {"color": RGB}, jnp.float32)


def test_missing_depth_stays_finite():
    """Oracle: Kinect depth is 0 where nothing was measured."""
    ours = _apply(DEPTH, jnp.zeros((1, 1, 1, 1), jnp.uint16), jnp.float32)
    assert np.isfinite(ours).all()
