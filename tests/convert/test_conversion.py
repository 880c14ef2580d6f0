"""Strict conversion: what is missing, left over, misshapen or not finite is named.

The files are a few arrays in memory with the names of FCN-32s and FCN-8s at-once, of
very few channels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from fcn_jax.convert.conversion import Conversion, convert
from fcn_jax.convert.layouts.weight_layouts import WEIGHT_LAYOUTS
from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError
from fcn_jax.models.published import NETS
from tests.convert.conversions import (
    BLOBS,
    bilinear,
    convert_arrays,
    drawn_arrays,
    refusal,
)


def test_every_array_goes_to_its_place():
    """Oracle: NumPy's transposition, the colours reversed; the rows are in file order."""
    arrays = drawn_arrays()
    reversed_file = dict(reversed(arrays.items()))
    found = convert_arrays(reversed_file)
    expected = {
        "trunk.conv1_1.kernel": np.einsum("oihw->hwio", arrays["conv1_1[0]"])[
            :, :, ::-1
        ],
        "trunk.conv1_1.bias": arrays["conv1_1[1]"],
        "trunk.fc6.kernel": np.einsum("oihw->hwio", arrays["fc6[0]"]),
        "trunk.fc6.bias": arrays["fc6[1]"],
        "head.score_fr.kernel": np.einsum("oihw->hwio", arrays["score_fr[0]"]),
        "head.score_fr.bias": arrays["score_fr[1]"],
    }
    assert found.params.keys() == expected.keys()
    for path, value in expected.items():
        own = found.params[path]
        assert own.dtype == np.float32
        assert own.flags.c_contiguous
        np.testing.assert_array_equal(own, value)
    assert [row.source for row in found.copied] == [
        name for name in reversed_file if name != "upscore[0]"
    ]
    (row,) = [row for row in found.copied if row.source == "conv1_1[0]"]
    assert row.path == "trunk.conv1_1.kernel"
    assert (row.shape, row.source_shape) == ((1, 2, 3, 2), (2, 3, 1, 2))
    assert row.how == "OIHW -> HWIO, BGR -> RGB"
    assert (found.learned_upsampling, found.unused, found.missing) == (False, {}, ())
    assert found.checked == {"upscore[0]": "the bilinear kernel; fixed here too"}


# Missing, left over, misshapen ------------------------------------------------------


def test_a_missing_array_is_named():
    """Oracle: the one that was taken out, and its parameter."""
    arrays = drawn_arrays()
    del arrays["fc6[1]"]
    sentence = refusal(arrays)
    assert "does not fit: fc6 (trunk.fc6.bias) is missing; check --net" in sentence
    assert "--allow=NAME,NAME" in sentence


@pytest.mark.parametrize("allow", [["fc6"], ["fc*"], ["fc[67]"], ["score_fr", "fc6"]])
def test_missing_layers_may_be_allowed(allow):
    """Oracle: both arrays of the layers that were taken out."""
    arrays = drawn_arrays()
    gone = ["fc6", "score_fr"] if "score_fr" in allow else ["fc6"]
    for layer in gone:
        del arrays[f"{layer}[0]"], arrays[f"{layer}[1]"]
    found = convert_arrays(arrays, allow=allow)
    assert {path.split(".")[1] for path in found.missing} == set(gone)
    assert len(found.missing) == 2 * len(gone)
    assert not set(found.missing) & set(found.params)


@pytest.mark.parametrize("allow", ["bn", "bn[0]", "b*", "bn?0]"])
def test_arrays_left_over_are_named_or_allowed(allow):
    """Oracle: the one that was put in; by its layer, its name and patterns of them."""
    arrays = {**drawn_arrays(), "bn[0]": np.ones(3, np.float32)}
    assert "bn[0] is left over;" in refusal(arrays)
    assert convert_arrays(arrays, allow=[allow]).unused == {"bn[0]": "allowed"}


def test_what_an_origin_has_beyond_the_net_is_no_error():
    """Oracle: the origin's own patterns."""
    arrays = {**drawn_arrays(), "aux/fc[0]": np.ones(3, np.float32)}
    assert "aux/fc[0] is left over" in refusal(arrays)
    found = convert_arrays(arrays, extras=("aux/*",))
    assert found.unused == {"aux/fc[0]": "expected of this origin"}


@pytest.mark.parametrize("allow", ["fc8", "conv1_1", "fc7*", "bn[0]"])
def test_an_allowance_that_allows_nothing_is_refused(allow):
    """Oracle: the file is complete, so each is a mistake."""
    sentence = refusal(drawn_arrays(), allow=[allow])
    assert f"--allow={allow} names nothing that is missing or left over" in sentence


