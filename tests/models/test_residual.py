"""A backbone from outside the package: a narrow ResNet-18 under the skip head.

Strides, batch normalisation and residual additions, with crops that follow from the
geometry. The oracle is the same net in torch, which takes the images of a batch as a
list, so that it knows no padding.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fcn_jax.layers.geometry import Window
from fcn_jax.models.build import build_fcn
from fcn_jax.params.paths import flatten
from fcn_jax.training.checks.trunk import sown
from fcn_jax.training.rematerialize import by_stages
from tests.seams.residual import RESNET, STAGES

torch = pytest.importorskip("torch", reason="the oracle is a torch network")

SIZES = ((37, 52), (64, 33), (5, 9), (50, 64))
CANVAS = (64, 64)
CLASSES = 3
MODEL = build_fcn(
    backbone="resnet",
    outputs={"semantic": CLASSES},
    stride=8,
    backbones={"resnet": RESNET},
)


class TorchNet:
    """The net on a list of images, `[1, C, H, W]` each; variables by dotted path."""

    def __init__(self, variables, train):
        arrays = {name: flatten(variables[name]) for name in variables}
        self.params, self.stats = (
            {
                path: torch.tensor(np.asarray(value)).double()
                for path, value in own.items()
            }
            for own in (arrays["params"], arrays["batch_stats"])
        )
        self.train = train
        for value in self.params.values():
            value.requires_grad_()

    def conv(self, name, xs, stride=1, pad=0):
        kernel = self.params[f"{name}.kernel"].permute(3, 2, 0, 1)
        bias = self.params.get(f"{name}.bias")
        return [torch.nn.functional.conv2d(x, kernel, bias, stride, pad) for x in xs]

    def norm(self, name, xs):
        """Over the pixels of all images, side by side."""
        pixels = torch.cat([x.flatten(2) for x in xs], dim=2)
        stats = [self.stats[f"{name}.{kind}"] for kind in ("mean", "var")]
        affine = [self.params[f"{name}.{kind}"] for kind in ("scale", "bias")]
        y = torch.nn.functional.batch_norm(
            pixels, *stats, *affine, training=self.train, momentum=0.1, eps=1e-5
        )
        parts = y.split([x.shape[2] * x.shape[3] for x in xs], dim=2)
        return [part.reshape(x.shape) for part, x in zip(parts, xs, strict=True)]

    def block(self, name, xs, features, stride):
        ys = self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", xs, stride, 1))
        ys = [torch.relu(y) for y in ys]
        ys = self.norm(f"{name}.bn2", self.conv(f"{name}.conv2", ys, 1, 1))
        if xs[0].shape[1] != features:
            xs = self.conv(f"{name}.conv_short", xs, stride)
            xs = self.norm(f"{name}.bn_short", xs)
        return [torch.relu(x + y) for x, y in zip(xs, ys, strict=True)]

    def __call__(self, images):
        xs = self.norm("trunk.bn1", self.conv("trunk.conv1", images, 2, 3))
        xs = [
            torch.nn.functional.max_pool2d(torch.relu(x), 3, 2, 1, ceil_mode=True)
            for x in xs
        ]
        maps = []
        for stage, (features, stride) in enumerate(STAGES, start=1):
            xs = self.block(f"trunk.layer{stage}_1", xs, features, stride)
            xs = self.block(f"trunk.layer{stage}_2", xs, features, 1)
            maps.append(xs)
        fused = self.conv("head.score_fr", maps[3])
        for name, skips in (("score_layer3_2", maps[2]), ("score_layer2_2", maps[1])):
            scores = self.conv(f"head.{name}", skips)
            fused = [
                up(x, 3, 2, 1, s.shape[2:]) + s
                for x, s in zip(fused, scores, strict=True)
            ]
        return [
            up(x, 15, 8, 7, image.shape[2:])
            for x, image in zip(fused, images, strict=True)
        ]


def up(x, kernel, stride, start, size):
    """Bilinear upsampling with dense weights, and a crop."""
    taps = 1 - abs(torch.arange(kernel).double() - (stride - 1)) / stride
    weight = torch.eye(CLASSES).double()[:, :, None, None] * torch.outer(taps, taps)
    y = torch.nn.functional.conv_transpose2d(x, weight, stride=stride)
    return y[:, :, start : start + size[0], start : start + size[1]]


def _images():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(*size, 3)) for size in SIZES]


def _batch(dtype=np.float64):
    batch = np.full((len(SIZES), *CANVAS, 3), 50.0, dtype)
    for row, image in zip(batch, _images(), strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return {"color": jnp.asarray(batch)}


def _variables():
    """Random parameters and running statistics."""
    image = {"color": jax.ShapeDtypeStruct((1, *CANVAS, 3), jnp.float32)}
    shapes = jax.eval_shape(
        lambda x: MODEL.init(jax.random.key(0), x, train=False), image
    )
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        kind = path[-1].key
        if kind in ("scale", "var"):
            return jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape))
        fan_in = np.prod(leaf.shape[:-1]) if kind == "kernel" else 10
        return jnp.asarray(rng.normal(0, (2 / fan_in) ** 0.5, leaf.shape))

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _forward(variables, inputs, sizes, *, train):
    maps, changed = MODEL.apply(
        variables, inputs, train=train, sizes=sizes, mutable=["batch_stats"]
    )
    return maps["semantic"].values, changed["batch_stats"]


def _loss(params, stats, inputs, sizes, *, forward=None):
    forward = forward or partial(_forward, train=True)
    variables = {"params": params, "batch_stats": stats}
    scores, moved = forward(variables, inputs, sizes)
    return jnp.sum(jnp.sin(scores)), (scores, moved)


STEP = jax.value_and_grad(_loss, has_aux=True)


def _inside(scores):
    """Scores of each image; what lies outside it is zero."""
    found = []
    for row, (height, width) in zip(np.array(scores), SIZES, strict=True):
        found.append(row[:height, :width].copy())
        row[:height, :width] = 0
        assert not row.any()
    return found


def _torch_images():
    return [torch.tensor(image.transpose(2, 0, 1)[None]) for image in _images()]


@pytest.mark.slow
def test_running_statistics_padded_or_alone():
    """Oracle: torch, and each image alone without padding; float64."""
    with jax.enable_x64(True):
        variables, sizes = _variables(), jnp.asarray(SIZES, jnp.int32)
        forward = jax.jit(partial(_forward, train=False))
        scores, _ = forward(variables, _batch(), sizes)
        alone = [
            forward(variables, {"color": jnp.asarray(image[None])}, None)[0][0]
            for image in _images()[:1]  # a program of its own for every size
        ]
    expected = TorchNet(variables, train=False)(_torch_images())
    inside = _inside(scores)
    for own, single in zip(inside, alone, strict=False):
        np.testing.assert_allclose(own, single, rtol=0, atol=1e-11)
    for own, theirs in zip(inside, expected, strict=True):
        assert own.std() > 0.1
        theirs = theirs[0].permute(1, 2, 0).detach()
        np.testing.assert_allclose(own, theirs, rtol=0, atol=1e-11)


@pytest.mark.slow
def test_statistics_of_a_padded_batch():
    """Oracle: torch on a list of images: scores, gradients, running statistics."""
    with jax.enable_x64(True):
        variables, sizes = _variables(), jnp.asarray(SIZES, jnp.int32)
        (_, (scores, moved)), gradients = jax.jit(STEP)(
            variables["params"], variables["batch_stats"], _batch(), sizes
        )
    net = TorchNet(variables, train=True)
    expected = net(_torch_images())
    sum(torch.sin(y).sum() for y in expected).backward()
    for own, theirs in zip(_inside(scores), expected, strict=True):
        theirs = theirs[0].permute(1, 2, 0).detach()
        np.testing.assert_allclose(own, theirs, rtol=0, atol=1e-10)
    for path, gradient in flatten(gradients).items():
        theirs = net.params[path].grad.numpy()
        atol = 1e-9 * np.abs(theirs).max() + 1e-10
        np.testing.assert_allclose(gradient, theirs, rtol=0, atol=atol, err_msg=path)
    for path, value in flatten(moved).items():
        np.testing.assert_allclose(value, net.stats[path], rtol=1e-9, err_msg=path)


@pytest.fixture(scope="module")
def at_once():
    """Arguments of a step of eight images, and its result at once on one device."""
    with jax.enable_x64(True):
        variables = _variables()
        inputs = {"color": jnp.concatenate([_batch()["color"]] * 2)}
        sizes = jnp.asarray(SIZES * 2, jnp.int32)
        given = (variables["params"], variables["batch_stats"], inputs, sizes)
        return given, jax.jit(STEP)(*given)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["stage by stage", "eight devices"])
def test_other_ways_to_compute_an_update(form, at_once):
    """Oracle: the update at once on one device, statistics included; float64."""
    given, expected = at_once
    step = STEP
    with jax.enable_x64(True):
        if form == "eight devices":
            mesh = Mesh(np.array(jax.devices()), ("data",))
            split, whole = (
                NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ())
            )
            given = (
                *jax.device_put(given[:2], whole),
                *jax.device_put(given[2:], split),
            )
        else:
            forward = by_stages(partial(_forward, train=True))
            step = jax.value_and_grad(partial(_loss, forward=forward), has_aux=True)
        found = jax.jit(step)(*given)
    for own, wanted in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        scale = np.abs(wanted).max() + 1e-2
        np.testing.assert_allclose(own, wanted, rtol=0, atol=1e-9 * scale)


def test_geometry():
    """Oracle: by hand; 435 is ResNet-18's receptive field, pixels lie over pixels."""

    def forward(image):
        maps, variables = MODEL.apply(
            _variables(), {"color": image}, train=False, mutable=["endpoints"]
        )
        return maps["semantic"], sown(variables, "endpoints")["trunk"]

    for height, width in ((1, 1), (33, 70), (224, 225)):
        image = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
        output, endpoints = jax.eval_shape(forward, image)
        assert output.values.shape == (1, height, width, CLASSES)
        for found in endpoints.values():
            sizes = (found.geometry.size(height), found.geometry.size(width))
            assert found.values.shape[1:3] == sizes
    fields = {
        name: (found.geometry.receptive_field, *found.geometry.map)
        for name, found in endpoints.items()
        if name in ("conv1", "pool1", "layer1_2", "layer4_2")
    }
    assert fields == {
        "conv1": (7, 2, 0),
        "pool1": (11, 4, 0),
        "layer1_2": (43, 4, 0),
        "layer4_2": (435, 32, 0),
    }
    windows = [
        (step.kernel, step.stride)
        for step in output.geometry.steps
        if isinstance(step, Window) and step.kind == "transposed"
    ]
    assert windows == [(3, 2), (3, 2), (15, 8)]
    assert output.geometry.crops == (-1, -1, 7)
