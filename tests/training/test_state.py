"""Building, storing, restoring and warm-starting the state of a run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import SingleDeviceSharding

from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.optim.optimizers import make_optimizer, make_schedule
from fcn_jax.params.paths import flatten
from fcn_jax.params.surgery import classes_of
from fcn_jax.params.trees import flat_arrays, restore_tree
from fcn_jax.params.warm_start import PretrainedParams, warm_start
from fcn_jax.training.state import create_state, init_variables

NARROW = {"backbone": "vgg16", "outputs": {"semantic": 3}, "width": 1 / 32}
RGB = {"color": 3}
CLASSES = ("background", "cat", "dog")


def _sharding():
    return SingleDeviceSharding(jax.devices()[0])


def _arrays(tree, seed=0):
    """Random arrays in the places of a tree's leaves, by dotted path."""
    rng = np.random.default_rng(seed)
    return {
        path: rng.normal(size=leaf.shape).astype(leaf.dtype)
        for path, leaf in flat_arrays(tree).items()
    }


def _params(seed=0, channels=RGB, **settings):
    shapes = parameter_shapes(build_fcn(**{**NARROW, **settings}), channels)
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda s: jnp.asarray(rng.normal(size=s.shape), s.dtype), shapes
    )


@pytest.mark.slow
def test_initial_parameters():
    """Oracle: He-normal deviations sqrt(2 / fan-in), zero scores, the seed alone."""
    model = build_fcn(**{**NARROW, "width": 1 / 8}, stride=16)
    shapes = parameter_shapes(model, RGB)
    params = init_variables(model, RGB, seed=3, sharding=_sharding())["params"]
    same = jax.tree.map(
        lambda s, p: (s.shape, s.dtype) == (p.shape, p.dtype), shapes, params
    )
    assert all(jax.tree.leaves(same))
    for path, value in flatten(params).items():
        assert value.dtype == jnp.float32
        if path.startswith("head.") or path.endswith(".bias"):
            assert not value.any(), path
        else:
            fan_in = np.prod(value.shape[:-1])
            tolerance = 4 / value.size**0.5
            assert value.std() == pytest.approx((2 / fan_in) ** 0.5, rel=tolerance)
    again = init_variables(model, RGB, seed=3, sharding=_sharding())["params"]
    other = init_variables(model, RGB, seed=4, sharding=_sharding())["params"]
    first, second, third = (
        np.asarray(p["trunk"]["fc6"]["kernel"]) for p in (params, again, other)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


def test_state_before_the_first_update():
    """Oracle: step 0 as int32, momentum buffers of zero."""
    params = _params()
    optimizer = make_optimizer(
        "caffe_sgd",
        make_schedule("fixed", learning_rate=0.1, total_steps=1),
        params=params,
        momentum=0.9,
        weight_decay=0.0,
        multipliers=(("*", 1.0, 1.0),),
    )
    state = create_state({"params": params}, optimizer, sharding=_sharding())
    assert state.step.dtype == jnp.int32
    assert int(state.step) == int(state.opt_state.count) == 0
    shapes = jax.tree.map(jnp.shape, params)
    assert jax.tree.map(jnp.shape, state.opt_state.history) == shapes
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.opt_state.history))


def test_paths_of_parameters_are_those_of_the_rule_tables():
    """Oracle: paths.flatten."""
    params = _params()
    assert flat_arrays(params).keys() == flatten(params).keys()
    assert "trunk.conv1_1.kernel" in flat_arrays(params)


@pytest.mark.parametrize("name", ["caffe_sgd", "sgd", "adam", "adamw"])
def test_round_trip_of_an_optimiser_state(name):
    """Oracle: the state itself, and the next update that it leads to."""
    params = {"trunk": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "bias": jnp.ones(2)}
    optimizer = make_optimizer(
        name,
        make_schedule("poly", learning_rate=0.1, total_steps=9),
        params=params,
        momentum=0.9,
        weight_decay=0.1,
        multipliers=(("*", 1.0, 1.0),),
    )
    state = optimizer.init(params)
    _, state = optimizer.update(params, state, params)
    stored = {path: np.asarray(leaf) for path, leaf in flat_arrays(state).items()}
    assert all(not set("[]'\"") & set(path) for path in stored)
    assert len(stored) == len(jax.tree.leaves(state))
    restored = restore_tree(optimizer.init(params), stored, "optimiser state")
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    ours, _ = optimizer.update(params, restored, params)
    expected, _ = optimizer.update(params, state, params)
    jax.tree.map(np.testing.assert_array_equal, ours, expected)


def test_round_trip_of_a_chain_by_name():
    """Oracle: optax's own field names, positions of the chain in front."""
    chain = optax.chain(optax.trace(0.9), optax.scale_by_adam())
    state = chain.init({"w": jnp.ones(2)})
    assert set(flat_arrays(state)) == {"0.trace.w", "1.count", "1.mu.w", "1.nu.w"}


def test_fill_replaces_every_leaf():
    """Oracle: the stored arrays."""
    params = _params()
    stored = _arrays(params, seed=1)
    filled = flat_arrays(restore_tree(params, stored, "net"))
    assert filled.keys() == stored.keys()
    assert all(filled[path] is stored[path] for path in stored)


