"""Files of torch nets, converted: scores and features are those of the torch nets."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from fcn_jax import Segmenter
from fcn_jax.checkpoints import store
from fcn_jax.checkpoints.record import Record
from fcn_jax.convert.target import convert_file
from fcn_jax.data.labels import VOC, Classes
from fcn_jax.inference.classifier import Classifier
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.models.build import build
from fcn_jax.params.paths import unflatten
from tests.convert.torch_nets import (
    FCN,
    VGG16,
    apply,
    bilinear,
    error,
    randomize,
    torch,
)

safetensors = pytest.importorskip("safetensors.torch", reason="it writes a file")

CLASSES = Classes(VOC.names[:7], VOC.palette[:7])
NARROW = {"width": 1 / 16, "classes": CLASSES}
LARGE = (256, 288)
"""Pixels for which the classifier's map is 2 x 3."""

Prepare = Callable[[np.ndarray], np.ndarray]


def torchvision_input(image: np.ndarray) -> np.ndarray:
    """RGB in [0, 1], normalised as torchvision's transforms do."""
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    deviation = np.array([0.229, 0.224, 0.225], np.float32)
    return (image.astype(np.float32) / 255 - mean) / deviation


def features_input(image: np.ndarray) -> np.ndarray:
    """As the transforms of torchvision's VGG16 "features": deviation 1 / 255."""
    mean = np.array([0.48235, 0.45882, 0.40784], np.float32)
    return (image.astype(np.float32) / 255 - mean) * np.float32(255)


def bgr_input(*mean: float) -> Prepare:
    """BGR in 0..255 minus a mean."""
    return lambda image: (
        image[:, :, ::-1].astype(np.float32) - np.array(mean, np.float32)
    )


JCJOHNSON = bgr_input(103.939, 116.779, 123.68)
WKENTARO = bgr_input(104.00698793, 116.66876762, 122.67891434)


def picture(size: tuple[int, int]) -> np.ndarray:
    """Smooth colours that differ by channel, and noise."""
    rng = np.random.default_rng(size)
    ramp = np.linspace(0, 150, size[1])[None, :, None] * np.array([1, 0.6, 0.2])
    return (ramp + rng.integers(0, 100, (*size, 3))).astype(np.uint8)


def save(net, file: Path) -> Path:
    """The state dictionary, in the format that the suffix names."""
    state = net.state_dict()
    if file.suffix == ".safetensors":
        safetensors.save_file(state, file)
    elif file.suffix == ".npz":
        np.savez(file, **{chainer_name(name): v.numpy() for name, v in state.items()})
    else:
        torch.save(state, file)
    return file


def chainer_name(name: str) -> str:
    """conv1_1.weight -> conv1_1/W, and VGG16's numbers -> Caffe's names."""
    layer, _, kind = name.rpartition(".")
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    stages = (11, 12, 21, 22, 31, 32, 33, 41, 42, 43, 51, 52, 53)
    own = {
        f"features.{n}": f"conv{s // 10}_{s % 10}"
        for n, s in zip(numbers, stages, strict=True)
    }
    own |= {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}
    return f"{own.get(layer, layer)}/{'b' if kind == 'bias' else 'W'}"


VGG = {
    "torchvision": ((0, 3, 6), torchvision_input, 1.0, ".pth", "torchvision"),
    "torchvision-safetensors": (
        (0, 3, 6),
        torchvision_input,
        1.0,
        ".safetensors",
        "torchvision",
    ),
    "jcjohnson": ((1, 4, 6), JCJOHNSON, 60.0, ".pth", ""),
    "wkentaro": ((0, 3, 6), WKENTARO, 60.0, ".pth", "wkentaro"),
    "wkentaro-chainer": ((0, 3, 6), WKENTARO, 60.0, ".npz", ""),
}
"""Numbers of the classifier, input, its size, suffix, --origin."""


@pytest.mark.slow
@pytest.mark.parametrize("case", VGG)
def test_vgg16_scores_as_in_torch(case, tmp_path):
    """Oracle: the torch net on its own input, at 224 x 224 and as convolutions."""
    numbers, prepare, level, suffix, origin = VGG[case]
    net = randomize(VGG16(len(CLASSES), numbers=numbers), 3, level)
    file = save(net, tmp_path / f"net{suffix}")
    report = convert_file(file, tmp_path / "out", net="vgg16", origin=origin, **NARROW)
    assert report.origin == case.split("-")[0]
    assert len(report.copied) == 32
    classifier = Classifier.load(tmp_path / "out")
    assert classifier.categories == CLASSES.names
    image = picture((224, 224))
    scores = classifier.scores(image)
    assert scores.shape == (1, 1, len(CLASSES))
    assert error(scores[0, 0], apply(net, prepare(image))) < 1e-4
    if case != "torchvision-safetensors":
        image = picture(LARGE)
        expected = apply(net.dense, prepare(image))
        assert expected.shape == (2, 3, len(CLASSES))
        assert error(classifier.scores(image), expected) < 1e-4


