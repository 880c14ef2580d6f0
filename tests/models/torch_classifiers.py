"""Classifiers with batch normalisation in torch, on a list of images of any sizes.

Written from the papers' tables: paddings and strides are typed here as numbers. A list
knows no padding of a batch: statistics are those of the pixels of all images, side by
side, and the scores of each image are averaged over its own map.
"""

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the oracles are torch networks")

from fcn_jax.params.paths import flatten  # noqa: E402
from tests.models.torch_fcns import pool  # noqa: E402

PADS = {"native": 0, "same": 3}
"""Padding of fc6."""


class TorchClassifier:
    """Layers on a list of images, `[1, C, H, W]` each; variables by dotted path."""

    def __init__(self, variables, train):
        self.params, self.stats = (
            {
                path: torch.tensor(np.array(value, np.float64))
                for path, value in flatten(variables[name]).items()
            }
            for name in ("params", "batch_stats")
        )
        self.train = train
        for value in self.params.values():
            value.requires_grad_()

    def conv(self, name, xs, stride=1, pad=0, groups=1, relu=True):
        """Convolution, batch normalisation if it has one, ReLU."""
        kernel = self.params[f"{name}.kernel"].permute(3, 2, 0, 1)
        bias = self.params.get(f"{name}.bias")
        ys = [
            torch.nn.functional.conv2d(x, kernel, bias, stride, pad, groups=groups)
            for x in xs
        ]
        if f"{name}_bn.scale" in self.params:
            ys = self.norm(f"{name}_bn", ys)
        return [torch.relu(y) for y in ys] if relu else ys

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

    def scores(self, name, xs):
        """Scores of each image, averaged over its map: `[N, K]`."""
        ys = self.conv(f"head.{name}", xs, relu=False)
        return torch.cat([y.mean(dim=(2, 3)) for y in ys])


def vgg16(net, xs, padding):
    """Simonyan and Zisserman, configuration D."""
    for stage, depth in enumerate((2, 2, 3, 3, 3), start=1):
        for layer in range(1, depth + 1):
            xs = net.conv(f"trunk.conv{stage}_{layer}", xs, pad=1)
        xs = [pool(x) for x in xs]
    xs = net.conv("trunk.fc7", net.conv("trunk.fc6", xs, pad=PADS[padding]))
    return {"imagenet": net.scores("fc8", xs)}


def alexnet(net, xs, padding):
    """CaffeNet without local response normalisation."""
    first = {"native": 0, "same": 5}[padding]
    xs = [pool(x, 3) for x in net.conv("trunk.conv1", xs, stride=4, pad=first)]
    xs = [pool(x, 3) for x in net.conv("trunk.conv2", xs, pad=2, groups=2)]
    xs = net.conv("trunk.conv3", xs, pad=1)
    xs = net.conv("trunk.conv4", xs, pad=1, groups=2)
    xs = [pool(x, 3) for x in net.conv("trunk.conv5", xs, pad=1, groups=2)]
    xs = net.conv("trunk.fc7", net.conv("trunk.fc6", xs, pad=PADS[padding]))
    return {"imagenet": net.scores("fc8", xs)}


def _inception(net, name, xs):
    conv = partial(net.conv, pad=0)
    block = f"trunk.inception_{name}"
    parts = (
        conv(f"{block}.1x1", xs),
        conv(f"{block}.3x3", conv(f"{block}.3x3_reduce", xs), pad=1),
        conv(f"{block}.5x5", conv(f"{block}.5x5_reduce", xs), pad=2),
        conv(f"{block}.pool_proj", [pool(x, 3, 1, 1) for x in xs]),
    )
    return [torch.cat(branches, dim=1) for branches in zip(*parts, strict=True)]


def _auxiliary(net, name, xs, pad):
    """BVLC's train_val.prototxt at pad 0: of a 14 x 14 map the average has 4 x 4."""
    averaged = [
        torch.nn.functional.avg_pool2d(x, 5, 3, pad, ceil_mode=True) for x in xs
    ]
    xs = net.conv(f"trunk.{name}_conv", averaged)
    xs = net.conv(f"trunk.{name}_fc", xs, pad=pad)
    return net.scores(f"{name}_classifier", xs)


def googlenet(net, xs, padding):
    """Szegedy et al. without local response normalisation; auxiliary in training."""
    found = {}
    branches = {"4a": "loss1", "4d": "loss2"} if net.train else {}
    xs = [pool(x, 3) for x in net.conv("trunk.conv1_7x7_s2", xs, stride=2, pad=3)]
    xs = net.conv("trunk.conv2_3x3", net.conv("trunk.conv2_3x3_reduce", xs), pad=1)
    xs = [pool(x, 3) for x in xs]
    for names in (("3a", "3b"), ("4a", "4b", "4c", "4d", "4e"), ("5a", "5b")):
        for name in names:
            xs = _inception(net, name, xs)
            if name in branches:
                pad = {"native": 0, "same": 2}[padding]
                found[branches[name]] = _auxiliary(net, branches[name], xs, pad)
        xs = xs if names[0] == "5a" else [pool(x, 3) for x in xs]
    if padding == "native":
        xs = [torch.nn.functional.avg_pool2d(x, 7, 1) for x in xs]
    return {"imagenet": net.scores("loss3_classifier", xs), **found}


NETS = {"vgg16": vgg16, "alexnet": alexnet, "googlenet": googlenet}
