"""Operations on parameters: names, classes, channels, streams, stages."""

import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.params import head_names, surgery
from fcn_jax.params.paths import flatten, unflatten
from fcn_jax.training.checks.trunk import sown


def _net(**settings):
    settings = {"outputs": {"semantic": 3}, "width": 1 / 16, **settings}
    return build_fcn(backbone="vgg16", padding="same", **settings)


def _shapes(net, inputs=("color",)):
    shapes = parameter_shapes(net, dict.fromkeys(inputs, 3))
    return {path: leaf.shape for path, leaf in flatten(shapes).items()}


def _random(shapes, seed):
    """He-normal kernels and biases that differ, so that every score does."""
    rng = np.random.default_rng(seed)
    return {
        path: rng.normal(
            scale=(2 / max(np.prod(shape[:-1]), 20)) ** 0.5, size=shape
        ).astype(np.float32)
        for path, shape in shapes.items()
    }


def _scores(net, params, images):
    """Coarse score maps by layer, and the scores of every pixel."""
    inputs = {name: jnp.asarray(image) for name, image in images.items()}
    maps, variables = net.apply(
        {"params": unflatten(params)}, inputs, train=False, mutable=["scores"]
    )
    coarse = {n: np.asarray(m.values) for n, m in sown(variables, "scores").items()}
    return coarse, np.asarray(maps["semantic"].values)


