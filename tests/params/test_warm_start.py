"""Warm starts: which parameter comes from which net, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.params.surgery import classes_of
from fcn_jax.params.trees import flat_arrays
from fcn_jax.params.warm_start import PretrainedParams, warm_start
from tests.narrow_params import CLASSES, drawn_arrays, drawn_params


def _given(stored, source="fcn32s", classes=CLASSES, missing=()):
    names = classes_of(stored, {"semantic": classes})
    return PretrainedParams(source, stored, names, missing)


def _warm(
    params,
    *given,
    new=(),
    unused=(),
    adapt=(),
    classes=CLASSES,
    leading=(("trunk", 3),),
):
    donors = [
        one if isinstance(one, PretrainedParams) else _given(one) for one in given
    ]
    return warm_start(
        params,
        donors,
        new=new,
        unused=unused,
        adapt=adapt,
        classes=classes_of(flat_arrays(params), {"semantic": classes}),
        leading=dict(leading),
    )


def test_warm_start_of_a_finer_net():
    """Oracle: FCN-32s gives FCN-16s everything but score_pool4 and its own upscore."""
    coarse = drawn_arrays(drawn_params(seed=1, upsampling="learned"))
    fine = drawn_params(seed=2, stride=16, upsampling="learned")
    params, origins = _warm(
        fine,
        coarse,
        new=("head.score_pool4.*", "head.upscore2", "head.upscore16"),
        unused=("head.upscore",),
    )
    fresh = {
        "head.score_pool4.kernel",
        "head.score_pool4.bias",
        "head.upscore2",
        "head.upscore16",
    }
    assert {p for p, origin in origins.items() if origin == "initialised"} == fresh
    assert set(origins.values()) == {"initialised", "fcn32s"}
    assert origins.keys() == flat_arrays(fine).keys()
    before = flat_arrays(fine)
    for path, value in flat_arrays(params).items():
        expected = before[path] if path in fresh else coarse[path]
        np.testing.assert_array_equal(value, expected)
        assert isinstance(value, jax.Array)


def test_stored_parameter_that_shall_start_afresh_may_be_left_over():
    """Oracle: the docstring; the initial value is kept even if the shape differs."""
    params = drawn_params()
    stored = drawn_arrays(params)
    stored["head.score_fr.kernel"] = np.zeros((1, 1, 128, 21), np.float32)
    stored["head.score_fr.bias"] = np.zeros(21, np.float32)
    started, origins = _warm(params, stored, new=("head.score_fr.*",))
    assert origins["head.score_fr.kernel"] == "initialised"
    np.testing.assert_array_equal(
        started["head"]["score_fr"]["kernel"], params["head"]["score_fr"]["kernel"]
    )


def test_warm_start_takes_the_dtype_of_the_net():
    """Oracle: float16 storage, float32 parameters."""
    params = drawn_params()
    stored = {p: value.astype(np.float16) for p, value in drawn_arrays(params).items()}
    started, _ = _warm(params, stored)
    for path, value in flat_arrays(started).items():
        assert value.dtype == jnp.float32
        np.testing.assert_array_equal(value, stored[path].astype(np.float32))


def test_warm_start_refuses_and_names_everything_that_differs():
    """Oracle: a missing, a left-over and a reshaped array, all named; the remedy."""
    params = drawn_params()
    stored = drawn_arrays(params)
    del stored["trunk.conv1_1.bias"]
    stored["trunk.fc8.kernel"] = np.zeros(3, np.float32)
    stored["head.score_fr.bias"] = np.zeros(21, np.float32)
    with pytest.raises(ValueError, match="fcn32s does not initialise") as error:
        _warm(params, stored)
    for part in (
        "trunk.conv1_1.bias is not in it",
        "trunk.fc8.kernel is left over",
        "head.score_fr.bias is [21] there, [3] here",
        "config.init_new",
        "config.init_unused",
    ):
        assert part in str(error.value)


def test_misspelt_pattern_of_a_warm_start_is_refused():
    """Oracle: the rule tables; else score_fr would be loaded without a word."""
    params = drawn_params()
    with pytest.raises(ValueError, match="score_rf"):
        _warm(params, drawn_arrays(params), new=("head.score_rf.*",))


@pytest.mark.slow
def test_warm_start_from_two_nets():
    """Oracle: late fusion by hand; each trunk and score layer is one net's."""
    color, hha = (
        drawn_arrays(drawn_params(), seed=1),
        drawn_arrays(drawn_params(), seed=2),
    )
    streams = {"color": ("color",), "hha": ("hha",)}
    fused = drawn_params(streams=streams, channels={"color": 3, "hha": 3})
    given = []
    for name, stored in (("color", color), ("hha", hha)):
        renamed = {
            path.replace("trunk.", f"{name}.").replace("_fr.", f"_fr_{name}."): value
            for path, value in stored.items()
        }
        given.append(_given(renamed, source=f"runs/{name}"))
    params, origins = _warm(fused, *given)
    found = flat_arrays(params)
    assert len(found) == len(color) + len(hha)
    for path, old, stored, source in (
        ("color.conv1_1.kernel", "trunk.conv1_1.kernel", color, "runs/color"),
        ("hha.fc6.bias", "trunk.fc6.bias", hha, "runs/hha"),
        ("head.score_fr_color.kernel", "head.score_fr.kernel", color, "runs/color"),
        ("head.score_fr_hha.bias", "head.score_fr.bias", hha, "runs/hha"),
    ):
        np.testing.assert_array_equal(found[path], stored[old])
        assert origins[path] == source


