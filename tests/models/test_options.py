"""Every option of training in the CPU's forms, which narrow nets are too small for.

One update with momentum 0 and rate 1 leaves the gradient in the optimiser's state.
"""

import contextlib
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers import conv, pool
from fcn_jax.layers.cpu import convolution as cpu
from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.optim.optimizers import make_optimizer
from fcn_jax.params.paths import flatten
from fcn_jax.runtime import sharding
from fcn_jax.training.state import create_state
from fcn_jax.training.train_step import make_train_step
from tests.gpu_forms import take_gpu_forms

SIZE, CLASSES = (29, 37), 4
EARLY = {"backbone": "vgg16", "score_at": "pool2"}
"""Deep enough for Winograd's form, and quickly compiled."""

OPTIONS: dict[str, Any] = {
    "padded batches": (
        {**EARLY, "padding": "same"},
        {"sizes": True, "rematerialize": True},
    ),
    "same padding, class weights, accumulated": (
        {**EARLY, "padding": "same", "score_init": "gaussian"},
        {"weights": (0.5, 0.0, 2.0, 1.0), "accumulation": 2, "rematerialize": True},
    ),
    "a mean loss, learned upsampling, two streams and outputs": (
        {
            **{"backbone": "vgg16", "score_at": "pool1", "upsampling": "learned"},
            "streams": {"color": ("color",), "hha": ("hha",)},
            "outputs": {"semantic": CLASSES, "geometric": 2},
        },
        {"reduction": "mean", "rematerialize": True},
    ),
    "at once, dropout": (
        {"backbone": "alexnet", "stride": 16, "at_once": True, "padding": "same"},
        {"rematerialize": True, "sizes": True},
    ),
    "a whole AlexNet: maximum, learned, another order": (
        {
            **{"backbone": "alexnet", "stride": 8, "fusion": "max"},
            **{"upsampling": "learned", "order": "norm-pool"},
        },
        {"rematerialize": True},
    ),
    "a whole VGG16": (
        {"backbone": "vgg16", "stride": 8},
        {"rematerialize": True, "sizes": True},
    ),
    "a whole VGG16 without padding": (
        {"backbone": "vgg16", "stride": 32, "padding": "same"},
        {"rematerialize": True},
    ),
    "a whole GoogLeNet": (
        {"backbone": "googlenet", "stride": 16},
        {"rematerialize": True},
    ),
}
FORMS = {
    "a whole AlexNet: maximum, learned, another order": {"im2col", "reference"},
    "a whole VGG16": {"winograd", "im2col"},
    "a whole VGG16 without padding": {"winograd", "taps"},
    "a whole GoogLeNet": {"pixels", "reference"},
}
"""Forms that a whole net needs at least; each is slow to compile."""


def _forms(patch, *, lowered: bool) -> set[str]:
    """The library's forms alone, or all of the CPU's; returns where these are noted."""
    used: set[str] = set()
    if not lowered:
        patch.setattr(conv.cpu, "pays", lambda *_: False)
        patch.setattr(pool, "SMALL_MAP", np.inf)
        return used
    choose = cpu._form

    def noted(*arguments):
        form = choose(*arguments)
        used.add(form)
        return form

    patch.setattr(cpu, "_form", noted)
    patch.setattr(cpu, "SMALL_WORK", 0)
    patch.setattr(pool, "SMALL_MAP", 0)
    patch.setattr(cpu, "WINOGRAD_CHANNELS", 8 * 8)
    patch.setattr(cpu, "WINOGRAD_WORK", 1e4)
    patch.setattr(cpu, "WIDE_WINDOW", 300)
    return used


