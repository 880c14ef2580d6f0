"""The trunk that comes with the package: its file, its card, its scores."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_jax import config as defaults
from fcn_jax.checkpoints.load_model import load_model, read_checkpoint
from fcn_jax.data.imagenet import imagenet_classes
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.models.heads import CLASSIFIER_OUTPUT
from fcn_jax.params.paths import flatten
from fcn_jax.predict import main as predict
from fcn_jax.runtime import shipped
from fcn_jax.training import initialize

PACKAGED = "package:googlenet_half"
PICTURES = Path(__file__).parent / "pictures"
NAMES = ("astronaut", "chelsea", "coffee")
SCORES = {
    "astronaut": (
        -1.602204,
        -1.969190,
        -0.087515,
        3.172320,
        -0.390859,
        2.442226,
        -1.122558,
        0.177360,
        -1.593086,
        -0.450012,
    ),
    "chelsea": (
        -0.993427,
        0.019367,
        -1.767781,
        1.050813,
        1.109770,
        2.029310,
        -1.408032,
        -1.354931,
        0.024722,
        0.191366,
    ),
    "coffee": (
        -0.544897,
        -1.888616,
        1.318355,
        0.786220,
        -2.334780,
        2.291752,
        -1.032478,
        0.574650,
        0.176374,
        -0.372109,
    ),
}
"""Of torch in float64, as `test_scores_equal_torch` has them."""


def _pixels(name):
    return np.asarray(Image.open(PICTURES / f"{name}.png").convert("RGB"))


def test_file():
    """Oracle: hashlib and the digest on its card; four megabytes; ImageNet's names."""
    file = shipped.trunk(PACKAGED)
    content = file.read_bytes()
    card = (file.parent / "README.md").read_text()
    assert hashlib.sha256(content).hexdigest() in card
    assert len(content) < 4 * 2**20
    found = read_checkpoint(PACKAGED)
    assert f"{found.score:.3f}" in card
    assert set(found.record["categories"]) <= set(imagenet_classes())
    assert not [name for name in found.params if "loss1" in name or "loss2" in name]


def test_scores():
    """Oracle: stored scores, of torch."""
    model, variables, record, *_ = load_model(PACKAGED, classifier=True)
    assert set(SCORES) == set(NAMES)
    for name, expected in SCORES.items():
        pixels = {"color": _pixels(name)[None].astype(np.float32)}
        ready = preprocess(pixels, record.preprocessing, np.float32)
        maps = model.apply(variables, ready, train=False)
        scores = np.asarray(maps[CLASSIFIER_OUTPUT].values)[0].mean(axis=(0, 1))
        np.testing.assert_allclose(scores, expected, rtol=0, atol=2e-4)


def test_scores_equal_torch():
    """Oracle: GoogLeNet in torch, in float64, on the file's arrays."""
    torch = pytest.importorskip("torch")
    from tests.models import torch_classifiers

    _, variables, record, *_ = load_model(PACKAGED)
    net = torch_classifiers.TorchClassifier(variables, train=False)
    (color,) = record.preprocessing.values()
    for name in NAMES:
        pixels = (_pixels(name) - np.array(color.mean)) * color.scale
        given = torch.tensor(pixels.transpose(2, 0, 1)[None])
        (scores,) = torch_classifiers.googlenet(net, [given], "same").values()
        scores = scores.detach().numpy()[0]
        np.testing.assert_allclose(scores, SCORES[name], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_folder_starts_from_it(tmp_path):
    """Oracle: the file's arrays, one by one; only the head is new."""
    from benchmarks.pictures import draw_folder
    from fcn_jax.launch.experiment_files import find, load

    draw_folder(tmp_path / "own", 4, (64, 96))
    (tmp_path / "own" / "splits" / "train.txt").write_text("0\n1\n")
    (tmp_path / "own" / "splits" / "val.txt").write_text("2\n3\n")
    config = load(find(f"folder:{tmp_path / 'own'},small"))
    defaults.validate(config)
    with config.unlocked():
        config.devices = 1
    state, origins = initialize.initial_state(Experiment.from_config(config), None)
    found = read_checkpoint(PACKAGED)
    new = {name for name, origin in origins.items() if origin == "initialised"}
    assert {name.split(".")[0] for name in new} == {"head"}
    own = flatten({"params": state.params, **state.collections})
    given = {f"params.{name}": value for name, value in found.params.items()}
    given |= found.collections
    assert {name for name in own if ".trunk." in name} <= given.keys()
    for name, value in given.items():
        if not name.startswith("params.head."):
            np.testing.assert_array_equal(own[name], value, err_msg=name)


@pytest.mark.slow
def test_it_classifies(tmp_path, capsys):
    """Oracle: the stored scores; their highest classes are named."""
    words = [f"--output={tmp_path / 'out'}", "--classify", str(PICTURES)]
    assert predict([f"--checkpoint={PACKAGED}", *words]) == 0
    said = capsys.readouterr().out
    categories = read_checkpoint(PACKAGED).record["categories"]
    for name, scores in SCORES.items():
        assert f"{name}.png" in said
        assert categories[int(np.argmax(scores))] in said
    with pytest.raises(ValueError, match="package:x does not come with the package"):
        predict(["--checkpoint=package:x", *words])
