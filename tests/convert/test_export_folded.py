"""Nets with batch normalisation for PyTorch: folded, with the same scores."""

from pathlib import Path

import numpy as np
import pytest

from fcn_jax import Segmenter
from fcn_jax.checkpoints import store
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.convert.export import FOLDED, export_checkpoint
from fcn_jax.convert.target import convert_file
from tests.convert.saved_nets import CLASSES, picture, save
from tests.convert.test_export import bgr, load
from tests.convert.torch_nets import FCN, apply, error, torch

pytestmark = pytest.mark.usefixtures("compiled_once")


def _save(directory: Path, **model) -> Path:
    """A checkpoint of a net with batch normalisation, and random running statistics."""
    plain = save(directory / "drawn", normalization="batch", **model)
    found = store.load(plain)
    rng = np.random.default_rng(12)
    params, statistics = dict(found.params), {}
    for path, value in found.params.items():
        if path.endswith("_bn.scale"):
            draw = rng.uniform(0.5, 1.5, (2, *value.shape)).astype(np.float32)
            layer = path.removesuffix(".scale")
            params[path] = draw[0]
            statistics[f"batch_stats.{layer}.var"] = 3000 * draw[1]
            mean = rng.normal(0, 30, value.shape)
            statistics[f"batch_stats.{layer}.mean"] = mean.astype(np.float32)
    CheckpointStore(directory / "run").save(
        7, params=params, optimizer={}, collections=statistics, record=found.record
    )
    return directory / "run"


@pytest.mark.slow
def test_vgg16_is_pytorch_fcns_net(tmp_path):
    """Oracle: pytorch-fcn's net in torch, loaded strictly; it has no normalisation."""
    run = _save(tmp_path, stride=8)
    summary = export_checkpoint(run, tmp_path / "net.pth")
    assert summary.endswith(FOLDED)
    net = FCN(8, len(CLASSES))
    net.load_state_dict(load(tmp_path / "net.pth"), strict=True)
    image = picture(1)
    scores = Segmenter.load(run).scores(image)["semantic"]
    assert scores.std() > 0
    assert error(scores, apply(net, bgr(image))) < 1e-4


def _alexnet(weights):
    """CaffeNet in torch without local response normalisation; crop 18."""
    functions = torch.nn.functional

    def conv(name, x, **own):
        y = functions.conv2d(
            x, weights[f"{name}.weight"], weights[f"{name}.bias"], **own
        )
        return y if name == "score_fr" else torch.relu(y)

    def pool(x):
        return functions.max_pool2d(x, 3, 2, ceil_mode=True)

    def forward(x):
        rows, columns = x.shape[2:]
        x = pool(conv("conv1", x, stride=4, padding=100))
        x = pool(conv("conv2", x, padding=2, groups=2))
        x = conv("conv4", conv("conv3", x, padding=1), padding=1, groups=2)
        x = pool(conv("conv5", x, padding=1, groups=2))
        x = conv("score_fr", conv("fc7", conv("fc6", x)))
        x = functions.conv_transpose2d(x, weights["upscore.weight"], stride=32)
        return x[:, :, 18 : 18 + rows, 18 : 18 + columns]

    return forward


def test_alexnet_has_no_normalisation_left(tmp_path):
    """Oracle: the net in torch, and the file converted back to a net that says so."""
    run = _save(tmp_path, backbone="alexnet")
    summary = export_checkpoint(run, tmp_path / "net.pth")
    assert "FCN-32s on alexnet without normalisation" in summary
    image = picture(7)
    scores = Segmenter.load(run).scores(image)["semantic"]
    expected = apply(_alexnet(load(tmp_path / "net.pth")), bgr(image))
    assert error(scores, expected) < 1e-4
    convert_file(tmp_path / "net.pth", tmp_path / "back")
    back = Segmenter.load(tmp_path / "back")
    assert error(back.scores(image)["semantic"], expected) < 1e-4
    spec = store.load(tmp_path / "back").record["spec"]
    assert spec["options"] == [["order", "pool-norm"], ["normalization", "none"]]


@pytest.mark.slow
def test_googlenet_has_the_names_of_caffe(tmp_path):
    """Oracle: the layers of the net that is trained without normalisation; the formula."""
    run = _save(tmp_path, backbone="googlenet", padding="same")
    export_checkpoint(run, tmp_path / "net.safetensors")
    save(tmp_path / "plain", backbone="googlenet", padding="same", normalization="none")
    export_checkpoint(tmp_path / "plain", tmp_path / "plain.safetensors")
    found, plain = (load(tmp_path / f"{n}.safetensors") for n in ("net", "plain"))
    assert {n: own.shape for n, own in found.items()} == {
        n: own.shape for n, own in plain.items()
    }
    stored = store.load(run)
    layer = "trunk.inception_3a.3x3"
    scale, bias = (stored.params[f"{layer}_bn.{name}"] for name in ("scale", "bias"))
    mean, var = (
        stored.collections[f"batch_stats.{layer}_bn.{name}"] for name in ("mean", "var")
    )
    factor = scale / np.sqrt(var + 1e-5)
    kernel = (stored.params[f"{layer}.kernel"] * factor).transpose(3, 2, 0, 1)
    name = "inception_3a/3x3"
    np.testing.assert_allclose(found[f"{name}.weight"], kernel, rtol=1e-5)
    np.testing.assert_allclose(found[f"{name}.bias"], bias - factor * mean, rtol=1e-4)
