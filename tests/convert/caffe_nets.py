"""The reference nets as Caffe computes them, a sixteenth as wide, in torch.

Written from the prototxts of shelhamer/fcn.berkeleyvision.org, of the VGG team and of
BVLC's model zoo. Everything is as Caffe has it: names, blobs `[O, I, k, k]`, fully
connected layers `[O, C * H * W]`, BGR images minus a mean, 100 pixels of padding,
crops by typed offsets. Nothing is imported from the package. Arithmetic is float64 on
float32 blobs.

A layer draws its blobs when it first runs, as Caffe fills them; whoever wants others
replaces them in `CaffeNet.blobs` and runs the net again.
"""

from collections.abc import Callable, Mapping, Sequence

import pytest

from tests.convert.caffe_layers import (
    BVLC_MEAN,
    CONTEXT_MEAN,
    INCEPTIONS,
    NYUD_MEAN,
    SIFT_FLOW_MEAN,
    VGG_MEAN,
    VGG_STAGES,
    VOC_MEAN,
    CaffeNet,
    Images,
    Tensor,
    bgr,
    crop,
    functional,
    hha,
    log_depth,
    lrn,
    max_pool,
    narrow,
)

torch = pytest.importorskip("torch", reason="the oracles are torch networks")


# Trunks ---------------------------------------------------------------------------


def vgg16(
    net: CaffeNet, x: Tensor, pad: int, end: str = "", first: str = "conv1_1"
) -> dict[str, Tensor]:
    """The five stages; `end` is what the names of all layers end in."""
    maps = {}
    for stage, (depth, channels) in enumerate(VGG_STAGES, start=1):
        for layer in range(1, depth + 1):
            name = first if stage == layer == 1 else f"conv{stage}_{layer}"
            gain = (1.0, 1.0, 1.0, 100.0)[: x.shape[1]] if name == first else 1.0
            x = net.conv(
                name + end,
                x,
                narrow(channels),
                3,
                pad=pad if name == first else 1,
                gain=gain,
            )
        x = maps[f"pool{stage}"] = max_pool(x, 2)
    return maps


def vgg16_fcn(
    net: CaffeNet, x: Tensor, end: str = "", first: str = "conv1_1"
) -> dict[str, Tensor]:
    maps = vgg16(net, x, 100, end, first)
    x = net.conv(f"fc6{end}", maps["pool5"], narrow(4096), 7)
    maps["fc7"] = net.conv(f"fc7{end}", x, narrow(4096), 1)
    return maps


def alexnet(net: CaffeNet, x: Tensor, pad: int, pool_first: bool) -> Tensor:
    """Up to pool5; CaffeNet, which the FCN is made of, pools before it normalises."""

    def between(x: Tensor) -> Tensor:
        return lrn(max_pool(x, 3)) if pool_first else max_pool(lrn(x), 3)

    x = between(net.conv("conv1", x, narrow(96), 11, stride=4, pad=pad))
    x = between(net.conv("conv2", x, narrow(256), 5, pad=2, group=2))
    x = net.conv("conv3", x, narrow(384), 3, pad=1)
    x = net.conv("conv4", x, narrow(384), 3, pad=1, group=2)
    return max_pool(net.conv("conv5", x, narrow(256), 3, pad=1, group=2), 3)


def inception(net: CaffeNet, name: str, x: Tensor) -> Tensor:
    block = f"inception_{name}"
    one, reduce3, three, reduce5, five, project = map(narrow, INCEPTIONS[name])
    branch1 = net.conv(f"{block}/1x1", x, one, 1)
    branch3 = net.conv(f"{block}/3x3_reduce", x, reduce3, 1)
    branch3 = net.conv(f"{block}/3x3", branch3, three, 3, pad=1)
    branch5 = net.conv(f"{block}/5x5_reduce", x, reduce5, 1)
    branch5 = net.conv(f"{block}/5x5", branch5, five, 5, pad=2)
    pooled = max_pool(x, 3, 1, 1)
    branch4 = net.conv(f"{block}/pool_proj", pooled, project, 1)
    return torch.cat([branch1, branch3, branch5, branch4], dim=1)


# ImageNet classifiers: maps of scores `[1, 1000, h, w]` before the softmax ------------


