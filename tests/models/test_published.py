"""The nineteen nets of Caffe, converted from files of their own format, score by score.

The oracles are torch networks on the blobs of the same files, in Caffe's layout and on
BGR images: see caffe_nets.py. The files are written byte by byte from the facts of the
wire format. Everything is a sixteenth as wide as published.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fcn_jax import Classifier, Segmenter
from fcn_jax.checkpoints.store import load
from fcn_jax.convert.report import Report
from fcn_jax.convert.target import convert_file
from fcn_jax.models.published import NETS
from tests.convert import caffe_nets
from tests.convert.caffe_nets import CLASSIFIERS, FCNS, NATIVE_SIZE, CaffeNet, torch
from tests.convert.caffemodel_writer import caffemodel

WIDTH = 1 / 16
TOLERANCE = 1e-4
"""Of the scores' standard deviation; float32 gives some 1e-6."""
NOTICED = 1e-2
"""What a mistake has to change at least, in the same unit."""

SIZE = (45, 61)
LARGER = (260, 300)
INPUTS = {
    "nyud-fcn32s-hha": ("hha",),
    "nyud-fcn32s-color-d": ("color", "depth"),
    "nyud-fcn32s-color-hha": ("color", "hha"),
}
EVERY_LAYER = (
    "voc-fcn8s-atonce",
    "voc-fcn-alexnet",
    "nyud-fcn32s-color-d",
    "nyud-fcn32s-color-hha",
    "siftflow-fcn8s",
    "vgg16",
    "caffenet",
    "googlenet",
)
"""Nets that have every kind of layer, and every name, among them."""
Scores = dict[str, np.ndarray]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Small layers on many threads wait for one another on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _images(size: tuple[int, ...] = SIZE) -> dict[str, np.ndarray]:
    """Stored pixels that no flip of any axis leaves as they are."""
    rng = np.random.default_rng(size)
    return {
        "color": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "hha": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "depth": rng.uniform(500, 9_000, size).astype(np.float32),
    }


def _expected(net: CaffeNet, name: str, images: dict[str, np.ndarray]) -> Scores:
    """Scores `[H, W, K]` of the torch net, which draws what blobs `net` lacks."""
    if name in CLASSIFIERS:
        found = {"imagenet": CLASSIFIERS[name](net, images)}
    else:
        found = FCNS[name](net, images)
    return {key: x[0].permute(1, 2, 0).numpy() for key, x in found.items()}


def _converted(
    net: CaffeNet, name: str, directory: Path, *, v1: bool = False, title: str = ""
) -> tuple[Path, Report]:
    """A file of the net's blobs, and what the package makes of it."""
    source, target = directory / f"{name}.file", directory / f"{name}.converted"
    title = title or caffe_nets.TITLES.get(name, name)
    source.write_bytes(caffemodel(net.blobs, net.kinds, v1=v1, name=title))
    return target, convert_file(source, target, net=name, width=WIDTH)


def _scores(name: str, target: Path, images: dict[str, np.ndarray]) -> Scores:
    """What the package's own users get."""
    if name in CLASSIFIERS:
        return {"imagenet": Classifier.load(target).scores(images["color"])}
    if name not in INPUTS:
        return Segmenter.load(target).scores(images["color"])
    return Segmenter.load(target).scores({key: images[key] for key in INPUTS[name]})


def _difference(found: Scores, expected: Scores) -> float:
    """Largest difference of any output, in deviations of the expected scores."""
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key].shape == values.shape
    return max(
        float(np.abs(found[key] - values).max() / values.std())
        for key, values in expected.items()
    )


