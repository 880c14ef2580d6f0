"""A trunk as one file: what is in it, what damage does, and nets that start from it."""

import json
import shutil

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fcn_jax.checkpoints import trunk_file
from fcn_jax.checkpoints.load_model import read_checkpoint
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.checkpoints.stored import CheckpointError
from fcn_jax.checkpoints.trunk_file import read_trunk, write_trunk
from fcn_jax.config import to_dict
from fcn_jax.convert.__main__ import main as convert
from fcn_jax.experiment import reading
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.main import main
from fcn_jax.params.paths import flatten
from fcn_jax.runtime import shipped as shipped_files
from fcn_jax.training import initialize
from tests import tiny
from tests.drawn_classifier import draw_classifier

CLASSES = ("cat", "dog", "egg")
LEAVE = ("head.*", "trunk.fc6*", "trunk.fc7*")


def _config():
    config = tiny.get_config()
    config.model.normalization = "batch"
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The work directory of a classifier with random arrays, and these arrays."""
    config = _config()
    spec, params, rest = draw_classifier("vgg16", len(CLASSES))
    records = reading.read_preprocessing(config)
    record = {
        "version": 2,
        "spec": spec.to_dict(),
        "categories": list(CLASSES),
        "outputs": {},
        "preprocessing": {name: own.to_dict() for name, own in records.items()},
        "dtype": "float32",
        "origins": {},
        "config": to_dict(config),
    }
    directory = tmp_path_factory.mktemp("run")
    CheckpointStore(directory / "checkpoints").save(
        7, params=params, collections=rest, optimizer={}, record=record, score=0.75
    )
    return directory, params, rest


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    """The directory in which the package has its trunks."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(shipped_files, "directory", lambda name: folder)
    return folder


@pytest.mark.parametrize("dtype", trunk_file.DTYPES)
def test_what_a_file_holds(run, tmp_path, dtype, capsys):
    """Oracle: the arrays that were drawn, rounded by NumPy; the library reads the file."""
    directory, params, rest = run
    file = tmp_path / "x.safetensors"
    words = [f"--leave={','.join(LEAVE)}", f"--dtype={dtype}", "--note=a b"]
    assert convert(["trunk", str(directory), str(file), *words]) == 0
    assert f"values in {dtype} are in {file}" in capsys.readouterr().out
    found = read_trunk(file)
    kept = {p: v for p, v in params.items() if "conv" in p}
    assert found.params.keys() == kept.keys()
    assert found.collections.keys() == {p for p in rest if "conv" in p}
    for own, theirs in ((found.params, kept), (found.collections, rest)):
        for path, value in own.items():
            assert value.dtype == np.float32
            expected = theirs[path].astype(dtype).astype(np.float32)
            np.testing.assert_array_equal(value, expected)
    assert (found.step, found.score, found.optimizer) == (7, 0.75, None)
    assert found.record["categories"] == list(CLASSES)
    assert "config" not in found.record
    assert {value.dtype for value in load_file(file).values()} == {np.dtype(dtype)}
    with safe_open(file, framework="numpy") as opened:
        assert opened.metadata()["note"] == "a b"


def test_any_change_is_found(run, tmp_path):
    """Oracle: one value, one name, the record and the bytes changed in turn."""
    file = tmp_path / "x.safetensors"
    write_trunk(run[0], file, leave=LEAVE)
    arrays = load_file(file)
    with safe_open(file, framework="numpy") as opened:
        metadata = dict(opened.metadata())
    save_file(arrays, tmp_path / "same.safetensors", metadata=metadata)
    read_trunk(tmp_path / "same.safetensors")
    name = "params/trunk.conv1_1.kernel"
    value = arrays[name].copy()
    value.flat[0] = 2
    record = json.loads(metadata["record"]) | {"categories": ["a", "b", "c"]}
    changes = {
        "value": (arrays | {name: value}, metadata),
        "name": (arrays | {"params/trunk.conv9.kernel": value}, metadata),
        "record": (arrays, metadata | {"record": json.dumps(record)}),
        "score": (arrays, metadata | {"score": "0.99"}),
        "none": (arrays, {}),
    }
    for change, (own, words) in changes.items():
        other = tmp_path / f"{change}.safetensors"
        save_file(own, other, metadata=words)
        with pytest.raises(CheckpointError, match="differs from its own digest"):
            read_trunk(other)
    whole = file.read_bytes()
    for content in (b"", whole[:200], whole[:-9], b"x" * 999):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"x\.safetensors cannot be read"):
            read_trunk(file)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_trunk(tmp_path / "missing.safetensors")


