"""PyTorch's files as people have them: wrapped, and with other things beside."""

import argparse
import collections
import datetime
import pathlib

import numpy as np
import pytest

from fcn_jax.convert.readers.open_weights import open_weights

torch = pytest.importorskip("torch", reason="writes the files")

NAMES = ("conv1_1.weight", "conv1_1.bias", "score_fr.weight")


def tensors() -> dict:
    rng = np.random.default_rng(0)
    return {
        name: torch.tensor(rng.normal(size=(4, 3, 3, 3)[: 4 - 3 * ("bias" in name)]))
        for name in NAMES
    }


def adam() -> dict:
    layer = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def pytorch_fcn(state) -> dict:
    """As torchfcn.Trainer.validate saves it."""
    return {
        "epoch": 3,
        "iteration": 4000,
        "arch": "FCN32s",
        "optim_state_dict": adam(),
        "model_state_dict": state,
        "best_mean_iu": np.float64(0.6),
    }


BESIDE = {
    "numpy scalars": {"best": np.float32(0.5), "n": np.int64(3), "ok": np.bool_(True)},
    "Namespace": {"args": argparse.Namespace(lr=0.1, sizes=[1, (2, 3)], out=None)},
    "Counter": {"milestones": collections.Counter({30: 1, 60: 1})},
    "OrderedDict": {"log": collections.OrderedDict(a=1, b=2.0)},
    "defaultdict": {"meters": collections.defaultdict(list, {"loss": [1.0]})},
    "set": {"seen": {1, 2}, "kept": frozenset({"a"})},
    "array": {"means": np.arange(3.0), "names": np.array(["a", "b"])},
    "path": {"data": pathlib.PurePosixPath("/data")},
    "date": {"when": datetime.datetime(2020, 1, 2)},
    "type": {"dtype": torch.float32, "device": torch.device("cpu")},
    "scheduler": {"scheduler": {"milestones": collections.Counter([8, 11]), "gamma": 0.1}},
    "floats as keys": {"at": {0.5: "a", None: "b"}},
}  # fmt: skip


def check(path, expected=None):
    found = open_weights(path).arrays
    expected = tensors() if expected is None else expected
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", BESIDE)
def test_what_stands_beside_the_weights_is_not_looked_at(kind, zipped, tmp_path):
    """Oracle: the tensors that torch.save was given; both layouts."""
    content = {"state_dict": tensors(), **BESIDE[kind]}
    torch.save(content, tmp_path / "a", _use_new_zipfile_serialization=zipped)
    check(tmp_path / "a")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_checkpoint_of_pytorch_fcn(protocol, tmp_path):
    """Oracle: the tensors of its model, whatever protocol torch was told to take."""
    torch.save(pytorch_fcn(tensors()), tmp_path / "a", pickle_protocol=protocol)
    check(tmp_path / "a")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"net": state, "epoch": 3},
        lambda state: {"state_dict": {"model": state}},
        lambda state: {"weights": {f"module.{k}": v for k, v in state.items()}},
        lambda state: {"state_dict": {f"model._orig_mod.{k}": v for k, v in state.items()}},
        lambda state: {"model": {"state_dict": state, "arch": "vgg16"}, "optim": adam()},
    ],
)  # fmt: skip
def test_a_state_dictionary_is_found_in_others(wrap, tmp_path):
    """Oracle: the tensors and their names before they were wrapped."""
    torch.save(wrap(tensors()), tmp_path / "a")
    check(tmp_path / "a")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "net.module."])
def test_prefixes_in_safetensors(prefix, tmp_path):
    """Oracle: the tensors and their names without the prefix."""
    library = pytest.importorskip("safetensors.torch", reason="writes .safetensors")
    wrapped = {f"{prefix}{name}": value for name, value in tensors().items()}
    library.save_file(wrapped, tmp_path / "a")
    found = open_weights(tmp_path / "a").arrays
    assert {name: value.tobytes() for name, value in found.items()} == {
        name: value.numpy().tobytes() for name, value in tensors().items()
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_empty_tensors(zipped, tmp_path):
    """Oracle: the shapes that torch.save was given; neighbours keep their values."""
    state = {
        "a": torch.zeros(0),
        **tensors(),
        "b": torch.zeros(0, 3),
        "c": torch.zeros(2, 0, 5).half(),
        "d": torch.arange(6.0).reshape(2, 3)[:, :0],
    }
    torch.save(state, tmp_path / "a", _use_new_zipfile_serialization=zipped)
    found = open_weights(tmp_path / "a").arrays
    assert {n: v.shape for n, v in found.items()} == {
        n: tuple(v.shape) for n, v in state.items()
    }
    for name, tensor in tensors().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


def test_of_two_nets_it_is_said_which_is_read(tmp_path, caplog):
    """Oracle: the tensors of the first, and the key of the second in the log."""
    averaged = {name: 2 * tensor for name, tensor in tensors().items()}
    torch.save({"ema": averaged, "model": tensors()}, tmp_path / "a")
    check(tmp_path / "a")
    assert "the net under 'model' is read, and not those under 'ema'" in caplog.text
    caplog.clear()
    torch.save({"model": tensors(), "optimizer": adam()}, tmp_path / "a")
    check(tmp_path / "a")
    assert not caplog.text