def test_the_oracles_are_all_nets():
    """Oracle: the directories of the reference repository, and four classifiers."""
    assert sorted(NETS) == sorted([*FCNS, *CLASSIFIERS])
    assert (len(FCNS), len(CLASSIFIERS)) == (15, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", FCNS)
def test_an_fcn_scores_like_caffe(name, tmp_path):
    """Oracle: the torch net in float64."""
    net, images = CaffeNet(seed=0), _images()
    expected = _expected(net, name, images)
    target, report = _converted(net, name, tmp_path)
    assert _difference(_scores(name, target, images), expected) < TOLERANCE
    blobs = [f"{x}[{i}]" for x, own in net.blobs.items() for i in range(len(own))]
    upsampling = [blob for blob in blobs if blob.startswith("up")]
    assert sorted([*(row.source for row in report.copied), *report.checked]) == sorted(
        blobs
    )
    assert set(upsampling) == {x for x in report.checked if not x.startswith("scale")}
    assert not report.missing
    assert not report.unused


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_scores_like_caffe(name, tmp_path):
    """Oracle: the torch net with inner products, at its own size and window by window.

    V1 files have the same arrays, with four axes each.
    """
    net, images = CaffeNet(seed=0), _images((NATIVE_SIZE[name],) * 2)
    expected = _expected(net, name, images)
    assert expected["imagenet"].shape == (1, 1, 1000)
    target, _ = _converted(net, name, tmp_path)
    assert _difference(_scores(name, target, images), expected) < TOLERANCE
    larger = _images(LARGER)
    expected = _expected(net, name, larger)
    assert min(expected["imagenet"].shape[:2]) > 1
    assert _difference(_scores(name, target, larger), expected) < TOLERANCE
    (tmp_path / "v1").mkdir()
    legacy, report = _converted(net, name, tmp_path / "v1", v1=True)
    assert report.format == "caffemodel (V1)"
    params, others = load(target).params, load(legacy).params
    assert params.keys() == others.keys()
    for path, value in params.items():
        np.testing.assert_array_equal(others[path], value)


@pytest.mark.slow
def test_googlenets_auxiliary_classifiers_are_left_out(tmp_path):
    """Oracle: the torch net, which does not have them; the loss1 of the file is broken."""
    net, images = CaffeNet(seed=0), _images((224, 224))
    expected = _expected(net, "googlenet", images)
    for layer in ("loss1/conv", "loss1/classifier", "loss2/fc"):
        net.blobs[layer] = [np.full((3, 5), np.nan, np.float32), np.ones(3, np.float32)]
    target, report = _converted(net, "googlenet", tmp_path)
    assert _difference(_scores("googlenet", target, images), expected) < TOLERANCE
    assert set(report.unused) == {
        f"{layer}[{index}]"
        for layer in ("loss1/conv", "loss1/classifier", "loss2/fc")
        for index in (0, 1)
    }


# Kernels of deconvolutions, factors of skips ----------------------------------------


def _replace_deconvolutions(net: CaffeNet, make: Callable[..., np.ndarray]) -> None:
    for layer, kind in net.kinds.items():
        if kind == "Deconvolution":
            net.blobs[layer] = [make(net.blobs[layer][0])]


def _diagonal(blob: np.ndarray) -> np.ndarray:
    """The same deconvolution with a group for each channel: `[C, 1, k, k]`."""
    channels = np.arange(len(blob))
    return blob[channels, channels][:, None]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["voc-fcn8s", "siftflow-fcn8s"])
def test_learned_deconvolutions_are_kept(name, tmp_path):
    """Oracle: the torch net with dense kernels without any symmetry."""
    net, images = CaffeNet(seed=0), _images()
    fixed = _expected(net, name, images)
    rng = np.random.default_rng(1)
    _replace_deconvolutions(
        net,
        lambda blob: (blob + rng.normal(0, 0.1, blob.shape)).astype(np.float32),
    )
    expected = _expected(net, name, images)
    assert _difference(fixed, expected) > NOTICED
    target, report = _converted(net, name, tmp_path)
    assert _difference(_scores(name, target, images), expected) < TOLERANCE
    params = load(target).params
    own = [layer for layer, kind in net.kinds.items() if kind == "Deconvolution"]
    assert len([path for path in params if path.startswith("head.upscore")]) == len(own)
    assert set(report.checked.values()) == {"not bilinear; kept as a parameter"}


def test_one_learned_deconvolution_keeps_the_fixed_ones(tmp_path):
    """Oracle: the file's kernels, [I, O, k, k]; one value of one is not bilinear."""
    net, images = CaffeNet(seed=0), _images()
    _expected(net, "voc-fcn8s", images)
    net.blobs["upscore_pool4"][0][3, 5, 1, 2] = 0.5
    target, report = _converted(net, "voc-fcn8s", tmp_path)
    assert report.checked == {
        "upscore2[0]": "the bilinear kernel; kept as a parameter",
        "upscore_pool4[0]": "not bilinear; kept as a parameter",
        "upscore8[0]": "the bilinear kernel; kept as a parameter",
    }
    params = load(target).params
    for layer in ("upscore2", "upscore_pool4", "upscore8"):
        expected = np.einsum("iohw->hwio", net.blobs[layer][0])
        np.testing.assert_array_equal(params[f"head.{layer}"], expected)


@pytest.mark.slow
def test_deconvolutions_of_one_group_a_channel(tmp_path):
    """Oracle: the torch net with grouped deconvolutions that are not bilinear."""
    net, images = CaffeNet(seed=0), _images()
    _expected(net, "voc-fcn8s", images)
    rng = np.random.default_rng(1)

    def other(blob):
        own = _diagonal(blob)
        return own * rng.uniform(0.5, 1.5, own.shape).astype(np.float32)

    _replace_deconvolutions(net, other)
    expected = _expected(net, "voc-fcn8s", images)
    target, report = _converted(net, "voc-fcn8s", tmp_path)
    assert _difference(_scores("voc-fcn8s", target, images), expected) < TOLERANCE
    assert set(report.checked.values()) == {"not bilinear; kept as a parameter"}


