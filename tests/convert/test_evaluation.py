"""A converted net, scored by the command line on a miniature data set."""

import json

import numpy as np
import pytest
from PIL import Image

from fcn_jax.convert.target import convert_file
from fcn_jax.data.labels import IGNORE, VOC
from tests.convert.caffemodel_writer import caffemodel
from tests.test_experiments import EXPERIMENTS
from tests.training.commands import run_main

caffe_nets = pytest.importorskip(
    "tests.convert.caffe_nets", reason="the oracle is a torch network"
)
SIZES = ((40, 53), (61, 45), (47, 47))


def _numpy_scores(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """The four scores from all pixels at once, as the paper defines them."""
    truth = np.concatenate([truth.ravel() for truth, _ in pairs]).astype(int)
    found = np.concatenate([found.ravel() for _, found in pairs]).astype(int)
    truth, found = truth[truth != IGNORE], found[truth != IGNORE]
    accuracies, unions, shares = [], [], []
    for label in range(len(VOC)):
        right = np.sum((truth == label) & (found == label))
        there = np.sum(truth == label)
        union = there + np.sum(found == label) - right
        if there:
            accuracies.append(right / there)
        if union:
            unions.append(right / union)
            shares.append(there / truth.size)
    return {
        "pixel_accuracy": float(np.mean(truth == found)),
        "mean_accuracy": float(np.mean(accuracies)),
        "mean_iu": float(np.mean(unions)),
        "frequency_weighted_iu": float(np.dot(shares, unions)),
    }


@pytest.mark.slow
def test_a_converted_net_is_evaluated(tmp_path):
    """Oracle: the Caffe net in torch, and the scores' formulas in NumPy."""
    net = caffe_nets.CaffeNet(3)
    pairs, rng = [], np.random.default_rng(8)
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for index, size in enumerate(SIZES):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        scores = caffe_nets.FCNS["voc-fcn8s"](net, {"color": image})["semantic"]
        found = scores[0].numpy().argmax(axis=0).astype(np.uint8)
        # Half of the pixels are right, so that no score is next to nothing.
        noise = rng.integers(0, len(VOC), size, dtype=np.uint8)
        truth = np.where(rng.random(size) < 0.5, found, noise)
        truth[:2] = IGNORE
        pairs.append((truth, found))
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{index}.png")
        Image.fromarray(truth).save(tmp_path / "data" / "labels" / f"{index}.png")
    (tmp_path / "data" / "classes.txt").write_text("\n".join(VOC.names) + "\n")
    (tmp_path / "data" / "splits").mkdir()
    (tmp_path / "data" / "splits" / "train.txt").write_text("0\n")
    (tmp_path / "data" / "splits" / "val.txt").write_text("1\n2\n")
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(net.blobs, net.kinds))
    convert_file(
        tmp_path / "net.caffemodel", tmp_path / "net", net="voc-fcn8s", width=1 / 16
    )
    result = run_main(
        tmp_path / "compiled",
        f"--config={EXPERIMENTS / 'folder.py'}:{tmp_path / 'data'},small",
        "--mode=evaluate",
        "--config.evaluation.batch_size=2",
        f"--checkpoint={tmp_path / 'net'}",
        f"--workdir={tmp_path / 'scores'}",
    )
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "scores" / "scores.json").read_text())
    for name, value in _numpy_scores(pairs[1:]).items():
        assert record[name] == pytest.approx(value, abs=1e-12), name
    assert record["step"] == 0
