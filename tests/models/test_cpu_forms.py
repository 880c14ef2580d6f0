"""Whole nets in the CPU's forms, which narrow nets are otherwise too small for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers import conv, pool
from fcn_jax.layers.cpu import convolution as cpu
from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.models.build import build_fcn

SIZE = (45, 61)
NETS = {
    "vgg16": ({"backbone": "vgg16", "stride": 8}, {"winograd", "im2col"}),
    "vgg16-same": (
        {"backbone": "vgg16", "stride": 8, "padding": "same"},
        {"winograd", "taps"},
    ),
    "alexnet": ({"backbone": "alexnet", "stride": 32}, {"im2col", "reference"}),
    "googlenet": ({"backbone": "googlenet", "stride": 16}, {"pixels", "reference"}),
}


def _loss_and_gradients(settings):
    """Loss, scores and gradients of a narrow net in float64, compiled anew."""
    model = build_fcn(outputs={"semantic": 5}, width=1 / 16, **settings)
    rng = np.random.default_rng(0)
    image = {"color": jnp.asarray(rng.uniform(-120, 130, (2, *SIZE, 3)))}
    labels = jnp.asarray(rng.integers(0, 5, (2, *SIZE)), jnp.uint8)
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), image, train=False)["params"]
    )

    def draw(shape):
        fan_in = np.prod(shape.shape[:-1]) if len(shape.shape) > 1 else 4
        return jnp.asarray(rng.normal(0, (2 / fan_in) ** 0.5, shape.shape))

    def loss(params):
        scores = model.apply({"params": params}, image, train=False)["semantic"].values
        return softmax_cross_entropy(scores, labels).reduce("sum"), scores

    params = jax.tree.map(draw, shapes)
    return jax.device_get(jax.jit(jax.value_and_grad(loss, has_aux=True))(params))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_values_and_gradients(name, monkeypatch):
    """Oracle: the same net in the library's forms, float64."""
    settings, expected_forms = NETS[name]
    used = set()
    choose = cpu._form

    def record(*arguments):
        form = choose(*arguments)
        used.add(form)
        return form

    with jax.enable_x64(True):
        with monkeypatch.context() as patch:
            patch.setattr(conv.cpu, "pays", lambda *_: False)
            patch.setattr(pool, "SMALL_MAP", np.inf)
            (loss, scores), gradients = _loss_and_gradients(settings)
        with monkeypatch.context() as patch:
            patch.setattr(cpu, "_form", record)
            patch.setattr(cpu, "SMALL_WORK", 0)
            patch.setattr(pool, "SMALL_MAP", 0)
            patch.setattr(cpu, "WINOGRAD_CHANNELS", 16 * 32)
            patch.setattr(cpu, "WINOGRAD_WORK", 1e4)
            patch.setattr(cpu, "WIDE_WINDOW", 300)
            (own_loss, own_scores), own = _loss_and_gradients(settings)
    assert used >= expected_forms
    np.testing.assert_allclose(own_loss, loss, rtol=1e-12)
    np.testing.assert_allclose(own_scores, scores, rtol=0, atol=1e-10 * scores.std())
    leaves = jax.tree_util.tree_leaves_with_path(gradients)
    assert len(leaves) > 10
    for path, value in leaves:
        mine = own
        for key in path:
            mine = mine[key.key]
        scale = float(np.abs(value).max())
        np.testing.assert_allclose(
            mine, value, rtol=0, atol=1e-10 * scale, err_msg=jax.tree_util.keystr(path)
        )
