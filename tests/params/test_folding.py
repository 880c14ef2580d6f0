"""Batch normalisation folded into convolutions: the same scores without it."""

import jax
import numpy as np
import pytest

from fcn_jax.models.blocks import EPSILON
from fcn_jax.models.build import BACKBONES, build, build_classifier, fcn_spec
from fcn_jax.models.fcn import abstract
from fcn_jax.models.spec_parts import unnormalized
from fcn_jax.params.folding import fold_batch_norm
from fcn_jax.params.paths import flatten, unflatten

NORM = {
    "conv_bn.scale": np.array([2.0, 3.0]),
    "conv_bn.bias": np.array([0.5, -1.0]),
}
STATISTICS = {
    "conv_bn.mean": np.array([1.0, -2.0]),
    "conv_bn.var": np.array([3.0, 8.0]),
}
KERNEL = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)


def test_a_convolution_by_hand():
    """Oracle: by hand; factors 2 / sqrt(3 + 1) = 1 and 3 / sqrt(8 + 1) = 1."""
    params = {"conv.kernel": KERNEL, **NORM, "head.bias": np.ones(3)}
    found = fold_batch_norm(params, STATISTICS, epsilon=1.0)
    assert found.keys() == {"conv.kernel", "conv.bias", "head.bias"}
    np.testing.assert_array_equal(found["conv.kernel"], KERNEL)
    np.testing.assert_array_equal(found["conv.bias"], [0.5 - 1, -1 + 2])
    assert found["conv.kernel"].dtype == found["conv.bias"].dtype == np.float32
    assert found["head.bias"] is params["head.bias"]
    halved = fold_batch_norm(
        params, {**STATISTICS, "conv_bn.var": np.full(2, 15.0)}, epsilon=1.0
    )
    np.testing.assert_array_equal(halved["conv.kernel"], KERNEL * [0.5, 0.75])


@pytest.mark.parametrize(
    ("params", "statistics", "words"),
    [
        ({"conv.bias": np.ones(2)}, STATISTICS, "conv.bias lies before conv_bn"),
        ({"other.kernel": KERNEL}, STATISTICS, "conv_bn follows no convolution"),
        ({"conv.kernel": KERNEL}, {}, "conv_bn.mean is not among the running"),
    ],
)
def test_what_cannot_be_folded_is_refused(params, statistics, words):
    """Oracle: the sentence names the layer."""
    with pytest.raises(ValueError, match=words):
        fold_batch_norm({**params, **NORM}, statistics, epsilon=1.0)


def _variables(model):
    """Random parameters and running statistics, float64."""
    _, shapes = abstract(model, {"color": 3})
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        kind = path[-1].key
        if kind in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape)
        fan_in = np.prod(leaf.shape[:-1]) if kind == "kernel" else 10
        return rng.normal(0, (2 / fan_in) ** 0.5, leaf.shape)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_folded_fcn_has_the_same_scores(backbone):
    """Oracle: the net with batch normalisation in evaluation, float64."""
    spec = fcn_spec(
        backbone=backbone,
        outputs={"semantic": 5},
        width=1 / 16,
        padding="same",
        stride=16,
        normalization="batch",
    )
    model = build(spec)
    variables = _variables(model)
    folded = fold_batch_norm(
        flatten(variables["params"]), flatten(variables["batch_stats"]), epsilon=EPSILON
    )
    plain = build(unnormalized(spec, BACKBONES))
    image = {"color": np.random.default_rng(2).normal(size=(1, 37, 52, 3))}
    with jax.enable_x64(True):
        own, theirs = (
            jax.jit(lambda v, x, net=net: net.apply(v, x, train=False))(v, image)
            for net, v in ((model, variables), (plain, {"params": unflatten(folded)}))
        )
    expected = np.asarray(own["semantic"].values)
    assert expected.dtype == np.float64
    assert expected.std() > 0.01
    error = np.abs(np.asarray(theirs["semantic"].values) - expected).max()
    assert error < 1e-12 * np.abs(expected).max()


def test_folded_names_and_shapes_are_those_of_the_plain_net():
    """Oracle: the parameters of the classifier without normalisation."""
    for backbone in BACKBONES:
        own, plain = (
            build_classifier(
                backbone=backbone, classes=3, width=1 / 16, normalization=normalization
            )
            for normalization in ("batch", "none")
        )
        variables = abstract(own, {"color": 3})[1]
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), variables)
        found = fold_batch_norm(
            flatten(zeros["params"]), flatten(zeros["batch_stats"]), epsilon=EPSILON
        )
        expected = flatten(abstract(plain, {"color": 3})[1]["params"])
        assert {path: own.shape for path, own in found.items()} == {
            path: own.shape for path, own in expected.items()
        }
