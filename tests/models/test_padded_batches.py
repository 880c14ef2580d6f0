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
    **{
        f"{backbone}-{stride}s": {"backbone": backbone, "stride": stride}
        for backbone, stride in (
            *(("alexnet", 32), ("alexnet", 16), ("alexnet", 8)),
            *(("vgg16", 16), ("vgg16", 8), ("googlenet", 8)),
        )
    },
    "vgg16-8s-at-once": {"backbone": "vgg16", "stride": 8, "at_once": True},
    "vgg16-8s-same": {"backbone": "vgg16", "stride": 8, "padding": "same"},
    "vgg16-8s-max": {"backbone": "vgg16", "stride": 8, "fusion": "max"},
    "vgg16-8s-learned": {"backbone": "vgg16", "stride": 8, "upsampling": "learned"},
    "vgg16-pool4": {"backbone": "vgg16", "score_at": "pool4"},
    "alexnet-8s-same": {"backbone": "alexnet", "stride": 8, "padding": "same"},
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


def _loss_and_scores(model, sizes, keys):
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

    return jax.jit(jax.value_and_grad(function, has_aux=True))


def _compare(settings: dict, dtype, *, train: bool):
    """Batch and one-by-one losses, gradients and scores of one network."""
    model, params, images, labels = _network(settings, dtype)
    keys = jax.random.split(jax.random.key(5), len(SIZES)) if train else None
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
    step = _loss_and_scores(model, sizes, keys)
    (loss, scores), gradients = step(params, batch, truth)

    total, summed, alone_scores = 0.0, None, []
    for i in range(len(SIZES)):
        key = None if keys is None else keys[i : i + 1]
        alone = _loss_and_scores(model, None, key)
        (value, score), gradient = alone(
            params,
            {name: jnp.asarray(stack[i][None]) for name, stack in images.items()},
            {name: jnp.asarray(stack[i][None]) for name, stack in labels.items()},
        )
        total += float(value)
        alone_scores.append(score)
        summed = gradient if summed is None else jax.tree.map(jnp.add, summed, gradient)
    return (float(loss), gradients, scores), (total, summed, alone_scores)


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
        (loss, gradients, scores), (total, summed, alone) = _compare(
            NETS[name], np.float64, train=False
        )
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
    (loss, _, scores), (total, _, alone) = _compare(NETS[name], np.float32, train=False)
    assert loss == pytest.approx(total, rel=1e-5)
    _assert_equal_scores(scores, alone, 1e-5)


@pytest.mark.slow
def test_dropout_of_an_image_does_not_depend_on_its_batch_or_canvas():
    """Oracle: the same network and keys on each image alone, without padding."""
    with jax.enable_x64(True):
        (loss, _, scores), (total, _, alone) = _compare(
            NETS["vgg16-16s"], np.float64, train=True
        )
        (dry, _, _), _ = _compare(NETS["vgg16-16s"], np.float64, train=False)
    assert loss == pytest.approx(total, rel=1e-9)
    assert loss != pytest.approx(dry, rel=1e-3)
    _assert_equal_scores(scores, alone, 1e-9)
