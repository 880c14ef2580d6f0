"""Exported files: their metadata, and what is refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fcn_jax.checkpoints import store
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.convert.export import export_checkpoint
from tests.convert.saved_nets import CLASSES, MEAN, save
from tests.convert.torch_nets import torch

safetensors = pytest.importorskip("safetensors.torch", reason="it reads the files")


def _metadata(file: Path) -> dict[str, str]:
    """The header of a .safetensors file, read by hand."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        return json.loads(opened.read(length))["__metadata__"]


@pytest.mark.slow
def test_the_metadata_says_what_the_net_needs(tmp_path):
    """Oracle: the configuration, and the papers' crops and paddings."""
    save(tmp_path / "camvid", stride=8, at_once=True)
    export_checkpoint(tmp_path / "camvid", tmp_path / "net.safetensors")
    found = _metadata(tmp_path / "net.safetensors")
    assert found["format"] == "pt"
    assert found["net"] == "FCN-8s at-once on vgg16 of width 0.0625, 5 semantic classes"
    assert found["source"] == "camvid, step 7"
    assert found["input"] == (
        "BGR, 0..255, minus mean (104.007, 116.669, 122.679), then zero padding 100 in "
        "conv1_1"
    )
    assert found["at_once"] == (
        "the program multiplies pool4 by 0.01 and pool3 by 0.0001; the weights here are "
        "not scaled"
    )
    assert json.loads(found["classes"])["semantic"]["names"] == list(CLASSES.names)
    color = json.loads(found["preprocessing"])["color"]
    np.testing.assert_allclose(color["mean"], MEAN, rtol=1e-7)
    own = json.loads(found["configuration"])
    assert own["padding"] == "reference"
    assert own["fusion"] == "sum"
    assert own["at_once"] is True
    assert own["factors"] == {"pool4": 0.01, "pool3": 0.0001}
    assert own["crops"] == {"semantic": [5, 9, 31]}
    assert own["dropout_rate"] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"padding": "same"}, "padding 'same'"),
        ({"stride": 8, "fusion": "max"}, "max fusion"),
        ({"stride": 16, "at_once": True}, "at-once of stride 16"),
        ({"score_at": "pool4"}, "scores at pool4"),
    ],
)
def test_nets_that_pytorch_fcn_lacks_are_named(model, words, tmp_path):
    """Oracle: the classes that pytorch-fcn has."""
    save(tmp_path / "run", **model)
    summary = export_checkpoint(tmp_path / "run", tmp_path / "net.safetensors")
    assert words in summary
    assert "must do the same" in summary
    found = _metadata(tmp_path / "net.safetensors")
    pad = 1 if "padding" in model else 100
    assert found["input"].endswith(f"zero padding {pad} in conv1_1")


def test_what_cannot_be_exported_is_refused(tmp_path):
    """Oracle: one sentence each, and nothing written."""
    save(tmp_path / "run")
    net = tmp_path / "net.pth"
    net.write_bytes(b"mine")
    with pytest.raises(ValueError, match="exists; give another name"):
        export_checkpoint(tmp_path / "run", net)
    assert net.read_bytes() == b"mine"
    net.unlink()
    for name in ("net.npz", "net", "net.pt"):
        with pytest.raises(ValueError, match=r"NAME\.safetensors or NAME\.pth"):
            export_checkpoint(tmp_path / "run", tmp_path / name)
    found = store.load(tmp_path / "run")
    for change, words in (
        (
            {"network": "classifier", "categories": list(CLASSES.names)},
            "is an ImageNet classifier",
        ),
        ({"missing": ["trunk.fc6.kernel"]}, "is partial"),
    ):
        directory = tmp_path / words.split()[-1]
        record = {**found.record, **change}
        CheckpointStore(directory).save(
            1, params=found.params, optimizer={}, record=record
        )
        with pytest.raises(ValueError, match=words):
            export_checkpoint(directory, net)
    with pytest.raises(store.CheckpointError, match="no checkpoint"):
        export_checkpoint(tmp_path / "nothing", net)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "classifier",
        "partial",
        "run",
    ]


@pytest.mark.parametrize(
    ("library", "name"),
    [("torch", "net.pth"), ("safetensors.numpy", "net.safetensors")],
)
def test_a_missing_library_is_named(library, name, tmp_path, monkeypatch):
    """Oracle: Python's import, which None among the modules makes fail."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=f"pip install {library.partition('.')[0]}"):
        export_checkpoint(tmp_path / "run", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    """Oracle: the directory's contents after the disk is full."""

    def fail(content, path):
        Path(path).write_bytes(b"half a fi")
        raise OSError(28, "No space left on device", str(path))

    save(tmp_path / "run")
    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        export_checkpoint(tmp_path / "run", tmp_path / "net.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
