"""Ten updates of a classifier against torch: losses, parameters, running statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.models.backbone import AUXILIARY
from fcn_jax.models.build import BACKBONES, build, classifier_spec
from fcn_jax.models.fcn import abstract
from fcn_jax.models.heads import TRAINING_HEADS
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.optim.optimizers import make_optimizer, make_schedule
from fcn_jax.params.paths import flatten
from fcn_jax.runtime import sharding
from fcn_jax.training.state import create_state
from fcn_jax.training.train_step import make_train_step
from tests.models import torch_classifiers
from tests.models.torch_classifiers import TorchClassifier, torch

UPDATES, IMAGES, CLASSES, SIDE = 10, 8, 4, 64
RATE, MOMENTUM, DECAY = 2**-11, 0.9, 1e-3  # a power of 2: schedules are float32
MEAN, SCALE = (120.0, 110.0, 100.0), 1 / 64


def _variables(model):
    """He-normal kernels and fresh statistics, float64, drawn by NumPy."""
    _, shapes = abstract(model, {"color": 3})
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        if path[-1].key in ("scale", "var"):
            return jnp.ones(leaf.shape, jnp.float64)
        if path[-1].key != "kernel":
            return jnp.zeros(leaf.shape, jnp.float64)
        deviation = (2 / np.prod(leaf.shape[:-1])) ** 0.5
        return jnp.asarray(rng.normal(0, deviation, leaf.shape))

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _batches():
    rng = np.random.default_rng(2)
    for number in range(UPDATES):
        labels = rng.integers(0, CLASSES, IMAGES)
        images = rng.integers(0, 256, (IMAGES, SIDE, SIDE, 3))
        images[..., 0] = images[..., 0] // 2 + 40 * labels[:, None, None]
        first = number * IMAGES
        yield {
            "inputs": {"color": images[None].astype(np.uint8)},
            "labels": {"imagenet": labels.astype(np.uint16)[None, :, None, None]},
            "sizes": None,
            "index": np.arange(first, first + IMAGES, dtype=np.int32)[None],
        }


def _ours(model, variables, auxiliary, smoothing):
    mesh = sharding.make_mesh(jax.devices()[:1])
    optimizer = make_optimizer(
        "caffe_sgd",
        make_schedule("fixed", learning_rate=RATE, total_steps=UPDATES),
        params=variables["params"],
        momentum=MOMENTUM,
        weight_decay=DECAY,
        multipliers=(("*", 1.0, 1.0),),
    )
    step = make_train_step(
        model=model,
        records={"color": Preprocessing(mean=MEAN, scale=SCALE, origin="test")},
        optimizer=optimizer,
        loss=lambda scores, labels: softmax_cross_entropy(
            scores, labels, smoothing=smoothing
        ),
        reduction="mean",
        dtype="float64",
        seed=0,
        mesh=mesh,
        auxiliary=auxiliary,
    )
    everywhere = sharding.replicated(mesh)
    state = create_state(
        jax.device_put(variables, everywhere), optimizer, sharding=everywhere
    )
    losses = []
    for batch in _batches():
        placed = sharding.put_batch(batch, sharding.split_images(mesh, axis=1))
        state, report = step(state, placed)
        losses.append(float(report["loss"]))
    return losses, state


def _theirs(backbone, variables, smoothing):
    net = TorchClassifier(variables, train=True)
    optimizer = torch.optim.SGD(
        list(net.params.values()), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY
    )
    losses = []
    for batch in _batches():
        pixels = (batch["inputs"]["color"][0] - np.array(MEAN)) * SCALE
        given = [torch.tensor(image.transpose(2, 0, 1)[None]) for image in pixels]
        scores = getattr(torch_classifiers, backbone)(net, given, "same")
        labels = torch.tensor(batch["labels"]["imagenet"].ravel().astype(np.int64))
        loss = sum(
            (1.0 if name == "imagenet" else 0.3)
            * torch.nn.functional.cross_entropy(own, labels, label_smoothing=smoothing)
            for name, own in scores.items()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, net


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_ten_updates_equal_torch(backbone):
    """Oracle: torch's nets, cross_entropy and SGD, in float64.

    With dropout off, as its random numbers differ; caffe_sgd at a constant rate is
    torch's SGD.
    """
    branches = backbone == "googlenet"
    spec = classifier_spec(
        backbone=backbone,
        classes=CLASSES,
        width=1 / 16,
        padding="same",
        normalization="batch",
        dropout_rate=0.0,
        auxiliary=branches,
    )
    model = build(spec, heads=TRAINING_HEADS)
    auxiliary = {name: ("imagenet", 0.3) for name in AUXILIARY} if branches else {}
    with jax.enable_x64(True):
        # On the host: the step consumes the state.
        variables = jax.tree.map(np.asarray, _variables(model))
        losses, state = _ours(model, variables, auxiliary, smoothing=0.1)
        expected, net = _theirs(backbone, variables, smoothing=0.1)
    np.testing.assert_allclose(losses, expected, rtol=1e-10)
    for path, value in flatten(state.params).items():
        theirs = net.params[path].detach().numpy()
        start = np.asarray(flatten(variables["params"])[path])
        moved = np.abs(theirs - start).max()
        assert moved > 0
        np.testing.assert_allclose(
            value, theirs, rtol=0, atol=1e-7 * moved + 1e-12, err_msg=path
        )
    for path, value in flatten(state.collections["batch_stats"]).items():
        theirs = net.stats[path].numpy()
        np.testing.assert_allclose(value, theirs, rtol=1e-8, atol=1e-8, err_msg=path)
