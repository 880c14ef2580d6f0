"""Features computed again in the backward pass: the same gradients, less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.conv import convolution
from fcn_jax.layers.cpu import convolution as cpu
from fcn_jax.layers.pool import max_pool
from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.models.blocks import end_stage
from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.training.rematerialize import by_stages


@pytest.fixture
def double(request):
    """Float64 in jax, for one test."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.slow
def test_a_chain_of_stages(double):
    """Oracle: jax's gradient of the plain function; integers and keys pass through."""

    def function(params, image, count, key):
        x = image
        for name in ("a", "b", "c"):
            x = jnp.sin(x @ params[name]) * count.astype(x.dtype)
            noise = jax.random.normal(key, x.shape, x.dtype)
            x = end_stage({"x": x, "n": count})["x"] + noise
        unused = jnp.cos(x)
        return {"y": x, "count": count, "input": image, "two": 2.0 * x}, unused

    rng = np.random.default_rng(0)
    params = {name: jnp.asarray(rng.normal(size=(4, 4))) for name in "abc"}
    image = jnp.asarray(rng.normal(size=(2, 3, 5, 4)))
    arguments = (params, image, jnp.int32(3), jax.random.key(1))

    def loss(function, params, image, *rest):
        found, _ = function(params, image, *rest)
        return (found["y"] * jnp.arange(4.0)[None, None, None, :]).sum() + found[
            "two"
        ].sum()

    staged = by_stages(function)
    plain = jax.tree.leaves(function(*arguments))
    for value, expected in zip(jax.tree.leaves(staged(*arguments)), plain, strict=True):
        np.testing.assert_array_equal(value, expected)
    for derive in (jax.grad, lambda f, argnums: jax.jit(jax.grad(f, argnums))):
        own, expected = (
            derive(lambda *given, f=f: loss(f, *given), argnums=(0, 1))(*arguments)
            for f in (staged, function)
        )
        for value, wanted in zip(
            jax.tree.leaves(own), jax.tree.leaves(expected), strict=True
        ):
            np.testing.assert_allclose(value, wanted, rtol=1e-12)


def test_a_function_without_marks_is_one_stage():
    """Oracle: jax's own gradient."""
    value = jnp.float32(0.3)
    assert jax.grad(by_stages(jnp.sin))(value) == jax.grad(jnp.sin)(value)


def _loss(backbone: str, *, score_at: str, rematerialize: bool):
    """A function of parameters, and parameters, of a narrow net in training."""
    shape = (count, height, width) = (2, 30, 23)
    model = build_fcn(
        backbone=backbone, outputs={"semantic": 5}, width=1 / 16, score_at=score_at
    )
    rng = np.random.default_rng(2)
    image = jnp.asarray(rng.normal(size=(*shape, 3)))
    labels = jnp.asarray(rng.integers(0, 5, shape), jnp.uint8)
    sizes = jnp.asarray([[height, width - 2], [height - 5, width]], jnp.int32)
    keys = jax.random.split(jax.random.key(0), count)
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), {"color": image}, train=False)["params"]
    )
    params = jax.tree.map(lambda s: jnp.asarray(rng.normal(0, 0.3, s.shape)), shapes)

    def scores(params, sizes):
        maps = model.apply(
            {"params": params},
            {"color": image},
            train=True,
            sizes=sizes,
            dropout_keys=keys,
        )
        return {name: found.values for name, found in maps.items()}

    forward = by_stages(scores) if rematerialize else scores

    def loss(params):
        return softmax_cross_entropy(forward(params, sizes)["semantic"], labels).total

    return loss, params


@pytest.mark.parametrize(
    ("backbone", "score_at"),
    [
        ("vgg16", "pool2"),
        pytest.param("vgg16", "", marks=pytest.mark.slow),
        pytest.param("alexnet", "", marks=pytest.mark.slow),
        pytest.param("googlenet", "", marks=pytest.mark.slow),
    ],
)
def test_gradients_of_a_net_are_equal(backbone, score_at, double):
    """Oracle: the gradients without it, in float64, with dropout and two sizes."""
    found, expected = (
        jax.jit(jax.value_and_grad(loss))(params)
        for loss, params in (
            _loss(backbone, score_at=score_at, rematerialize=choice)
            for choice in (True, False)
        )
    )
    own, plain = jax.tree.leaves(found), jax.tree.leaves(expected)
    for value, wanted in zip(own, plain, strict=True):
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-11 * scale)
    # Of a narrow net's layers a few may be silent after their ReLU.
    assert sum(bool(np.any(wanted)) for wanted in plain) > 0.8 * len(plain)