def test_fill_refuses_and_names_everything_that_differs():
    """Oracle: a missing, an extra, a reshaped and a retyped array, all named."""
    params = _params()
    stored = _arrays(params)
    del stored["trunk.fc6.bias"]
    stored["head.score_pool4.bias"] = np.zeros(3, np.float32)
    stored["head.score_fr.bias"] = np.zeros(4, np.float32)
    stored["trunk.fc7.bias"] = stored["trunk.fc7.bias"].astype(np.float16)
    with pytest.raises(ValueError, match="the stored net does not fit") as error:
        restore_tree(params, stored, "net")
    for part in (
        "trunk.fc6.bias is missing",
        "head.score_pool4.bias is not part of it",
        "head.score_fr.bias is float32[4] instead of float32[3]",
        "trunk.fc7.bias is float16[128] instead of float32[128]",
    ):
        assert part in str(error.value)


def test_long_lists_of_differences_are_cut():
    """Oracle: nothing stored; 12 parameters named, the rest counted."""
    params = _params()
    more = len(flat_arrays(params)) - 12
    with pytest.raises(ValueError, match=f"and {more} more"):
        restore_tree(params, {}, "net")


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
    coarse = _arrays(_params(seed=1, upsampling="learned"))
    fine = _params(seed=2, stride=16, upsampling="learned")
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
    params = _params()
    stored = _arrays(params)
    stored["head.score_fr.kernel"] = np.zeros((1, 1, 128, 21), np.float32)
    stored["head.score_fr.bias"] = np.zeros(21, np.float32)
    started, origins = _warm(params, stored, new=("head.score_fr.*",))
    assert origins["head.score_fr.kernel"] == "initialised"
    np.testing.assert_array_equal(
        started["head"]["score_fr"]["kernel"], params["head"]["score_fr"]["kernel"]
    )


def test_warm_start_takes_the_dtype_of_the_net():
    """Oracle: float16 storage, float32 parameters."""
    params = _params()
    stored = {p: value.astype(np.float16) for p, value in _arrays(params).items()}
    started, _ = _warm(params, stored)
    for path, value in flat_arrays(started).items():
        assert value.dtype == jnp.float32
        np.testing.assert_array_equal(value, stored[path].astype(np.float32))


def test_warm_start_refuses_and_names_everything_that_differs():
    """Oracle: a missing, a left-over and a reshaped array, all named; the remedy."""
    params = _params()
    stored = _arrays(params)
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
    params = _params()
    with pytest.raises(ValueError, match="score_rf"):
        _warm(params, _arrays(params), new=("head.score_rf.*",))


@pytest.mark.slow
def test_warm_start_from_two_nets():
    """Oracle: late fusion by hand; each trunk and score layer is one net's."""
    color, hha = _arrays(_params(), seed=1), _arrays(_params(), seed=2)
    streams = {"color": ("color",), "hha": ("hha",)}
    fused = _params(streams=streams, channels={"color": 3, "hha": 3})
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
    params = _params()
    stored = _arrays(params)
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
    params = _params(seed=1)
    stored = _arrays(_params(outputs={"semantic": 4}), seed=2)
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
    params = _params(seed=1, upsampling="learned")
    old = ("dog", "background")
    shrunk = _params(seed=2, upsampling="learned", outputs={"semantic": 2})
    stored = _arrays(shrunk, seed=3)
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
    params = _params()
    stored = _arrays(params)
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
    params = _params()
    stored = _arrays(params)
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
    params = _params(seed=1, channels=channels, streams=streams)
    stored = _arrays(_params(), seed=2)
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
    params = _params(seed=1, channels={"color": 1})
    stored = _arrays(_params(), seed=2)
    started, origins = _warm(
        params, stored, adapt=(("*.conv1_1.kernel", "channels"),), leading=()
    )
    kernel = np.asarray(started["trunk"]["conv1_1"]["kernel"])
    old = stored["trunk.conv1_1.kernel"]
    np.testing.assert_allclose(kernel[:, :, 0], old.mean(axis=2), atol=1e-6)
    assert origins["trunk.conv1_1.kernel"] == "fcn32s (mean of 3 channels)"


def test_the_channels_of_an_input_kernel_reversed():
    """Oracle: NumPy's slice, for colours stored in the other order; the bias as it is."""
    params = _params(seed=1)
    stored = _arrays(_params(), seed=2)
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
    params = _params()
    stored = _arrays(params)
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
    params = _params()
    stored = _arrays(params)
    lost = [f"trunk.fc6.{leaf}" for leaf in ("bias", "kernel")]
    for path in lost:
        del stored[path]
    words = "partial: it was converted without trunk.fc6.bias, trunk.fc6.kernel"
    with pytest.raises(ValueError, match=words):
        _warm(params, _given(stored, missing=lost))
    _, origins = _warm(params, _given(stored, missing=lost), new=("trunk.fc6.*",))
    assert origins["trunk.fc6.kernel"] == "initialised"