def vgg16_classifier(net: CaffeNet, images: Images) -> Tensor:
    x = vgg16(net, bgr(images["color"], VGG_MEAN), pad=1)["pool5"]
    return classify(net, x, 7)


def alexnet_classifier(net: CaffeNet, images: Images) -> Tensor:
    return classify(net, alexnet(net, bgr(images["color"], BVLC_MEAN), 0, False), 6)


def caffenet_classifier(net: CaffeNet, images: Images) -> Tensor:
    return classify(net, alexnet(net, bgr(images["color"], BVLC_MEAN), 0, True), 6)


def classify(net: CaffeNet, x: Tensor, size: int) -> Tensor:
    x = net.connected("fc6", x, narrow(4096), size)
    x = net.connected("fc7", x, narrow(4096))
    return net.connected("fc8", x, 1000, relu=False)


def googlenet_classifier(net: CaffeNet, images: Images) -> Tensor:
    x = bgr(images["color"], BVLC_MEAN)
    x = lrn(max_pool(net.conv("conv1/7x7_s2", x, narrow(64), 7, stride=2, pad=3), 3))
    x = net.conv("conv2/3x3_reduce", x, narrow(64), 1)
    x = max_pool(lrn(net.conv("conv2/3x3", x, narrow(192), 3, pad=1)), 3)
    for name in INCEPTIONS:
        x = inception(net, name, x)
        if name in ("3b", "4e"):
            x = max_pool(x, 3)
    x = functional.avg_pool2d(x, 7, 1)
    return net.connected("loss3/classifier", x, 1000, relu=False)


# The fifteen nets: scores `[1, K, H, W]` of each output -----------------------------


def fcn32s(
    net: CaffeNet, maps: Mapping[str, Tensor], classes: int, size: tuple, end: str
) -> Tensor:
    score = net.conv(f"score_fr{end}", maps["fc7"], classes, 1, relu=False)
    return crop(net.deconv(f"upscore{end}", score, 64, 32), 19, size)


def fcn16s(
    net: CaffeNet, maps: Mapping[str, Tensor], classes: int, size: tuple, end: str
) -> Tensor:
    score = net.conv(f"score_fr{end}", maps["fc7"], classes, 1, relu=False)
    up = net.deconv(f"upscore2{end}", score, 4, 2)
    skip = net.conv(f"score_pool4{end}", maps["pool4"], classes, 1, relu=False)
    fused = up + crop(skip, 5, up.shape[2:])
    return crop(net.deconv(f"upscore16{end}", fused, 32, 16), 27, size)


def fcn8s(
    net: CaffeNet,
    maps: Mapping[str, Tensor],
    classes: int,
    size: tuple,
    end: str,
    at_once: bool = False,
) -> Tensor:
    """At once, score layers are drawn so large that the scaled skips count."""
    pool4, pool3, gains = maps["pool4"], maps["pool3"], (1.0, 1.0)
    score = net.conv(f"score_fr{end}", maps["fc7"], classes, 1, relu=False)
    up = net.deconv(f"upscore2{end}", score, 4, 2)
    if at_once:
        pool4 = net.scale("scale_pool4", pool4, 0.01)
        pool3 = net.scale("scale_pool3", pool3, 0.0001)
        gains = (100.0, 10_000.0)
    skip = net.conv(f"score_pool4{end}", pool4, classes, 1, relu=False, gain=gains[0])
    fused = up + crop(skip, 5, up.shape[2:])
    up = net.deconv(f"upscore_pool4{end}", fused, 4, 2)
    skip = net.conv(f"score_pool3{end}", pool3, classes, 1, relu=False, gain=gains[1])
    fused = up + crop(skip, 9, up.shape[2:])
    return crop(net.deconv(f"upscore8{end}", fused, 16, 8), 31, size)


def fcn8s_at_once(
    net: CaffeNet, maps: Mapping[str, Tensor], classes: int, size: tuple, end: str
) -> Tensor:
    return fcn8s(net, maps, classes, size, end, at_once=True)


Head = Callable[[CaffeNet, Mapping[str, Tensor], int, tuple, str], Tensor]
Scores = Callable[[CaffeNet, Images], dict[str, Tensor]]


def of_color(head: Head, classes: int, mean: Sequence[float]) -> Scores:
    """A net of one trunk, which sees BGR, and one output."""

    def scores(net: CaffeNet, images: Images) -> dict[str, Tensor]:
        x = bgr(images["color"], mean)
        return {"semantic": head(net, vgg16_fcn(net, x), classes, x.shape[2:], "")}

    return scores


