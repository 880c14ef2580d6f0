"""Classifiers as they are trained: batch normalisation, averaged scores, loss1 and loss2.

The oracle is the same net in torch on a list of images, which knows no padding.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fcn_jax.models.backbone import AUXILIARY
from fcn_jax.models.build import BACKBONES, build, classifier_spec
from fcn_jax.models.fcn import abstract
from fcn_jax.models.heads import TRAINING_HEADS
from fcn_jax.params.paths import flatten
from tests.models import torch_classifiers
from tests.models.torch_classifiers import TorchClassifier, torch

SIZES = ((37, 52), (64, 33), (40, 41), (50, 64))
CANVAS = (64, 64)
CLASSES = 5


def _model(backbone, **settings):
    spec = classifier_spec(
        **{
            "backbone": backbone,
            "classes": CLASSES,
            "width": 1 / 16,
            "padding": "same",
            "normalization": "batch",
            "dropout_rate": 0.0,
            "auxiliary": backbone == "googlenet",
            **settings,
        }
    )
    return build(spec, heads=TRAINING_HEADS)


def _images(sizes=SIZES):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(*size, 3)) for size in sizes]


def _batch(images, canvas=CANVAS):
    batch = np.full((len(images), *canvas, 3), 50.0)
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return jnp.asarray(batch)


def _variables(model):
    """Random parameters and running statistics, float64."""
    _, shapes = abstract(model, {"color": 3})
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        kind = path[-1].key
        if kind in ("scale", "var"):
            return jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape))
        fan_in = np.prod(leaf.shape[:-1]) if kind == "kernel" else 10
        return jnp.asarray(rng.normal(0, (2 / fan_in) ** 0.5, leaf.shape))

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _forward(model, variables, batch, sizes, *, train):
    maps, changed = model.apply(
        variables, {"color": batch}, train=train, sizes=sizes, mutable=["batch_stats"]
    )
    return {n: own.values for n, own in maps.items()}, changed["batch_stats"]


def _loss(forward, params, stats, batch, sizes):
    scores, moved = forward({"params": params, "batch_stats": stats}, batch, sizes)
    total = jnp.sum(jnp.sin(scores["imagenet"]))
    for name in AUXILIARY:
        total += 0.3 * jnp.sum(jnp.cos(scores[name])) if name in scores else 0.0
    return total, (scores, moved)


def _step(model):
    forward = partial(_forward, model, train=True)
    return jax.jit(jax.value_and_grad(partial(_loss, forward), has_aux=True))


def _theirs(backbone, variables, images, *, train, padding="same"):
    """Torch's net after a backward pass, and its scores `[N, K]`."""
    net = TorchClassifier(variables, train)
    given = [torch.tensor(image.transpose(2, 0, 1)[None]) for image in images]
    scores = getattr(torch_classifiers, backbone)(net, given, padding)
    loss = torch.sin(scores["imagenet"]).sum()
    for name in AUXILIARY:
        loss = loss + 0.3 * torch.cos(scores[name]).sum() if name in scores else loss
    loss.backward()
    return net, {name: own.detach().numpy() for name, own in scores.items()}


def _assert_scores(found, expected):
    assert found.keys() == expected.keys()
    for name, theirs in expected.items():
        assert found[name].shape == (len(theirs), 1, 1, CLASSES)
        assert theirs.std(axis=0).max() > 0.02
        own = np.asarray(found[name])[:, 0, 0]
        np.testing.assert_allclose(own, theirs, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_padded_batch_in_training_equals_torch(backbone):
    """Oracle: torch; scores, gradients and running statistics, float64."""
    model, images = _model(backbone), _images()
    with jax.enable_x64(True):
        variables = _variables(model)
        sizes = jnp.asarray(SIZES, jnp.int32)
        (_, (scores, moved)), gradients = _step(model)(
            variables["params"], variables["batch_stats"], _batch(images), sizes
        )
    net, expected = _theirs(backbone, variables, images, train=True)
    _assert_scores(scores, expected)
    assert (set(AUXILIARY) <= scores.keys()) == (backbone == "googlenet")
    assert flatten(gradients).keys() == net.params.keys()
    for path, gradient in flatten(gradients).items():
        theirs = net.params[path].grad.numpy()
        atol = 1e-9 * np.abs(theirs).max() + 1e-10
        np.testing.assert_allclose(gradient, theirs, rtol=0, atol=atol, err_msg=path)
    before = flatten(variables["batch_stats"])
    for path, value in flatten(moved).items():
        assert not np.allclose(value, before[path])
        theirs = net.stats[path].numpy()
        np.testing.assert_allclose(value, theirs, rtol=1e-9, atol=1e-9, err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_padded_batch_in_evaluation_equals_each_image_alone(backbone):
    """Oracle: torch on the list, and one image without padding; float64."""
    model, images = _model(backbone), _images()
    with jax.enable_x64(True):
        variables = _variables(model)
        forward = jax.jit(partial(_forward, model, train=False))
        found, kept = forward(variables, _batch(images), jnp.asarray(SIZES, jnp.int32))
        alone, _ = forward(variables, jnp.asarray(images[0][None]), None)
    _, expected = _theirs(backbone, variables, images, train=False)
    assert list(found) == ["imagenet"]
    _assert_scores(found, expected)
    np.testing.assert_allclose(
        found["imagenet"][:1], alone["imagenet"], rtol=0, atol=1e-11
    )
    jax.tree.map(np.testing.assert_array_equal, kept, variables["batch_stats"])


@pytest.mark.slow
def test_the_auxiliary_classifiers_at_their_native_size():
    """Oracle: torch with BVLC's paddings, of whose 4 x 4 maps loss1/fc sees all."""
    model, images = _model("googlenet", padding="native"), _images(((224, 224),) * 2)
    with jax.enable_x64(True):
        variables = _variables(model)
        forward = jax.jit(partial(_forward, model, train=True))
        scores, _ = forward(variables, jnp.asarray(np.stack(images)), None)
    kwargs = {"train": True, "padding": "native"}
    _, expected = _theirs("googlenet", variables, images, **kwargs)
    _assert_scores(scores, expected)


@pytest.mark.slow
def test_an_update_on_eight_devices():
    """Oracle: the update on one device, statistics included; float64."""
    model, images = _model("googlenet", width=1 / 32), _images() * 2
    with jax.enable_x64(True):
        variables = _variables(model)
        sizes = jnp.asarray(SIZES * 2, jnp.int32)
        given = (variables["params"], variables["batch_stats"], _batch(images), sizes)
        expected = _step(model)(*given)
        mesh = Mesh(np.array(jax.devices()), ("data",))
        assert mesh.size == 8
        split, whole = (
            NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ())
        )
        placed = (*jax.device_put(given[:2], whole), *jax.device_put(given[2:], split))
        found = _step(model)(*placed)
    for own, wanted in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        scale = np.abs(wanted).max() + 1e-2
        np.testing.assert_allclose(own, wanted, rtol=0, atol=1e-9 * scale)