def test_each_parameter_comes_from_exactly_one_net():
    """Oracle: one parameter in both, one in neither, one left over; all are named."""
    params = drawn_params()
    stored = drawn_arrays(params)
    first = {path: stored[path] for path in stored if path.startswith("trunk.")}
    second = {path: stored[path] for path in stored if path.startswith("head.")}
    started, origins = _warm(params, _given(first, "a"), _given(second, "b"))
    assert set(origins.values()) == {"a", "b"}
    np.testing.assert_array_equal(
        started["head"]["score_fr"]["bias"], stored["head.score_fr.bias"]
    )
    first["head.score_fr.bias"] = first.pop("trunk.fc7.bias")
    second["head.score_old.bias"] = second["head.score_fr.bias"]
    with pytest.raises(ValueError, match="a and b do not initialise") as error:
        _warm(params, _given(first, "a"), _given(second, "b"))
    for part in (
        "trunk.fc7.bias is in none of them",
        "head.score_fr.bias is in both a and b",
        "head.score_old.bias of b is left over",
        "config.init_from renames",
    ):
        assert part in str(error.value)


def test_classes_of_another_net_are_matched_by_name():
    """Oracle: columns picked by hand; kernel and bias, "cow" stays as initialised."""
    params = drawn_params(seed=1)
    stored = drawn_arrays(drawn_params(outputs={"semantic": 4}), seed=2)
    old = ("dog", "sheep", "background", "cat")
    here = ("background", "cow", "dog")
    started, origins = _warm(
        params,
        _given(stored, classes=old),
        adapt=(("head.score_*", "classes"),),
        classes=here,
    )
    for leaf in ("kernel", "bias"):
        path = f"head.score_fr.{leaf}"
        found = np.asarray(started["head"]["score_fr"][leaf])
        np.testing.assert_array_equal(found[..., 0], stored[path][..., 2])
        np.testing.assert_array_equal(found[..., 2], stored[path][..., 0])
        fresh = params["head"]["score_fr"][leaf]
        np.testing.assert_array_equal(found[..., 1], fresh[..., 1])
        assert origins[path] == "fcn32s (classes 0, 2 of 4, 1 fresh)"
    assert origins["trunk.fc7.kernel"] == "fcn32s"


def test_learned_upsampling_of_other_classes():
    """Oracle: rows and columns picked by hand; a fresh class keeps its bilinear ones."""
    params = drawn_params(seed=1, upsampling="learned")
    old = ("dog", "background")
    shrunk = drawn_params(seed=2, upsampling="learned", outputs={"semantic": 2})
    stored = drawn_arrays(shrunk, seed=3)
    started, _ = _warm(
        params,
        _given(stored, classes=old),
        adapt=(("head.*", "classes"),),
        classes=CLASSES,
    )
    found = np.asarray(started["head"]["upscore"])
    source = stored["head.upscore"]
    np.testing.assert_array_equal(found[:, :, 0, 2], source[:, :, 1, 0])
    np.testing.assert_array_equal(found[:, :, 2, 0], source[:, :, 0, 1])
    fresh = params["head"]["upscore"]
    np.testing.assert_array_equal(found[:, :, 1], fresh[:, :, 1])
    np.testing.assert_array_equal(found[:, :, :, 1], fresh[:, :, :, 1])


def test_equal_counts_of_other_classes_are_refused():
    """Oracle: the rule; the first difference and the remedies are named."""
    params = drawn_params()
    stored = drawn_arrays(params)
    turned = _given(stored, classes=("background", "dog", "cat"))
    with pytest.raises(ValueError, match="class 1 is 'dog' there, 'cat' here") as error:
        _warm(params, turned)
    assert str(error.value).count("'classes'") == 1
    assert "config.init_new" in str(error.value)
    started, origins = _warm(params, turned, adapt=(("head.*", "classes"),))
    found = np.asarray(started["head"]["score_fr"]["bias"])
    np.testing.assert_array_equal(found, stored["head.score_fr.bias"][[0, 2, 1]])
    assert origins["head.score_fr.bias"] == "fcn32s (classes 0-2 of 3)"
    _, origins = _warm(params, turned, new=("head.score_fr.*",))
    assert origins["head.score_fr.bias"] == "initialised"


def test_a_head_of_unknown_classes_is_taken_where_shapes_are_equal():
    """Oracle: an ImageNet classifier's record names no outputs to compare."""
    params = drawn_params()
    stored = drawn_arrays(params)
    unknown = PretrainedParams("vgg16", stored, {})
    _, origins = _warm(params, unknown)
    assert origins["head.score_fr.bias"] == "vgg16"
    stored["head.score_fr.bias"] = np.zeros(21, np.float32)
    with pytest.raises(ValueError, match="class names are not known there"):
        _warm(params, unknown, adapt=(("head.*", "classes"),))