def test_other_forms_of_the_same_fixed_layers(tmp_path):
    """Oracle: parameters of the file with dense kernels and a factor a channel."""
    name = "voc-fcn8s-atonce"
    net = CaffeNet(seed=0)
    _expected(net, name, _images())
    target, report = _converted(net, name, tmp_path)
    for layer in ("scale_pool4", "scale_pool3"):
        net.blobs[layer] = [net.blobs[layer][0][:1]]
    _replace_deconvolutions(net, _diagonal)
    (tmp_path / "other").mkdir()
    other, same = _converted(net, name, tmp_path / "other")
    assert report.checked == same.checked
    assert report.checked["upscore8[0]"] == "the bilinear kernel; fixed here too"
    assert report.checked["scale_pool3[0]"] == "the factor 0.0001, kept"
    params, others = load(target).params, load(other).params
    assert params.keys() == others.keys()
    assert not any(path.startswith("head.upscore") for path in params)
    for path, value in params.items():
        np.testing.assert_array_equal(others[path], value)


@pytest.mark.slow
def test_other_factors_of_the_at_once_net(tmp_path):
    """Oracle: the torch net, which applies the file's factors to pool4 and pool3."""
    name = "voc-fcn8s-atonce"
    net, images = CaffeNet(seed=0), _images()
    published = _expected(net, name, images)
    (factors,) = net.blobs["scale_pool4"]
    others = np.random.default_rng(1).uniform(-1, 3, factors.shape) * factors
    net.blobs["scale_pool4"] = [others.astype(np.float32)]
    net.blobs["scale_pool3"] = [np.asarray([0.00025], np.float32)]
    expected = _expected(net, name, images)
    assert _difference(published, expected) > NOTICED
    target, report = _converted(net, name, tmp_path)
    assert _difference(_scores(name, target, images), expected) < TOLERANCE
    for layer, factor in (("scale_pool4", "0.01"), ("scale_pool3", "0.0001")):
        words = f"not {factor}: folded into the score layer"
        assert report.checked[f"{layer}[0]"] == words


# What the oracles would notice ------------------------------------------------------


def _turned(blob: np.ndarray) -> np.ndarray:
    """A kernel with two axes exchanged or its inputs reversed; a bias negated."""
    if blob.ndim == 1:
        return -blob
    return blob.swapaxes(2, 3) if blob[0, 0].size > 1 else np.flip(blob, axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_LAYER)
def test_every_blob_counts(name):
    """Oracle: the torch net with one blob turned, grouped deconvolutions for speed."""
    size = (NATIVE_SIZE[name],) * 2 if name in CLASSIFIERS else SIZE
    net, images = CaffeNet(seed=0), _images(size)
    expected = _expected(net, name, images)
    _replace_deconvolutions(net, _diagonal)
    for layer, blobs in net.blobs.items():
        if net.kinds[layer] in ("Deconvolution", "Scale"):
            continue
        for index, blob in enumerate(list(blobs)):
            blobs[index] = _turned(blob)
            found = _difference(_expected(net, name, images), expected)
            assert found > 10 * TOLERANCE, f"{layer}[{index}]: {found}"
            blobs[index] = blob


@pytest.mark.slow
@pytest.mark.parametrize("name", FCNS)
def test_every_input_counts(name):
    """Oracle: the torch net on images with the channels the other way round."""
    net, images = CaffeNet(seed=0), _images()
    expected = _expected(net, name, images)
    for key in INPUTS.get(name, ("color",)):
        other = images[key][::-1] if key == "depth" else images[key][..., ::-1]
        turned = {**images, key: other}
        assert _difference(_expected(net, name, turned), expected) > NOTICED


def test_the_orders_of_alexnet_and_caffenet_differ():
    """Oracle: the two torch nets on the same blobs."""
    net, images = CaffeNet(seed=0), _images((227, 227))
    alexnet = _expected(net, "alexnet", images)
    caffenet = _expected(net, "caffenet", images)
    assert _difference(caffenet, alexnet) > NOTICED


def test_inner_products_read_channels_first():
    """Oracle: the torch net whose fc6 reads (H, W, C)."""
    net, images = CaffeNet(seed=0), _images((224, 224))
    expected = _expected(net, "vgg16", images)
    weight = net.blobs["fc6"][0]
    channels_last = weight.reshape(-1, 7, 7, 32).transpose(0, 3, 1, 2)
    net.blobs["fc6"][0] = channels_last.reshape(weight.shape)
    assert _difference(_expected(net, "vgg16", images), expected) > NOTICED
