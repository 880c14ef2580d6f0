"""Images padded to one canvas give what each image alone gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.models.build import build_fcn

SIZES = ((37, 52), (48, 33))
CANVAS = (48, 56)
CLASSES = 3
NETS = {
    # 8s has every layer of 16s and 32s but their last upsampling: AlexNet has those.
    # The head does not depend on the trunk: its options meet the trunks in pairs.
    **{
        f"{backbone}-{stride}s": {"backbone": backbone, "stride": stride}
        for backbone, stride in (("alexnet", 32), ("vgg16", 8), ("googlenet", 8))
    },
    "alexnet-16s-at-once": {"backbone": "alexnet", "stride": 16, "at_once": True},
    "alexnet-8s-max": {"backbone": "alexnet", "stride": 8, "fusion": "max"},
    "vgg16-8s-same-learned": {
        **{"backbone": "vgg16", "stride": 8, "padding": "same"},
        "upsampling": "learned",
    },
    "vgg16-pool4": {"backbone": "vgg16", "score_at": "pool4"},
    "alexnet-8s-same": {"backbone": "alexnet", "stride": 8, "padding": "same"},
    "googlenet-16s-same": {"backbone": "googlenet", "stride": 16, "padding": "same"},
    "alexnet-norm-pool": {"backbone": "alexnet", "order": "norm-pool"},
    "vgg16-two-streams": {
        "backbone": "vgg16",
        "stride": 16,
        "streams": {"color": ("color",), "hha": ("hha",)},
        "outputs": {"semantic": CLASSES, "geometric": 2},
    },
}


def _network(settings: dict, dtype):
    settings = {"outputs": {"semantic": CLASSES}, "width": 1 / 16, **settings}
    model = build_fcn(**settings)
    names = [name for stream in model.streams for name in stream.inputs]
    rng = np.random.default_rng(0)
    images = {
        name: [rng.uniform(-120, 130, (*size, 3)).astype(dtype) for size in SIZES]
        for name in names
    }
    first = {name: jnp.asarray(images[name][0][None]) for name in names}
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), first, train=False)["params"]
    )

    def draw(shape):
        # Kernels that keep activations near one, biases large enough to matter.
        fan_in = np.prod(shape.shape[:-1]) if len(shape.shape) > 1 else 4
        return jnp.asarray(rng.normal(0, (2 / fan_in) ** 0.5, shape.shape), dtype)

    params = jax.tree.map(draw, shapes)
    labels = {
        name: [rng.integers(0, classes + 1, size) for size in SIZES]
        for name, classes in settings["outputs"].items()
    }
    for maps in labels.values():
        for label in maps:
            label[label == label.max()] = 255
    return model, params, images, labels


def _pad(image: np.ndarray, value: float) -> np.ndarray:
    padding = [(0, c - s) for c, s in zip(CANVAS, image.shape[:2], strict=True)]
    padding += [(0, 0)] * (image.ndim - 2)
    return np.pad(image, padding, constant_values=value)


def _program(model, sizes, keys, *, differentiate: bool):
    """A function of parameters: ((loss, scores), gradients), the last None if not asked."""

    def function(params, inputs, labels):
        maps = model.apply(
            {"params": params},
            inputs,
            train=keys is not None,
            sizes=sizes,
            dropout_keys=keys,
        )
        terms = [
            softmax_cross_entropy(maps[name].values, labels[name]) for name in labels
        ]
        loss = sum((term.total for term in terms[1:]), start=terms[0].total)
        return loss, {name: feature_map.values for name, feature_map in maps.items()}

    if differentiate:
        return jax.jit(jax.value_and_grad(function, has_aux=True))
    return jax.jit(lambda *given: (function(*given), None))


def _batch(model, params, images, labels, keys, *, differentiate: bool):
    """Loss, gradients and scores of all images in one padded batch."""
    # What lies outside an image must not matter: fill it with a loud value.
    batch = {
        name: jnp.asarray(np.stack([_pad(image, 777.0) for image in stack]))
        for name, stack in images.items()
    }
    truth = {
        name: jnp.asarray(np.stack([_pad(label, 255) for label in stack]))
        for name, stack in labels.items()
    }
    sizes = jnp.asarray(SIZES, jnp.int32)
    step = _program(model, sizes, keys, differentiate=differentiate)
    (loss, scores), gradients = step(params, batch, truth)
    return float(loss), gradients, scores


def _one_by_one(model, params, images, labels, keys, *, differentiate: bool):
    """Sums of the losses and gradients of the images alone, and the scores of each."""
    total, summed, alone_scores = 0.0, None, []
    for i in range(len(SIZES)):
        key = None if keys is None else keys[i : i + 1]
        alone = _program(model, None, key, differentiate=differentiate)
        (value, score), gradient = alone(
            params,
            {name: jnp.asarray(stack[i][None]) for name, stack in images.items()},
            {name: jnp.asarray(stack[i][None]) for name, stack in labels.items()},
        )
        total += float(value)
        alone_scores.append(score)
        summed = gradient if summed is None else jax.tree.map(jnp.add, summed, gradient)
    return total, summed, alone_scores


def _assert_equal_scores(scores, alone, tolerance):
    for name in scores:
        for i, (height, width) in enumerate(SIZES):
            expected = np.asarray(alone[i][name][0])
            inside = np.asarray(scores[name][i, :height, :width])
            assert expected.std() > 0
            assert np.abs(inside - expected).max() <= tolerance * expected.std()
            outside = np.asarray(scores[name][i]).copy()
            outside[:height, :width] = 0
            assert not outside.any()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_padded_batch_equals_single_images_in_float64(name):
    """Oracle: the same network on each image alone, without padding."""
    with jax.enable_x64(True):
        given = _network(NETS[name], np.float64)
        loss, gradients, scores = _batch(*given, None, differentiate=True)
        total, summed, alone = _one_by_one(*given, None, differentiate=True)
        assert loss == pytest.approx(total, rel=1e-9)
        _assert_equal_scores(scores, alone, 1e-9)
        moved = 0
        for ours, theirs in zip(
            jax.tree.leaves(gradients), jax.tree.leaves(summed), strict=True
        ):
            theirs = np.asarray(theirs)
            scale = np.abs(theirs).max()
            moved += scale > 0
            assert np.abs(np.asarray(ours) - theirs).max() <= 1e-9 * scale
        # In so narrow a net a few layers may be dead behind their ReLU; not many.
        assert moved > 0.9 * len(jax.tree.leaves(summed))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16-8s", "alexnet-32s", "googlenet-8s"])
def test_padded_batch_equals_single_images_in_float32(name):
    """Oracle: the same network on each image alone, without padding."""
    given = _network(NETS[name], np.float32)
    loss, _, scores = _batch(*given, None, differentiate=False)
    total, _, alone = _one_by_one(*given, None, differentiate=False)
    assert loss == pytest.approx(total, rel=1e-5)
    _assert_equal_scores(scores, alone, 1e-5)


@pytest.mark.slow
def test_dropout_of_an_image_does_not_depend_on_its_batch_or_canvas():
    """Oracle: the same network and keys on each image alone, without padding."""
    keys = jax.random.split(jax.random.key(5), len(SIZES))
    with jax.enable_x64(True):
        given = _network(NETS["alexnet-32s"], np.float64)
        loss, _, scores = _batch(*given, keys, differentiate=False)
        total, _, alone = _one_by_one(*given, keys, differentiate=False)
        dry, _, _ = _batch(*given, None, differentiate=False)
    assert loss == pytest.approx(total, rel=1e-9)
    assert loss != pytest.approx(dry, rel=1e-3)
    _assert_equal_scores(scores, alone, 1e-9)