def features(directory: Path, image: np.ndarray, change: dict | None = None) -> dict:
    """Endpoints of a converted net, `[h, w, C]` by name.

    Args:
        directory: of the checkpoint.
        image: stored pixels.
        change: parameters in place of the converted ones.
    """
    found = store.load(directory)
    record = Record.from_dict(found.record, "it")
    model = build(record.spec)
    missing = {
        path: np.zeros(shape, np.float32)
        for path, shape in (
            ("trunk.fc6.kernel", (7, 7, 32, 256)),
            ("trunk.fc6.bias", (256,)),
            ("trunk.fc7.kernel", (1, 1, 256, 256)),
            ("trunk.fc7.bias", (256,)),
            ("head.fc8.kernel", (1, 1, 256, len(CLASSES))),
            ("head.fc8.bias", (len(CLASSES),)),
        )
    }
    params = unflatten({**missing, **found.params, **(change or {})})

    @jax.jit
    def run(params, image):
        ready = preprocess({"color": image}, record.preprocessing, np.float32)
        scores, state = model.apply(
            {"params": params}, ready, train=False, mutable=["endpoints"]
        )
        (maps,) = state["endpoints"]["trunk_maps"]
        values = {name: found.values[0] for name, found in maps.items()}
        return values | {"scores": scores["imagenet"].values[0]}

    return {name: np.asarray(v) for name, v in run(params, image[None]).items()}


ENDPOINTS = {
    "conv1_1": 2,
    "conv1_2": 4,
    "pool1": 5,
    "conv2_2": 9,
    "pool3": 17,
    "pool4": 24,
    "conv5_3": 30,
    "pool5": 31,
}
"""Endpoint -> how many of torch's numbered layers give it, ReLUs included."""


def test_features_of_the_trunk_agree(tmp_path):
    """Oracle: the outputs of torch's numbered layers."""
    net = randomize(VGG16(len(CLASSES)), 4)
    file = save(net, tmp_path / "net.pth")
    settings = {"net": "vgg16", "origin": "torchvision", **NARROW}
    convert_file(file, tmp_path / "out", **settings)
    image = picture((224, 256))
    found = features(tmp_path / "out", image)
    for name, count in ENDPOINTS.items():
        expected = apply(net.features[:count], torchvision_input(image))
        assert error(found[name], expected) < 1e-4, name


@pytest.mark.slow
def test_a_wrong_layout_would_be_seen(tmp_path):
    """Oracle: the torch net; every mistake that fits in shape moves the scores."""
    net = randomize(VGG16(len(CLASSES)), 5)
    file = save(net, tmp_path / "net.pth")
    settings = {"net": "vgg16", "origin": "torchvision", **NARROW}
    convert_file(file, tmp_path / "out", **settings)
    image = picture((224, 224))
    expected = apply(net, torchvision_input(image))[None, None]
    assert error(features(tmp_path / "out", image)["scores"], expected) < 1e-4
    params = store.load(tmp_path / "out").params
    fc6 = params["trunk.fc6.kernel"]
    flat = net.classifier[0].weight.detach().numpy()
    wrong = {
        "trunk.conv1_1.kernel": params["trunk.conv1_1.kernel"][:, :, ::-1],
        "trunk.conv3_1.kernel": params["trunk.conv3_1.kernel"].swapaxes(0, 1),
        "trunk.conv4_2.kernel": params["trunk.conv4_2.kernel"].swapaxes(2, 3),
        "trunk.conv5_1.kernel": params["trunk.conv5_1.kernel"][::-1, ::-1],
        "trunk.fc6.kernel": flat.reshape(256, 7, 7, 32).transpose(1, 2, 3, 0),
        "trunk.fc7.kernel": params["trunk.fc7.kernel"].swapaxes(2, 3),
    }
    assert wrong["trunk.fc6.kernel"].shape == fc6.shape
    for path, kernel in wrong.items():
        found = features(tmp_path / "out", image, {path: kernel})["scores"]
        assert error(found, expected) > 1e-2, path