def _batch(model, accumulation, *, sizes):
    """Two images with their labels, some ignored, in `accumulation` parts."""
    rng = np.random.default_rng(0)
    shape = (accumulation, 2 // accumulation, *SIZE)
    images = {
        name: rng.integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
        for stream in model.streams
        for name in stream.inputs
    }
    labels = {}
    for name, classes in model.head.keywords["outputs"]:
        labels[name] = rng.integers(0, classes, (2, *SIZE)).astype(np.uint8)
        labels[name][:, :3] = 255
        labels[name][1, SIZE[0] - 4 :] = 255
    true = np.array([SIZE, (SIZE[0] - 4, SIZE[1])], np.int32)
    return {
        "inputs": {k: v.reshape(*shape, 3) for k, v in images.items()},
        "labels": {k: v.reshape(shape) for k, v in labels.items()},
        "sizes": true.reshape(accumulation, -1, 2) if sizes else None,
        "index": np.arange(2, dtype=np.int32).reshape(shape[:2]),
    }


def _gradient(settings, dtype="float64", *, rematerialize, accumulation, **options):
    """Loss and gradient of one update, by dotted path."""
    mesh = sharding.make_mesh(jax.devices()[:1])
    everywhere = sharding.replicated(mesh)
    model = build_fcn(**{"outputs": {"semantic": CLASSES}, "width": 1 / 8, **settings})
    names = {name: 3 for stream in model.streams for name in stream.inputs}
    rng = np.random.default_rng(1)

    def draw(shape):
        fan_in = np.prod(shape.shape[:-1]) if len(shape.shape) > 1 else 9
        own = "float32" if dtype == "bfloat16" else dtype
        return jnp.asarray(rng.normal(0, (2 / fan_in) ** 0.5, shape.shape), own)

    params = jax.tree.map(draw, parameter_shapes(model, names))
    optimizer = make_optimizer(
        "caffe_sgd",
        lambda count: jnp.float32(1),
        params=params,
        momentum=0.0,
        weight_decay=0.0,
        multipliers=(("*", 1.0, 1.0),),
    )
    loss = softmax_cross_entropy
    if options.get("weights") is not None:
        loss = partial(loss, class_weights=jnp.asarray(options["weights"], jnp.float32))
    step = make_train_step(
        model=model,
        records={name: Preprocessing((120.0, 110.0, 100.0), 1 / 64) for name in names},
        optimizer=optimizer,
        loss=loss,
        reduction=options.get("reduction", "sum"),
        dtype=dtype,
        seed=3,
        mesh=mesh,
        rematerialize=rematerialize,
    )
    state = create_state({"params": params}, optimizer, sharding=everywhere)
    batch = _batch(model, accumulation, sizes=options.get("sizes", False))
    placed = sharding.put_batch(batch, sharding.split_images(mesh, axis=1))
    state, report = step(state, placed)
    history: Any = state.opt_state
    found = {p: np.asarray(v, np.float64) for p, v in flatten(history.history).items()}
    return float(report["loss"]), found


def _both(monkeypatch, settings, options, *, dtype="float64"):
    """Loss and gradient of the plain forms, of the CPU's, and the forms of these."""
    wide = jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext()
    with wide:
        with monkeypatch.context() as patch:
            _forms(patch, lowered=False)
            plain = {**options, "rematerialize": False, "accumulation": 1}
            loss, gradient = _gradient(settings, dtype, **plain)
        with monkeypatch.context() as patch:
            used = _forms(patch, lowered=True)
            own = {"rematerialize": False, "accumulation": 1, **options}
            found = _gradient(settings, dtype, **own)
    parts = options.get("accumulation", 1)
    return (loss / parts, {p: g / parts for p, g in gradient.items()}), found, used


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in FORMS else []) for n in OPTIONS],
)
def test_options_in_the_forms_of_the_cpu(name, monkeypatch):
    """Oracle: the library's forms, every feature kept, one part; float64."""
    settings, options = OPTIONS[name]
    (loss, expected), (own_loss, own), used = _both(monkeypatch, settings, options)
    wanted = {"alexnet": "im2col", "vgg16": "winograd", "googlenet": "pixels"}
    assert used & {wanted[settings["backbone"]], "taps"}
    assert used >= FORMS.get(name, set())
    assert own_loss == pytest.approx(loss, rel=1e-11)
    assert own.keys() == expected.keys()
    moved = 0
    for path, value in expected.items():
        scale = np.abs(value).max()
        moved += scale > 0
        np.testing.assert_allclose(
            own[path], value, rtol=0, atol=1e-10 * scale, err_msg=path
        )
    # In so narrow a net a few layers may be dead behind their ReLU; not many.
    assert moved > 0.8 * len(expected)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in FORMS else []) for n in OPTIONS],
)
def test_options_in_the_forms_of_a_gpu(name, monkeypatch):
    """Oracle: the library's forms, every feature kept, one part; float64."""
    settings, options = OPTIONS[name]
    parts = options.get("accumulation", 1)
    with jax.enable_x64(True):
        with monkeypatch.context() as patch:
            _forms(patch, lowered=False)
            plain = {**options, "rematerialize": False, "accumulation": 1}
            loss, expected = _gradient(settings, **plain)
        take_gpu_forms(monkeypatch)
        own = {"rematerialize": False, "accumulation": 1, **options}
        own_loss, found = _gradient(settings, **own)
    assert own_loss * parts == pytest.approx(loss, rel=1e-11)
    for path, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(
            parts * found[path], value, rtol=0, atol=1e-10 * scale, err_msg=path
        )


@pytest.mark.slow
def test_bfloat16_in_the_forms_of_the_cpu(monkeypatch):
    """Oracle: the same net in float64; bfloat16 has three digits, gradients one less."""
    settings, options = {**EARLY, "upsampling": "learned"}, {"sizes": True}
    (loss, expected), _, _ = _both(monkeypatch, settings, options)
    for again in (False, True):
        chosen = {**options, "rematerialize": again}
        _, (own_loss, own), _ = _both(monkeypatch, settings, chosen, dtype="bfloat16")
        assert own_loss == pytest.approx(loss, rel=0.02)
        for path, value in expected.items():
            cosine = (own[path] * value).sum() / np.sqrt(
                (own[path] ** 2).sum() * (value**2).sum()
            )
            assert cosine > 0.95, path