def test_all_problems_are_in_one_sentence():
    """Oracle: one problem of each kind, put in by hand."""
    arrays = drawn_arrays()
    del arrays["score_fr[1]"]
    arrays["fc6[0]"] = arrays["fc6[0]"].transpose(1, 0, 2, 3)
    arrays["conv1_1[1]"] = np.zeros(3, np.float32)
    arrays["bn[0]"] = np.ones(3, np.float32)
    sentence = refusal(arrays, allow=["fc7"])
    for part in (
        "fc6[0] is 2x4x1x1 instead of 4x2x1x1 or 4x2;",
        "conv1_1[1] is 3 instead of 2;",
        "score_fr (head.score_fr.bias) is missing;",
        "bn[0] is left over;",
        "--allow=fc7 names nothing",
    ):
        assert part in sentence


def test_a_long_list_of_problems_is_cut():
    """Oracle: fifteen arrays too many, of which twelve are shown."""
    extra = {f"more{n}[0]": np.ones(1, np.float32) for n in range(15)}
    sentence = refusal({**drawn_arrays(), **extra})
    assert sentence.count("is left over") == 12
    assert "; and 3 more;" in sentence


# Values -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [*BLOBS, "upscore[0]"])
def test_values_that_are_not_finite_are_refused(name, value):
    """Oracle: the number of values that were spoilt by hand."""
    arrays = drawn_arrays()
    arrays[name].flat[[0, -1]] = value
    sentence = refusal(arrays)
    assert f"{name} has 2 of {arrays[name].size} values that are not finite" in sentence
    assert sentence.count("x.caffemodel") == 1


def test_values_that_are_not_used_may_be_anything():
    """Oracle: the parameters without them."""
    expected = convert_arrays(drawn_arrays())
    spoilt = {"bn[0]": np.full(3, np.nan), "bn[1]": np.asarray(["text"])}
    found = convert_arrays({**drawn_arrays(), **spoilt}, allow=["bn"])
    for path, value in expected.params.items():
        np.testing.assert_array_equal(found.params[path], value)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_floating_types_become_float32(dtype):
    """Oracle: NumPy's conversion of the same values."""
    arrays = {name: value.astype(dtype) for name, value in drawn_arrays().items()}
    found = convert_arrays(arrays)
    for row in found.copied:
        assert found.params[row.path].dtype == np.dtype("=f4")
    np.testing.assert_array_equal(
        found.params["trunk.fc6.bias"], arrays["fc6[1]"].astype(np.float32)
    )


def test_a_number_too_large_for_float32_is_refused():
    """Oracle: float32 ends at 3.4e38."""
    arrays = {name: value.astype(np.float64) for name, value in drawn_arrays().items()}
    arrays["fc6[0]"].flat[1] = 3.4e38
    assert convert_arrays(arrays).params["trunk.fc6.kernel"].max() == np.float32(3.4e38)
    arrays["fc6[0]"].flat[1] = 1e39
    assert "fc6[0] has 1 of 8 values that are not finite float32" in refusal(arrays)


@pytest.mark.parametrize("dtype", [np.int32, np.int8, np.bool_, np.complex64])
def test_other_types_are_refused(dtype):
    """Oracle: weights are floating-point numbers."""
    arrays = drawn_arrays()
    arrays["fc6[1]"] = arrays["fc6[1]"].astype(dtype)
    expected = f"fc6[1] holds {np.dtype(dtype)}, not floating-point numbers"
    assert expected in refusal(arrays)


def test_read_only_arrays_of_a_file_are_not_altered():
    """Oracle: the bytes before; NumPy refuses to write."""
    arrays = drawn_arrays()
    before = {name: value.tobytes() for name, value in arrays.items()}
    for value in arrays.values():
        value.flags.writeable = False
    convert_arrays(arrays)
    assert {name: value.tobytes() for name, value in arrays.items()} == before


# Deconvolutions and scales ----------------------------------------------------------


def test_a_deconvolution_that_is_not_bilinear_is_a_parameter():
    """Oracle: NumPy's transposition of an asymmetric kernel."""
    arrays = drawn_arrays()
    arrays["upscore[0]"] = np.random.default_rng(1).normal(size=(2, 2, 4, 4))
    found = convert_arrays(arrays)
    assert found.learned_upsampling
    assert found.checked == {"upscore[0]": "not bilinear; kept as a parameter"}
    np.testing.assert_array_equal(
        found.params["head.upscore"],
        np.einsum("iohw->hwio", arrays["upscore[0]"]).astype(np.float32),
    )


