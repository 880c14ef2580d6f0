"""What `init` and `apply` give to somebody who uses a net without the programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.models.build import build_classifier, build_fcn
from fcn_jax.params.paths import flatten
from fcn_jax.training.checks.trunk import sown

NETS = {
    "vgg16-8s": lambda: build_fcn(
        backbone="vgg16", outputs={"semantic": 3}, stride=8, width=1 / 16
    ),
    "alexnet-learned": lambda: build_fcn(
        backbone="alexnet",
        outputs={"semantic": 3, "geometric": 2},
        stride=16,
        width=1 / 16,
        upsampling="learned",
        score_init="gaussian",
    ),
    "googlenet": lambda: build_fcn(
        backbone="googlenet", outputs={"semantic": 3}, width=1 / 16
    ),
    "classifier": lambda: build_classifier(backbone="alexnet", classes=5, width=1 / 16),
}
SHOWN = ["endpoints", "scores"]


def _image(seed, size=(228, 230)):
    """As large as a classifier needs; `init` computes none of its features."""
    rng = np.random.default_rng(seed)
    return {"color": jnp.asarray(rng.normal(size=(1, *size, 3)), jnp.float32)}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_init_returns_parameters_alone(name):
    """Oracle: the one collection that training stores."""
    model = NETS[name]()
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), _image(0), train=False)
    )
    assert list(shapes) == ["params"]


@pytest.mark.slow
def test_features_are_those_of_the_image_given_last():
    """Oracle: `apply` with parameters alone; what `apply` returned is given back."""
    model = build_fcn(
        backbone="vgg16", outputs={"semantic": 3}, width=1 / 16, score_at="pool1"
    )
    first, second = _image(1, (33, 40)), _image(2, (33, 40))
    variables = model.init(jax.random.key(0), first, train=False)
    _, shown = model.apply(variables, first, train=False, mutable=SHOWN)
    assert set(shown) == set(SHOWN)
    _, again = model.apply({**variables, **shown}, second, train=False, mutable=SHOWN)
    _, alone = model.apply(variables, second, train=False, mutable=SHOWN)
    assert jax.tree.structure(again) == jax.tree.structure(alone)
    jax.tree.map(np.testing.assert_array_equal, again, alone)
    feature = sown(again, "endpoints")["trunk"]["conv1_1"].values
    old = sown(shown, "endpoints")["trunk"]["conv1_1"].values
    assert np.abs(np.asarray(feature - old)).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16-8s", "alexnet-learned", "classifier"])
def test_initial_parameters_do_not_depend_on_x64(name):
    """Oracle: bit for bit those without it."""

    def initial():
        init = jax.jit(
            lambda key: NETS[name]().init(key, _image(0), train=False)["params"]
        )
        return {
            path: np.asarray(v) for path, v in flatten(init(jax.random.key(7))).items()
        }

    usual = initial()
    with jax.enable_x64(True):
        wide = initial()
    assert usual.keys() == wide.keys()
    for path, value in usual.items():
        assert wide[path].dtype == value.dtype == np.float32, path
        np.testing.assert_array_equal(wide[path], value, err_msg=path)


@pytest.mark.parametrize("width", [float("inf"), float("nan"), 0.0, -1.0])
def test_widths_that_no_net_has_are_refused(width):
    """Oracle: a factor on a number of channels."""
    with pytest.raises(ValueError, match="width is .* finite factor"):
        build_fcn(backbone="vgg16", outputs={"semantic": 3}, width=width)
    with pytest.raises(ValueError, match="width is .* finite factor"):
        build_classifier(backbone="vgg16", width=width)


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan")])
def test_rates_of_dropout_that_keep_nothing_are_refused(rate):
    """Oracle: a probability below 1."""
    with pytest.raises(ValueError, match="dropout_rate is"):
        build_fcn(backbone="vgg16", outputs={"semantic": 3}, dropout_rate=rate)
