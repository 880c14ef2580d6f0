"""Small networks in torch, from the papers' tables and the reference's prototxts.

Paddings, strides and crop offsets are typed here as numbers, bilinear weights are dense.
"""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the oracles are torch networks")

SIZE = (37, 52)
CLASSES = 5


class Oracle:
    """Layers of a reference net, with parameters by dotted path."""

    def __init__(self, params: dict[str, Any]):
        self.params = params

    def conv(self, name, x, stride=1, pad=0, groups=1, relu=True):
        """Convolution with bias, and ReLU."""
        weight = self.params[f"{name}.kernel"].permute(3, 2, 0, 1)
        bias = self.params[f"{name}.bias"]
        y = torch.nn.functional.conv2d(x, weight, bias, stride, pad, groups=groups)
        return torch.relu(y) if relu else y

    def score(self, name, x):
        """Score layer of the head."""
        return self.conv(f"head.{name}", x, relu=False)

    def learned(self, name, x, stride):
        """Deconvolution with a dense kernel of its own."""
        weight = self.params[f"head.{name}"].permute(2, 3, 0, 1)
        return torch.nn.functional.conv_transpose2d(x, weight, stride=stride)


def pool(x, kernel=2, stride=2, pad=0):
    return torch.nn.functional.max_pool2d(x, kernel, stride, pad, ceil_mode=True)


def norm(x):
    return torch.nn.functional.local_response_norm(x, 5, 1e-4, 0.75, 1.0)


def up(x, kernel, stride):
    """Deconvolution with the reference's dense bilinear weights."""
    factor = (kernel + 1) // 2
    centre = factor - 1 if kernel % 2 == 1 else factor - 0.5
    taps = 1 - abs(np.arange(kernel) - centre) / factor
    channels = x.shape[1]
    weight = np.zeros((channels, channels, kernel, kernel))
    weight[range(channels), range(channels)] = np.outer(taps, taps)
    weight = torch.tensor(weight, dtype=x.dtype)
    return torch.nn.functional.conv_transpose2d(x, weight, stride=stride)


def crop(x, offset, size):
    rows, columns = size
    assert offset + rows <= x.shape[2]
    assert offset + columns <= x.shape[3]
    return x[:, :, offset : offset + rows, offset : offset + columns]


def vgg16(net, x, trunk="trunk", first_pad=100, fc6_pad=0, until="fc7"):
    maps = {}
    for stage, depth in enumerate((2, 2, 3, 3, 3), start=1):
        for layer in range(1, depth + 1):
            pad = first_pad if (stage, layer) == (1, 1) else 1
            x = net.conv(f"{trunk}.conv{stage}_{layer}", x, pad=pad)
        x = maps[f"pool{stage}"] = pool(x)
        if until == f"pool{stage}":
            return maps
    x = net.conv(f"{trunk}.fc6", x, pad=fc6_pad)
    maps["fc7"] = net.conv(f"{trunk}.fc7", x)
    return maps


def alexnet(net, x, pool_first):
    def pool_and_norm(x):
        return norm(pool(x, 3)) if pool_first else pool(norm(x), 3)

    x = pool_and_norm(net.conv("trunk.conv1", x, stride=4, pad=100))
    x = pool_and_norm(net.conv("trunk.conv2", x, pad=2, groups=2))
    x = net.conv("trunk.conv3", x, pad=1)
    x = net.conv("trunk.conv4", x, pad=1, groups=2)
    x = pool(net.conv("trunk.conv5", x, pad=1, groups=2), 3)
    return net.conv("trunk.fc7", net.conv("trunk.fc6", x))


def inception(net, name, x):
    block = f"trunk.inception_{name}"
    three = net.conv(f"{block}.3x3", net.conv(f"{block}.3x3_reduce", x), pad=1)
    five = net.conv(f"{block}.5x5", net.conv(f"{block}.5x5_reduce", x), pad=2)
    project = net.conv(f"{block}.pool_proj", pool(x, 3, 1, 1))
    return torch.cat([net.conv(f"{block}.1x1", x), three, five, project], dim=1)


def googlenet(net, x):
    x = norm(pool(net.conv("trunk.conv1_7x7_s2", x, stride=2, pad=3 + 15), 3))
    x = net.conv("trunk.conv2_3x3", net.conv("trunk.conv2_3x3_reduce", x), pad=1)
    x = pool(norm(x), 3)
    for names in (("3a", "3b"), ("4a", "4b", "4c", "4d", "4e"), ("5a", "5b")):
        for name in names:
            x = inception(net, name, x)
        x = x if names[0] == "5a" else pool(x, 3)
    return x