@pytest.mark.slow
def test_less_memory():
    """Oracle: XLA's own account of the temporary memory of both programs."""

    def loss(kernels, x):
        for own in kernels:
            for kernel in own:
                x = jax.nn.relu(convolution(x, kernel, pad=1))
            x = end_stage(max_pool(x, kernel=2, stride=2))
        return (x**2).sum()

    kernels = [[jnp.ones((3, 3, 8, 8), jnp.float32)] * 3] * 4
    image = jnp.ones((1, 128, 128, 8), jnp.float32)
    memory = {}
    for name, function in (("plain", loss), ("staged", by_stages(loss))):
        compiled = jax.jit(jax.grad(function)).lower(kernels, image).compile()
        memory[name] = compiled.memory_analysis().temp_size_in_bytes
    assert memory["staged"] < 0.95 * memory["plain"], memory


def _full_size(settings, size):
    """Loss and gradients of a net of the published width in float32, both ways."""
    model = build_fcn(outputs={"semantic": 3}, **settings)
    rng = np.random.default_rng(3)
    image = jnp.asarray(rng.normal(0, 50, (1, *size, 3)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 3, (1, *size)), jnp.uint8)
    keys = jax.random.split(jax.random.key(0), 1)
    shapes = parameter_shapes(model, {"color": 3})

    def scores(params, image):
        given = {"params": params}, {"color": image}
        maps = model.apply(*given, train=True, dropout_keys=keys)
        return {name: found.values for name, found in maps.items()}

    def gradient(forward):
        def loss(params):
            found = forward(params, image)["semantic"]
            return softmax_cross_entropy(found, labels).total

        return jax.value_and_grad(loss)

    return shapes, gradient(scores), gradient(by_stages(scores))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": "vgg16", "score_at": "pool2", "padding": "same"},
        {"backbone": "vgg16", "score_at": "pool3", "padding": "same"},
    ],
)
def test_layers_wide_enough_for_winograds_form(settings, monkeypatch):
    """Oracle: the gradients without it, in float32, of a net of full width."""
    forms, choose = [], cpu._form
    monkeypatch.setattr(cpu, "_form", lambda *g: forms.append(choose(*g)) or forms[-1])
    shapes, plain, staged = _full_size(settings, (152, 144))
    rng = np.random.default_rng(4)

    def draw(shape):
        fan_in = np.prod(shape.shape[:-1]) if len(shape.shape) > 1 else 9
        return jnp.asarray(rng.normal(0, (2 / fan_in) ** 0.5, shape.shape), shape.dtype)

    params = jax.tree.map(draw, shapes)
    loss, expected = jax.jit(plain)(params)
    own_loss, own = jax.jit(staged)(params)
    assert "winograd" in forms
    assert float(own_loss) == pytest.approx(float(loss), rel=1e-5)
    for value, wanted in zip(
        jax.tree.leaves(own), jax.tree.leaves(expected), strict=True
    ):
        scale = np.abs(wanted).max()
        assert scale > 0
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-4 * scale)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": "vgg16"},
        {"backbone": "vgg16", "stride": 8, "padding": "same", "upsampling": "learned"},
        {"backbone": "alexnet", "stride": 16},
        {"backbone": "googlenet", "stride": 8},
    ],
)
def test_every_net_of_full_size_has_a_gradient(settings):
    """Oracle: shapes and types of the parameters themselves; nothing is computed."""
    shapes, _, staged = _full_size(settings, (375, 500))
    loss, gradient = jax.eval_shape(staged, shapes)
    assert loss.shape == ()
    assert jax.tree.structure(gradient) == jax.tree.structure(shapes)
    for found, wanted in zip(
        jax.tree.leaves(gradient), jax.tree.leaves(shapes), strict=True
    ):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