def test_new_names_by_ordered_rules():
    """Oracle: names written by hand; the first rule wins, the others keep theirs."""
    names = [
        "trunk.conv1_1.kernel",
        "trunk.fc6.bias",
        "head.score_fr.kernel",
        "head.score_fr.bias",
        "head.upscore",
    ]
    renamed = surgery.new_names(
        names,
        [
            ("trunk.fc6.*", "color.fc6_own.*"),
            ("trunk.*", "color.*"),
            ("head.*_fr.*", "head.*_fr_color.*"),
        ],
    )
    assert list(renamed) == names
    assert list(renamed.values()) == [
        "color.conv1_1.kernel",
        "color.fc6_own.bias",
        "head.score_fr_color.kernel",
        "head.score_fr_color.bias",
        "head.upscore",
    ]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([("trunc.*", "color.*")], "apply to no parameter"),
        ([("*", "*"), ("trunk.*", "color.*")], "apply to no parameter"),
        ([("trunk.*", "color")], "same number of"),
        ([("trunk.a", "color.*")], "same number of"),
        ([("trunk.[ab]", "color.a")], "only wildcard"),
        ([("trunk.a", "trunk.b")], "trunk.a and trunk.b would both be called trunk.b"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(rules, words):
    """Oracle: idle, shadowed, malformed and colliding rules."""
    with pytest.raises(ValueError, match=words):
        surgery.new_names(["trunk.a", "trunk.b"], rules)


def test_a_dot_of_a_rule_is_a_dot():
    """Oracle: shell globs, in which it stands for itself."""
    assert surgery.new_names(["a.b", "axb"], [("a.b", "c")]) == {
        "a.b": "c",
        "axb": "axb",
    }


def test_late_fusion_averages_the_scores_of_two_nets():
    """Oracle: the mean of what the two nets score alone, on two different images."""
    alone = _net()
    first, second = (_random(_shapes(alone), seed) for seed in (1, 2))
    fused = {}
    for name, params in (("color", first), ("hha", second)):
        rules = [
            ("trunk.*", f"{name}.*"),
            ("head.score_fr.*", f"head.score_fr_{name}.*"),
        ]
        names = surgery.new_names(params, rules)
        fused |= {names[path]: value for path, value in params.items()}
    streams = {"color": ("color",), "hha": ("hha",)}
    net = _net(streams=streams)
    shapes = _shapes(net, ("color", "hha"))
    assert {path: value.shape for path, value in fused.items()} == shapes
    rng = np.random.default_rng(3)
    color, hha = rng.normal(size=(2, 1, 32, 64, 3)).astype(np.float32)
    coarse, pixels = _scores(net, fused, {"color": color, "hha": hha})
    (one, ones), (two, twos) = (
        _scores(alone, params, {"color": image})
        for params, image in ((first, color), (second, hha))
    )
    assert np.abs(one["score_fr"] - two["score_fr"]).max() > 0.01
    expected = (one["score_fr"] + two["score_fr"]) / 2
    np.testing.assert_allclose(coarse["score_fr"], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(pixels, (ones + twos) / 2, rtol=1e-5, atol=1e-5)


def test_classes_of_every_parameter_of_a_head():
    """Oracle: the outputs by the ends of the names; the longest end decides."""
    one = surgery.classes_of(["trunk.a", "head.upscore", "head.score_x.b"], {"y": "pq"})
    assert one == dict.fromkeys(["head.upscore", "head.score_x.b"], ("p", "q"))
    outputs = {"b": ("u",), "a_b": ("v",), "c": ("w",)}
    paths = ["head.score_fr_b.k", "head.score_fr_a_b.k", "head.upscore_c", "head.score"]
    assert surgery.classes_of(paths, outputs) == {
        "head.score_fr_b.k": ("u",),
        "head.score_fr_a_b.k": ("v",),
        "head.upscore_c": ("w",),
    }
    assert surgery.classes_of(["head.fc8.bias"], {}) == {}


def test_names_of_a_head_are_taken_apart_as_they_are_put_together():
    """Oracle: names of reference nets, taken apart by hand."""
    both = {"streams": ("color", "hha"), "outputs": ("semantic", "geometric")}
    for path, parts in (
        ("head.score_fr.kernel", ("score_fr", "", "", "kernel")),
        ("head.score_fr_hha.bias", ("score_fr", "hha", "", "bias")),
        ("head.score_pool4_geometric.bias", ("score_pool4", "", "geometric", "bias")),
        (
            "head.score_fr_hha_semantic.kernel",
            ("score_fr", "hha", "semantic", "kernel"),
        ),
        ("head.upscore2_semantic", ("upscore2", "", "semantic", "")),
    ):
        found = head_names.parse(path, **both)
        assert found == parts
        name = head_names.layer_name(parts[0], stream=parts[1], output=parts[2])
        assert path == ".".join(part for part in ("head", name, parts[3]) if part)
    assert head_names.parse("trunk.score_fr.kernel", **both) is None
    # Of one stream and one output the names tell nothing.
    one = head_names.parse("head.score_fr_hha.bias", streams=["hha"], outputs=["fr"])
    assert one == ("score_fr_hha", "", "", "bias")
    assert head_names.is_upsampling("head.upscore")
    assert not head_names.is_upsampling("trunk.upscore")
    assert head_names.score_kernel("pool4") == "head.score_pool4.kernel"


def test_match_classes_of_a_score_layer():
    """Oracle: columns written by hand; one class fresh, two dropped."""
    value = np.array([[1.0, 2, 3, 4, 5], [10, 20, 30, 40, 50]])[None, None]
    fresh = np.full((1, 1, 2, 4), -7, np.float32)
    result, phrase = surgery.match_classes(
        value, "abcde", ["c", "new", "b", "a"], fresh, class_axes=1
    )
    expected = [[3, -7, 2, 1], [30, -7, 20, 10]]
    np.testing.assert_array_equal(result[0, 0], expected)
    assert result.dtype == np.float32
    assert (fresh == -7).all()
    assert phrase == "classes 0-2 of 5, 1 fresh"


def test_subset_of_classes_of_a_bias():
    """Oracle: values picked by hand; a subset starts nothing afresh."""
    names = [f"class {index}" for index in range(21)]
    chosen = [names[0], names[15], names[12]]
    value, fresh = np.arange(21.0), np.zeros(3)
    result, phrase = surgery.match_classes(value, names, chosen, fresh, class_axes=1)
    np.testing.assert_array_equal(result, [0, 15, 12])
    assert phrase == "classes 0, 12, 15 of 21"


def test_match_classes_of_an_upsampling_kernel():
    """Oracle: entries written by hand, neither transposed nor shifted."""
    value = np.arange(2 * 2 * 3 * 3, dtype=float).reshape(2, 2, 3, 3)
    fresh = -np.arange(1, 1 + 2 * 2 * 3 * 3, dtype=float).reshape(2, 2, 3, 3)
    result, _ = surgery.match_classes(
        value, "abc", ("c", "new", "a"), fresh, class_axes=2
    )
    for row in range(2):
        for column in range(2):
            v, f = value[row, column], fresh[row, column]
            expected = [
                [v[2, 2], f[0, 1], v[2, 0]],
                [f[1, 0], f[1, 1], f[1, 2]],
                [v[0, 2], f[2, 1], v[0, 0]],
            ]
            np.testing.assert_array_equal(result[row, column], expected)


@pytest.mark.parametrize(
    ("value", "source", "target", "fresh", "words"),
    [
        (np.ones(3), "ab", "ab", np.ones(2), r"\[3\], which does not hold 2 classes"),
        (np.ones(2), "ab", "abc", np.ones(2), r"\[2\], which does not hold 3 classes"),
        (np.ones((4, 2)), "ab", "ab", np.ones((5, 2)), "only the number of classes"),
        (np.ones(2), "aa", "ab", np.ones(2), r"\['a'\] are given more than once"),
        (np.ones(2), "ab", "AB", np.ones(2), "equal letter by letter"),
    ],
)
def test_classes_that_cannot_be_matched_are_refused(
    value, source, target, fresh, words
):
    """Oracle: wrong counts, another input, repeated names, no name in common."""
    with pytest.raises(ValueError, match=words):
        surgery.match_classes(value, source, target, fresh, class_axes=1)


def test_an_upsampling_kernel_has_classes_along_two_axes():
    """Oracle: a score layer of 3 inputs and 2 classes is none."""
    with pytest.raises(ValueError, match="two axes"):
        surgery.match_classes(
            np.ones((1, 1, 3, 2)), "ab", "ab", np.ones((1, 1, 2, 2)), class_axes=2
        )


def test_added_channels_get_the_mean_of_the_colours():
    """Oracle: the reference's own assignment, written out for one filter."""
    kernel = np.zeros((1, 2, 3, 2), np.float32)
    kernel[0, 0, :, 0] = [1, 2, 6]
    kernel[0, 1, :, 1] = [3, -6, 9]
    widened, phrase = surgery.widen_input(kernel, 4)
    np.testing.assert_array_equal(widened[0, 0, :, 0], [1, 2, 6, 3])
    np.testing.assert_array_equal(widened[0, 1, :, 1], [3, -6, 9, 2])
    assert widened.dtype == np.float32
    assert phrase == "mean of 3 channels as the 4th"
    six, phrase = surgery.widen_input(kernel, 6)
    np.testing.assert_array_equal(six[0, 0, :, 0], [1, 2, 6, 3, 3, 3])
    assert phrase == "mean of 3 channels as each of channels 4 to 6"


def test_a_grey_kernel_is_a_third_of_the_colours_together():
    """Oracle: a grey picture given three times to the colour kernel."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 3, 2)).astype(np.float32)
    grey, phrase = surgery.to_grey(kernel)
    assert grey.shape == (3, 3, 1, 2)
    assert grey.dtype == np.float32
    assert phrase == "mean of 3 channels"
    patch = rng.normal(size=(3, 3, 1))
    thrice = np.einsum("hwc,hwco->o", np.repeat(patch, 3, axis=2), kernel)
    np.testing.assert_allclose(
        3 * np.einsum("hwc,hwco->o", patch, grey), thrice, rtol=1e-5
    )


def test_kernels_that_read_no_colours_are_refused():
    """Oracle: a grey kernel, a bias, no channel to add."""
    for array in (np.ones((3, 3, 1, 2)), np.ones(3)):
        for change in (surgery.to_grey, lambda value: surgery.widen_input(value, 4)):
            with pytest.raises(ValueError, match=r"\[k, k, 3, O\]"):
                change(array)
    with pytest.raises(ValueError, match="cannot be widened to 3"):
        surgery.widen_input(np.ones((1, 1, 3, 1)), 3)


def _bilinear(coarse, factor):
    """Upsampling by the formula: linear between pixel centres, zero outside the map."""
    for axis in (1, 2):
        length = coarse.shape[axis]
        centres = (np.arange(length * factor) + 0.5) / factor - 0.5
        distance = np.abs(centres[:, None] - np.arange(length)[None, :])
        weights = np.clip(1 - distance, 0, None)
        coarse = np.moveaxis(
            np.tensordot(weights, coarse.astype(np.float64), axes=(1, axis)), 0, axis
        )
    return coarse


def test_a_stage_starts_from_the_scores_of_the_stage_before():
    """Oracle: the coarser net's score map, upsampled by the bilinear formula.

    The scores of every pixel are not those of the stage before: upsampling by 2 and
    then by 16 cuts the corners that upsampling by 32 has at the centres of the map's
    pixels. Equal, bit for bit, are the coarse score maps that both have; the new score
    layer gives exactly zero; so the finer net's scores are those maps upsampled in its
    own steps. The image is a multiple of 32, on which "same" padding keeps every map
    whole and centred.
    """
    image = np.random.default_rng(5).normal(size=(1, 64, 96, 3)).astype(np.float32)
    net = _net()
    params = _random(_shapes(net), 4)
    before, pixels = _scores(net, params, {"color": image})
    np.testing.assert_allclose(pixels, _bilinear(before["score_fr"], 32), atol=1e-5)
    assert np.ptp(before["score_fr"]) > 0.1
    for stride, new in ((16, "score_pool4"), (8, "score_pool3")):
        net = _net(stride=stride)
        zeros = {
            path: np.zeros(size, np.float32) for path, size in _shapes(net).items()
        }
        finer = zeros | params
        assert {path.split(".")[1] for path in finer.keys() - params.keys()} == {new}
        coarse, staged = _scores(net, finer, {"color": image})
        for layer, values in before.items():
            np.testing.assert_array_equal(coarse[layer], values)
        np.testing.assert_array_equal(coarse[new], 0)
        fused = _bilinear(coarse["score_fr"], 2)
        if stride == 8:
            fused = _bilinear(fused + coarse["score_pool4"], 2)
        np.testing.assert_allclose(staged, _bilinear(fused, stride), atol=1e-5)
        assert np.abs(staged - pixels).max() > 1e-3
        params, before = finer, coarse