def fcn8s(net, images, factors=(1.0, 1.0), fuse=torch.add, learned=False):
    upsample = {
        "upscore2": lambda x: up(x, 4, 2),
        "upscore_pool4": lambda x: up(x, 4, 2),
        "upscore8": lambda x: up(x, 16, 8),
    }
    if learned:
        upsample = {
            "upscore2": lambda x: net.learned("upscore2", x, 2),
            "upscore_pool4": lambda x: net.learned("upscore_pool4", x, 2),
            "upscore8": lambda x: net.learned("upscore8", x, 8),
        }
    maps = vgg16(net, images["color"])
    upscore2 = upsample["upscore2"](net.score("score_fr", maps["fc7"]))
    pool4 = net.score("score_pool4", maps["pool4"] * factors[0])
    fused = fuse(upscore2, crop(pool4, 5, upscore2.shape[2:]))
    upscore_pool4 = upsample["upscore_pool4"](fused)
    pool3 = net.score("score_pool3", maps["pool3"] * factors[1])
    fused = fuse(upscore_pool4, crop(pool3, 9, upscore_pool4.shape[2:]))
    return {"semantic": crop(upsample["upscore8"](fused), 31, SIZE)}


def fcn8s_same(net, images):
    maps = vgg16(net, images["color"], first_pad=1, fc6_pad=3)
    upscore2 = up(net.score("score_fr", maps["fc7"]), 4, 2)[:, :, 1:, 1:]
    pool4 = net.score("score_pool4", maps["pool4"])
    rows, columns = np.minimum(upscore2.shape[2:], pool4.shape[2:])
    fused = crop(upscore2, 0, (rows, columns)) + crop(pool4, 0, (rows, columns))
    upscore_pool4 = up(fused, 4, 2)[:, :, 1:, 1:]
    pool3 = net.score("score_pool3", maps["pool3"])
    rows, columns = np.minimum(upscore_pool4.shape[2:], pool3.shape[2:])
    fused = crop(upscore_pool4, 0, (rows, columns)) + crop(pool3, 0, (rows, columns))
    return {"semantic": crop(up(fused, 16, 8), 4, SIZE)}


def fcn16s(net, images, suffix=""):
    maps = vgg16(net, images["color"])
    upscore2 = up(net.score(f"score_fr{suffix}", maps["fc7"]), 4, 2)
    pool4 = net.score(f"score_pool4{suffix}", maps["pool4"])
    fused = upscore2 + crop(pool4, 5, upscore2.shape[2:])
    return crop(up(fused, 32, 16), 27, SIZE)


def late_fusion(net, images):
    scores = [
        net.score(f"score_fr_{name}", vgg16(net, images[name], name)["fc7"])
        for name in ("color", "hha")
    ]
    return {"semantic": crop(up(0.5 * scores[0] + 0.5 * scores[1], 64, 32), 19, SIZE)}


def early_fusion(net, images):
    x = torch.cat([images["color"], images["depth"]], dim=1)
    score = net.score("score_fr", vgg16(net, x)["fc7"])
    return {"semantic": crop(up(score, 64, 32), 19, SIZE)}


def truncated(net, images, name, factor, offset):
    features = vgg16(net, images["color"], until=name)[name]
    score = net.score(f"score_{name}", features)
    return {"semantic": crop(up(score, 2 * factor, factor), offset, SIZE)}


def odd_32s(net, trunk, offset):
    return {"semantic": crop(up(net.score("score_fr", trunk), 63, 32), offset, SIZE)}


VGG_8S = {"backbone": "vgg16", "stride": 8}
TWO = {"semantic": CLASSES, "geometric": 3}
NETS = {
    "8s": (VGG_8S, fcn8s),
    "8s-at-once": (
        {**VGG_8S, "at_once": True},
        lambda net, x: fcn8s(net, x, factors=(0.01, 0.0001)),
    ),
    "8s-max": (
        {**VGG_8S, "fusion": "max"},
        lambda net, x: fcn8s(net, x, fuse=torch.maximum),
    ),
    "8s-learned": (
        {**VGG_8S, "upsampling": "learned"},
        lambda net, x: fcn8s(net, x, learned=True),
    ),
    "8s-same": ({**VGG_8S, "padding": "same"}, fcn8s_same),
    "16s-two-outputs": (
        {"backbone": "vgg16", "stride": 16, "outputs": TWO},
        lambda net, x: {name: fcn16s(net, x, f"_{name}") for name in TWO},
    ),
    "32s-late-fusion": (
        {"backbone": "vgg16", "streams": {"color": ("color",), "hha": ("hha",)}},
        late_fusion,
    ),
    "32s-early-fusion": (
        {"backbone": "vgg16", "streams": {"trunk": ("color", "depth")}},
        early_fusion,
    ),
    "pool4": (
        {"backbone": "vgg16", "score_at": "pool4"},
        lambda net, x: truncated(net, x, "pool4", 16, 107),
    ),
    "pool3": (
        {"backbone": "vgg16", "score_at": "pool3"},
        lambda net, x: truncated(net, x, "pool3", 8, 103),
    ),
    "alexnet": (
        {"backbone": "alexnet"},
        lambda net, x: odd_32s(net, alexnet(net, x["color"], True), 18),
    ),
    "alexnet-norm-pool": (
        {"backbone": "alexnet", "order": "norm-pool"},
        lambda net, x: odd_32s(net, alexnet(net, x["color"], False), 18),
    ),
    "googlenet": (
        {"backbone": "googlenet"},
        lambda net, x: odd_32s(net, googlenet(net, x["color"]), 16),
    ),
}
CHANNELS = {"color": 3, "hha": 3, "depth": 1}