AT_ONCE = {
    "head.score_fr.kernel": (1, 1, 3, 2),
    "head.score_pool4.kernel": (1, 1, 3, 2),
    "head.score_pool3.kernel": (1, 1, 2, 2),
    "head.upscore2": (4, 4, 2, 2),
    "head.upscore_pool4": (4, 4, 2, 2),
}


def _at_once_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    sizes = {"score_fr": 3, "score_pool4": 3, "score_pool3": 2}
    arrays = {
        f"{layer}[0]": rng.normal(size=(2, size, 1, 1)).astype(np.float32)
        for layer, size in sizes.items()
    }
    return {
        **arrays,
        "upscore2[0]": bilinear(2),
        "upscore_pool4[0]": bilinear(2),
        "scale_pool4[0]": np.full(3, 0.01, np.float32),
        "scale_pool3[0]": np.full(2, 0.0001, np.float32),
    }


def _convert_at_once(
    arrays: Mapping[str, np.ndarray],
    allow: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
) -> Conversion:
    kinds = {"scale_pool4": "Scale"} if kinds is None else kinds
    weight_file = WeightFile(Path("x.caffemodel"), "caffemodel", arrays, kinds)
    net = NETS["voc-fcn8s-atonce"]
    return convert(weight_file, net, WEIGHT_LAYOUTS["caffe"], AT_ONCE, allow=allow)


def test_factors_other_than_the_nets_are_folded():
    """Oracle: kernel * factor / 0.01, in float64."""
    arrays = _at_once_arrays()
    factors = np.asarray([0.02, -0.01, 0.005], np.float32)
    arrays["scale_pool4[0]"] = factors
    found = _convert_at_once(arrays)
    kernel = arrays["score_pool4[0]"][:, :, 0, 0].T.astype(np.float64)
    np.testing.assert_allclose(
        found.params["head.score_pool4.kernel"][0, 0],
        kernel * factors[:, None] / 0.01,
        rtol=1e-6,
    )
    np.testing.assert_array_equal(
        found.params["head.score_pool3.kernel"][0, 0],
        arrays["score_pool3[0]"][:, :, 0, 0].T,
    )
    assert found.checked["scale_pool4[0]"] == "not 0.01: folded into the score layer"
    assert found.checked["scale_pool3[0]"] == "the factor 0.0001, kept"


def test_a_missing_scale_is_refused_where_caffe_has_it():
    """Oracle: a file of Caffe's has the layer; the ports have the factor in a program."""
    arrays = _at_once_arrays()
    del arrays["scale_pool3[0]"]
    with pytest.raises(WeightFileError, match="scale_pool3 .* is missing"):
        _convert_at_once(arrays)
    allowed = _convert_at_once(arrays, allow=["scale_pool3"])
    ported = _convert_at_once(arrays, kinds={})
    for found in (allowed, ported):
        assert "head.score_pool3.kernel" in found.params
        assert "scale_pool3[0]" not in found.checked


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (np.ones(2, np.float32), "scale_pool4[0] has 2 values; it must have 3"),
        (np.asarray([1, np.nan, 1]), "scale_pool4[0] has 1 of 3 values that are not"),
    ],
)
def test_a_scale_that_does_not_fit_is_refused(scale, words):
    """Oracle: three channels, and finite numbers."""
    with pytest.raises(WeightFileError) as error:
        _convert_at_once({**_at_once_arrays(), "scale_pool4[0]": scale})
    assert words in str(error.value)
    assert str(error.value).count("x.caffemodel") == 1


def test_a_scale_without_its_score_layer_is_not_needed():
    """Oracle: a partial file, allowed by name."""
    arrays = _at_once_arrays()
    del arrays["score_pool4[0]"]
    found = _convert_at_once(arrays, allow=["score_pool4"])
    assert found.missing == ("head.score_pool4.kernel",)
    assert "not needed" in found.checked["scale_pool4[0]"]


def test_a_net_has_all_of_its_deconvolutions_or_none():
    """Oracle: without one, the others must be the fixed ones."""
    arrays = _at_once_arrays()
    del arrays["upscore2[0]"]
    found = _convert_at_once(arrays, allow=["upscore2"])
    assert (found.learned_upsampling, found.missing) == (False, ())
    arrays["upscore_pool4[0]"] = 2 * arrays["upscore_pool4[0]"]
    with pytest.raises(WeightFileError, match="x.caffemodel: some deconvolutions are"):
        _convert_at_once(arrays, allow=["upscore2"])


def test_an_array_without_values_is_no_error():
    """Oracle: the parameters without it; it is reported."""
    found = convert_arrays({**drawn_arrays(), "loss[0]": np.zeros((0, 3), np.float32)})
    assert found.unused == {"loss[0]": "it has no values"}
    assert found.params.keys() == convert_arrays(drawn_arrays()).params.keys()
