"""The plain forms: no faster form is left, and the values are the same."""

import inspect
from functools import partial

import jax
import numpy as np
import pytest

from benchmarks.gpu_check import plain
from fcn_jax.layers import conv, frame, pool, upsample
from fcn_jax.models import fcn, heads
from fcn_jax.models.build import build_fcn

HIDDEN = ("custom_vjp_call", "platform_index", "cond")
"""What forms by platform and gradients written out leave in a program."""
PADDING = "padding=((100, 100), (100, 100))"


def test_arguments_are_those_of_the_layers():
    """Oracle: the signatures."""
    for own, layer in (
        (plain.convolution, conv.convolution),
        (plain.max_pool, pool.max_pool),
        (plain.bilinear_upsample, upsample.bilinear_upsample),
        (plain.unframed, frame.framed),
    ):
        theirs = inspect.signature(layer).parameters.values()
        mine = inspect.signature(own).parameters.values()
        assert [p.replace(annotation=None) for p in mine] == [
            p.replace(annotation=None) for p in theirs
        ]
    assert fcn.framed is frame.framed
    assert heads.bilinear_upsample is upsample.bilinear_upsample


def test_values_are_those_of_the_layers():
    """Oracle: the layers themselves, in the forms of this platform."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (2, 65, 63, 8)).astype(np.float32)
    kernel = rng.normal(0, 1, (3, 3, 4, 6)).astype(np.float32)
    bias = rng.normal(0, 1, 6).astype(np.float32)
    own = {"stride": 2, "pad": 3, "dilation": 2, "groups": 2}
    np.testing.assert_allclose(
        plain.convolution(x, kernel, bias, **own),
        conv.convolution(x, kernel, bias, **own),
        rtol=1e-4,
        atol=1e-4,
    )
    window = {"kernel": 3, "stride": 2, "pad": 1}
    np.testing.assert_array_equal(
        plain.max_pool(x, **window), pool.max_pool(x, **window)
    )
    crop = {"stride": 8, "kernel": 16, "start": 31, "size": (400, 300)}
    np.testing.assert_allclose(
        plain.bilinear_upsample(x, **crop),
        upsample.bilinear_upsample(x, **crop),
        atol=1e-4,
    )


def primitives(jaxpr):
    """Names of all operations of a program, inner programs included."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in jax.tree.leaves(
            equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            if hasattr(inner, "eqns"):
                yield from primitives(inner)
            elif hasattr(inner, "jaxpr"):
                yield from primitives(inner.jaxpr)


@pytest.fixture(scope="module")
def net():
    """Wide enough for the forms of a CPU."""
    model = build_fcn(outputs={"semantic": 3}, backbone="vgg16", stride=32, width=0.5)
    image = {"color": np.zeros((1, 128, 128, 3), np.float32)}
    init = partial(model.init, train=False)
    return model, image, jax.eval_shape(init, jax.random.key(0), image)


def operations(model, image, variables):
    """Names of the operations of the trunk and the scores, before upsampling."""

    def scores(variables, image):
        _, shown = model.apply(variables, image, train=False, mutable=["scores"])
        return shown["scores"]

    jaxpr = jax.make_jaxpr(scores)(variables, image)
    return [*primitives(jaxpr.jaxpr)], str(jaxpr)


def test_no_other_form_is_left(net):
    """Oracle: the program. With the frame no convolution pads by 100 pixels."""
    names, text = operations(*net)
    assert {*HIDDEN} <= {*names}
    assert PADDING not in text
    with plain.plain_layers():
        names, text = operations(*net)
    assert names.count("conv_general_dilated") >= 15
    assert names.count("reduce_window_max") == 5
    assert not {*HIDDEN} & {*names}
    assert PADDING in text
    assert "custom_vjp_call" in operations(*net)[0]