def test_early_fusion_from_a_colour_net():
    """Oracle: NumPy's mean over the colours in the fourth channel, the rest as it is."""
    streams = {"trunk": ("color", "depth")}
    channels = {"color": 3, "depth": 1}
    params = drawn_params(seed=1, channels=channels, streams=streams)
    stored = drawn_arrays(drawn_params(), seed=2)
    adapt = (("trunk.conv1_1.*", "channels"),)
    with pytest.raises(ValueError, match=r"'trunk.conv1_1.kernel', 'channels'"):
        _warm(params, stored)
    with pytest.raises(ValueError, match=r"name colour first in config.model.streams"):
        _warm(params, stored, adapt=adapt, leading=(("trunk", 1),))
    started, origins = _warm(params, stored, adapt=adapt)
    kernel = np.asarray(started["trunk"]["conv1_1"]["kernel"])
    old = stored["trunk.conv1_1.kernel"]
    np.testing.assert_array_equal(kernel[:, :, :3], old)
    np.testing.assert_allclose(kernel[:, :, 3], old.mean(axis=2), atol=1e-6)
    assert origins["trunk.conv1_1.kernel"] == ("fcn32s (mean of 3 channels as the 4th)")
    assert origins["trunk.conv1_1.bias"] == "fcn32s"


def test_grey_pictures_from_a_colour_net():
    """Oracle: NumPy's mean over the colours."""
    params = drawn_params(seed=1, channels={"color": 1})
    stored = drawn_arrays(drawn_params(), seed=2)
    started, origins = _warm(
        params, stored, adapt=(("*.conv1_1.kernel", "channels"),), leading=()
    )
    kernel = np.asarray(started["trunk"]["conv1_1"]["kernel"])
    old = stored["trunk.conv1_1.kernel"]
    np.testing.assert_allclose(kernel[:, :, 0], old.mean(axis=2), atol=1e-6)
    assert origins["trunk.conv1_1.kernel"] == "fcn32s (mean of 3 channels)"


def test_the_channels_of_an_input_kernel_reversed():
    """Oracle: NumPy's slice, for colours stored in the other order; the bias as it is."""
    params = drawn_params(seed=1)
    stored = drawn_arrays(drawn_params(), seed=2)
    adapt = (("trunk.conv1_1.kernel", "reversed"),)
    started, origins = _warm(params, stored, adapt=adapt)
    old = stored["trunk.conv1_1.kernel"]
    np.testing.assert_array_equal(
        started["trunk"]["conv1_1"]["kernel"], old[:, :, ::-1]
    )
    np.testing.assert_array_equal(
        started["trunk"]["conv1_1"]["bias"], stored["trunk.conv1_1.bias"]
    )
    assert origins["trunk.conv1_1.kernel"] == "fcn32s (channels reversed)"
    for path in ("trunk.conv1_1.bias", "trunk.conv1_1.kernel"):
        other = {**stored, path: stored[path][..., :1]}
        with pytest.raises(ValueError, match="of a kernel of the same shape"):
            _warm(params, other, adapt=((path, "reversed"),))


def test_adaptations_that_do_not_apply_are_refused():
    """Oracle: a misspelt pattern, one that is always second, a layer of no input."""
    params = drawn_params()
    stored = drawn_arrays(params)
    with pytest.raises(ValueError, match="'head.scor.*' of config.init_adapt"):
        _warm(params, stored, adapt=(("head.scor.*", "classes"),))
    with pytest.raises(ValueError, match="'head.score_fr.*' of config.init_adapt"):
        _warm(
            params,
            stored,
            adapt=(("head.*", "classes"), ("head.score_fr.*", "classes")),
        )
    with pytest.raises(ValueError, match="'head.*' of config.init_adapt"):
        _warm(params, stored, adapt=(("head.*", "classes"), ("head.*", "channels")))
    stored["trunk.conv1_2.kernel"] = stored["trunk.conv1_2.kernel"][:, :, :, :1]
    with pytest.raises(ValueError, match="conv1_2.kernel: .* differ in more than"):
        _warm(params, stored, adapt=(("trunk.conv1_2.kernel", "channels"),))


def test_a_partial_checkpoint_says_that_it_is():
    """Oracle: the paths that it was converted without."""
    params = drawn_params()
    stored = drawn_arrays(params)
    lost = [f"trunk.fc6.{leaf}" for leaf in ("bias", "kernel")]
    for path in lost:
        del stored[path]
    words = "partial: it was converted without trunk.fc6.bias, trunk.fc6.kernel"
    with pytest.raises(ValueError, match=words):
        _warm(params, _given(stored, missing=lost))
    _, origins = _warm(params, _given(stored, missing=lost), new=("trunk.fc6.*",))
    assert origins["trunk.fc6.kernel"] == "initialised"