@pytest.mark.slow
def test_an_fcn_starts_from_a_trunk_of_the_package(run, shipped):
    """Oracle: the file's arrays; what it lacks is initialised."""
    directory, params, rest = run
    write_trunk(directory, shipped / "cats.safetensors", leave=LEAVE)
    config = _config()
    config.recipe = "fine-tune"
    config.init_from = "package:cats"
    config.checks.untrained_trunk = False  # fc6 and fc7 were left out
    config.init_new = ("head.*", "trunk.fc6*", "trunk.fc7*")
    state, origins = initialize.initial_state(Experiment.from_config(config), None)
    given = {path for path, origin in origins.items() if origin != "initialised"}
    assert given == {path for path in params if "conv" in path}
    own = flatten({"params": state.params, **state.collections})
    for path in given:
        expected = params[path].astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(own[f"params.{path}"], expected, err_msg=path)
    for path in (path for path in rest if "conv" in path):
        expected = rest[path].astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(own[path], expected, err_msg=path)


def test_names_of_the_package(run, shipped):
    """Oracle: the files that lie there."""
    assert shipped_files.trunks() == ()
    with pytest.raises(ValueError, match="package:dogs does not .* which has none"):
        read_checkpoint("package:dogs")
    write_trunk(run[0], shipped / "cats.safetensors", leave=LEAVE)
    shutil.copy(shipped / "cats.safetensors", shipped / "ants.safetensors")
    assert shipped_files.trunks() == ("ants", "cats")
    with pytest.raises(ValueError, match="which has package:ants, package:cats"):
        read_checkpoint("package:../cats")
    assert read_checkpoint("package:cats").step == 7
    assert read_checkpoint(str(run[0])).step == 7


def test_a_file_of_ones_own_is_a_start(run, tmp_path):
    """Oracle: the arrays; other weights are no trunk, and are refused as before."""
    file = tmp_path / "own.safetensors"
    write_trunk(run[0], file, leave=LEAVE)
    assert read_checkpoint(str(file)).step == 7
    other = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(2)}, other)
    words = [f"--config={tiny.__file__}", f"--workdir={tmp_path / 'run'}"]
    with pytest.raises(
        ValueError, match="other.safetensors, a file; a checkpoint is a"
    ):
        main([*words, f"--config.init_from={other}"])
    with pytest.raises(ValueError, match="other.safetensors, a file"):
        read_checkpoint(str(other))
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 99)
    assert not shipped_files.is_trunk(str(tmp_path / "bad.safetensors"))


def test_the_command_refuses_an_unknown_name(shipped, tmp_path):
    """Oracle: one sentence before anything is written."""
    path = tiny.__file__
    words = [f"--config={path}", "--config.init_from=package:x", "--config.steps=1"]
    with pytest.raises(ValueError, match="package:x does not come with the package"):
        main([*words, f"--workdir={tmp_path / 'run'}"])
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_written_is_a_sentence(run, tmp_path):
    """Oracle: the rules of the documentation; nothing is left."""
    for name, words, sentence in (
        ("x.npz", {}, "does not end in .safetensors"),
        ("x.safetensors", {"dtype": "int8"}, "must be one of float16, float32"),
        ("x.safetensors", {"leave": ("*",)}, "leave no parameter"),
    ):
        with pytest.raises(ValueError, match=sentence):
            write_trunk(run[0], tmp_path / name, **{"leave": LEAVE, **words})
    for name, value in (("mean", 1e6), ("var", 1e-9)):
        with pytest.raises(ValueError, match="float16 cannot hold .*--dtype=float32"):
            trunk_file._cast(f"bn.{name}", np.array([1, value]), "float16")
    (tmp_path / "y.safetensors").touch()
    with pytest.raises(ValueError, match="y.safetensors exists"):
        write_trunk(run[0], tmp_path / "y.safetensors", leave=LEAVE)
    assert [path.name for path in tmp_path.iterdir()] == ["y.safetensors"]