def test_the_features_of_torchvision_make_a_partial_net(tmp_path):
    """Oracle: the torch trunk; its classifier's entries are NaN, as published."""
    net = randomize(VGG16(len(CLASSES)), 6, 60.0)
    with torch.no_grad():
        for parameter in net.classifier.parameters():
            parameter.fill_(float("nan"))
    file = save(net, tmp_path / "net.pth")
    origin = {"net": "vgg16", "origin": "torchvision-features", **NARROW}
    with pytest.raises(ValueError, match="fc6"):
        convert_file(file, tmp_path / "out", **origin)
    assert not (tmp_path / "out").exists()
    allow = ["fc6", "fc7", "fc8"]
    report = convert_file(file, tmp_path / "out", allow=allow, **origin)
    assert len(report.copied) == 26
    assert sorted(report.missing) == sorted(
        f"{layer}.{kind}"
        for layer in ("trunk.fc6", "trunk.fc7", "head.fc8")
        for kind in ("kernel", "bias")
    )
    with pytest.raises(ValueError, match="is partial"):
        Classifier.load(tmp_path / "out")
    image = picture((224, 224))
    found = features(tmp_path / "out", image)
    for name in ("conv1_1", "pool5"):
        expected = apply(net.features[: ENDPOINTS[name]], features_input(image))
        assert error(found[name], expected) < 1e-4, name


FCNS = {
    "voc-fcn32s": (32, {}, ".npz", True),
    "voc-fcn16s": (16, {}, ".pth", True),
    "voc-fcn8s": (8, {}, ".npz", False),
    "voc-fcn8s-atonce": (8, {"at_once": True}, ".pth", True),
}
"""Stride, further arguments, suffix, whether upsampling is bilinear."""


@pytest.mark.slow
@pytest.mark.parametrize("case", FCNS)
def test_ports_of_the_fcns_score_as_in_torch(case, tmp_path):
    """Oracle: pytorch-fcn's net in torch at an odd size; random score layers."""
    stride, arguments, suffix, fixed = FCNS[case]
    net = randomize(FCN(stride, len(CLASSES), **arguments), 7, 60.0)
    layers = dict(net.named_children())
    with torch.no_grad():
        for name, layer in layers.items():
            if fixed and name.startswith("upscore"):
                layer.weight.copy_(bilinear(len(CLASSES), layer.kernel_size[0]))
        if "at_once" in arguments:  # so that the factors leave the skips visible
            net.score_pool4.weight *= 100
            net.score_pool3.weight *= 10_000
    file = save(net, tmp_path / f"net{suffix}")
    report = convert_file(file, tmp_path / "out", net=case, **NARROW)
    assert report.origin == "wkentaro"
    ours = store.load(tmp_path / "out").params
    assert any("upscore" in path for path in ours) == (not fixed)
    image = picture((43, 58))
    scores = Segmenter.load(tmp_path / "out").scores(image)["semantic"]
    assert error(scores, apply(net, WKENTARO(image))) < 1e-4


def _alexnet() -> dict:
    """The names of torchvision's alexnet."""
    layers = [f"features.{n}" for n in (0, 3, 6, 8, 10)]
    return dict.fromkeys([*layers, *(f"classifier.{n}" for n in (1, 4, 6))], False)


def _vgg16_bn() -> dict:
    """The names of torchvision's vgg16_bn; True is a batch normalisation."""
    convolutions = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
    layers: dict[str, bool] = {}
    for number in convolutions:
        layers |= {f"features.{number}": False, f"features.{number + 1}": True}
    return layers | dict.fromkeys([f"classifier.{n}" for n in (0, 3, 6)], False)


def _googlenet() -> dict:
    """Some of the names of torchvision's googlenet."""
    blocks = ("conv1", "conv2", "inception3a.branch1", "inception3a.branch3.1")
    layers = {f"{block}.conv": False for block in blocks}
    return layers | {f"{block}.bn": True for block in blocks} | {"fc": False}


REFUSED = {
    "alexnet": (
        _alexnet,
        "caffenet",
        "torchvision's AlexNet .* not the papers' AlexNet",
    ),
    "vgg16_bn": (_vgg16_bn, "vgg16", "batch normalisation"),
    "googlenet": (_googlenet, "googlenet", "GoogLeNet with batch normalisation.*5x5"),
}


@pytest.mark.parametrize("origin", ["", "torchvision"])
@pytest.mark.parametrize("case", REFUSED)
def test_other_nets_of_torchvision_are_refused(case, origin, tmp_path):
    """Oracle: their published names; the reason is said and nothing is left behind."""
    layers, net, reason = REFUSED[case]
    state = {}
    for name, normalises in layers().items():
        state[f"{name}.weight"] = torch.ones(2)
        state[f"{name}.bias"] = torch.ones(2)
        if normalises:
            state[f"{name}.running_mean"] = torch.zeros(2)
            state[f"{name}.running_var"] = torch.ones(2)
            state[f"{name}.num_batches_tracked"] = torch.tensor(5)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=reason):
        convert_file(tmp_path / "net.pth", tmp_path / "out", net=net, origin=origin)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]