def of_scenes(head: Head) -> Scores:
    """SIFT Flow: 33 semantic and 3 geometric classes on one trunk."""

    def scores(net: CaffeNet, images: Images) -> dict[str, Tensor]:
        x = bgr(images["color"], SIFT_FLOW_MEAN)
        maps = vgg16_fcn(net, x)
        return {
            "semantic": head(net, maps, 33, x.shape[2:], "_sem"),
            "geometric": head(net, maps, 3, x.shape[2:], "_geo"),
        }

    return scores


def of_hha(net: CaffeNet, images: Images) -> dict[str, Tensor]:
    x = hha(images["hha"])
    return {"semantic": fcn32s(net, vgg16_fcn(net, x), 40, x.shape[2:], "")}


def of_color_and_depth(net: CaffeNet, images: Images) -> dict[str, Tensor]:
    """Early fusion: BGRD."""
    color, depth = bgr(images["color"], NYUD_MEAN), log_depth(images["depth"])
    maps = vgg16_fcn(net, torch.cat([color, depth], dim=1), first="conv1_1_bgrd")
    return {"semantic": fcn32s(net, maps, 40, color.shape[2:], "")}


def of_color_and_hha(net: CaffeNet, images: Images) -> dict[str, Tensor]:
    """Late fusion: the mean of two nets' scores."""
    inputs = {"color": bgr(images["color"], NYUD_MEAN), "hha": hha(images["hha"])}
    fused = sum(
        0.5
        * net.conv(f"score_fr{end}", vgg16_fcn(net, x, end)["fc7"], 40, 1, relu=False)
        for end, x in inputs.items()
    )
    up = net.deconv("upscore", fused, 64, 32)
    return {"semantic": crop(up, 19, images["color"].shape[:2])}


def alexnet_fcn(net: CaffeNet, images: Images) -> dict[str, Tensor]:
    x = bgr(images["color"], VOC_MEAN)
    size = x.shape[2:]
    x = net.conv("fc6", alexnet(net, x, 100, True), narrow(4096), 6)
    x = net.conv("fc7", x, narrow(4096), 1)
    score = net.conv("score_fr", x, 21, 1, relu=False)
    return {"semantic": crop(net.deconv("upscore", score, 63, 32), 18, size)}


FCNS: dict[str, Scores] = {
    "voc-fcn32s": of_color(fcn32s, 21, VOC_MEAN),
    "voc-fcn16s": of_color(fcn16s, 21, VOC_MEAN),
    "voc-fcn8s": of_color(fcn8s, 21, VOC_MEAN),
    "voc-fcn8s-atonce": of_color(fcn8s_at_once, 21, VOC_MEAN),
    "voc-fcn-alexnet": alexnet_fcn,
    "nyud-fcn32s-color": of_color(fcn32s, 40, NYUD_MEAN),
    "nyud-fcn32s-hha": of_hha,
    "nyud-fcn32s-color-d": of_color_and_depth,
    "nyud-fcn32s-color-hha": of_color_and_hha,
    "siftflow-fcn32s": of_scenes(fcn32s),
    "siftflow-fcn16s": of_scenes(fcn16s),
    "siftflow-fcn8s": of_scenes(fcn8s),
    "pascalcontext-fcn32s": of_color(fcn32s, 60, CONTEXT_MEAN),
    "pascalcontext-fcn16s": of_color(fcn16s, 60, CONTEXT_MEAN),
    "pascalcontext-fcn8s": of_color(fcn8s, 60, CONTEXT_MEAN),
}
CLASSIFIERS: dict[str, Callable[[CaffeNet, Images], Tensor]] = {
    "vgg16": vgg16_classifier,
    "caffenet": caffenet_classifier,
    "alexnet": alexnet_classifier,
    "googlenet": googlenet_classifier,
}
NATIVE_SIZE = {"vgg16": 224, "caffenet": 227, "alexnet": 227, "googlenet": 224}
TITLES = {
    "vgg16": "VGG_ILSVRC_16_layers",
    "caffenet": "CaffeNet",
    "alexnet": "AlexNet",
    "googlenet": "GoogleNet",
}
