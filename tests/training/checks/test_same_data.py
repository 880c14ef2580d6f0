"""A run continues on its own data wherever they lie, and on no others."""

import hashlib
import json
import logging
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.config import changeable_keys, to_dict
from fcn_jax.data.sources.catalog import open_source
from fcn_jax.data.sources.subset import subset
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.experiment.reading import open_split
from fcn_jax.params.trees import flat_arrays
from fcn_jax.runs.workdir import check_resume
from fcn_jax.training import initialize
from fcn_jax.training.checks.same_data import check_same_data, earlier_fingerprint
from tests import tiny


def _folder(root, seed=0):
    """Ten images of noise whose labels all have equal byte counts; 04 and 09 are val."""
    rng = np.random.default_rng(seed)
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    (root / "classes.txt").write_text("ground\nbox\nwall\n")
    for index in range(10):
        image = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / "images" / f"{index:02d}.png")
        labels = np.full((40, 36), index % 2, np.uint8)
        labels[:20] = 2
        file = root / "labels" / f"{index:02d}.png"
        Image.fromarray(labels).save(file, compress_level=0)
    return root


def _position(root, step=3, names=()):
    """What a checkpoint stores of a folder, and its training split."""
    train, val = (open_source("folder", s, folder=str(root)) for s in ("train", "val"))
    if names:
        train, val = (subset(own, names, "ignore") for own in (train, val))
    return {
        "images": step,
        "train": train.fingerprint,
        "length": len(train),
        "evaluation": val.fingerprint,
    }, train


def _exchange(root, first, second):
    """Two labels change places; nothing but contents differs."""
    one, other = (root / "labels" / f"{name}.png" for name in (first, second))
    assert one.stat().st_size == other.stat().st_size
    first_bytes, second_bytes = one.read_bytes(), other.read_bytes()
    assert first_bytes != second_bytes
    one.write_bytes(second_bytes)
    other.write_bytes(first_bytes)


def _rewritten(root, name, change):
    file = root / name
    file.write_bytes(change(file.read_bytes()))


CHANGES = {
    "labels exchanged": lambda root: _exchange(root, "00", "01"),
    "images exchanged": lambda root: [
        os.replace(root / "images" / "00.png", root / "x"),
        os.replace(root / "images" / "01.png", root / "images" / "00.png"),
        os.replace(root / "x", root / "images" / "01.png"),
    ],
    "a class renamed": lambda root: _rewritten(
        root, "classes.txt", lambda text: text.replace(b"box", b"bin")
    ),
    "a pair renamed": lambda root: [
        os.replace(root / part / "02.png", root / part / "0x.png")
        for part in ("images", "labels")
    ],
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("kept", [(), ("box", "wall")])
def test_other_training_data_are_refused(name, kept, tmp_path):
    """Oracle: the files; names and byte counts alone would not tell the first."""
    stored, _ = _position(_folder(tmp_path / "data"), names=kept)
    CHANGES[name](tmp_path / "data")
    if name == "a class renamed" and kept:
        kept = ("bin", "wall")
    here, train = _position(tmp_path / "data", names=kept)
    with pytest.raises(ValueError, match="8 images as before, but") as error:
        check_same_data(stored, here, train, "runs/x/checkpoints/3")
    assert "runs/x/checkpoints/3" in str(error.value)


def test_a_missing_pair_is_counted(tmp_path):
    """Oracle: the number of files."""
    root = _folder(tmp_path / "data")
    stored, _ = _position(root)
    for part in PARTS:
        (root / part / "07.png").unlink()
        (root / part / "08.png").unlink()
    here, train = _position(root)
    with pytest.raises(ValueError, match="there are 7 images, and were 8"):
        check_same_data(stored, here, train, "it")


@pytest.mark.parametrize("kept", [(), ("box", "wall")])
def test_the_same_files_elsewhere_are_the_same_data(
    kept, tmp_path, monkeypatch, caplog
):
    """Oracle: copied bytes, with other times; other spellings of one path."""
    stored, _ = _position(_folder(tmp_path / "disk1" / "data"), names=kept)
    shutil.copytree(
        tmp_path / "disk1", tmp_path / "disk2", copy_function=shutil.copyfile
    )
    shutil.rmtree(tmp_path / "disk1")
    os.symlink(tmp_path / "disk2", tmp_path / "link")
    monkeypatch.chdir(tmp_path / "disk2")
    for root in (
        tmp_path / "disk2" / "data",
        f"{tmp_path}/disk2/data/",
        "data",
        "./data/../data",
        tmp_path / "link" / "data",
    ):
        here, train = _position(root, names=kept)
        assert here == stored
        with caplog.at_level(logging.WARNING, logger="absl"):
            check_same_data(stored, here, train, "it")
    assert not caplog.records


def test_a_changed_evaluation_split_is_said(tmp_path, caplog):
    """Oracle: two labels of val change places; nothing learnt depends on them."""
    root = _folder(tmp_path / "data")
    stored, _ = _position(root)
    _exchange(root, "04", "09")
    here, train = _position(root)
    with caplog.at_level(logging.WARNING, logger="absl"):
        check_same_data(stored, here, train, "it")
    assert "scores from before and from now on cannot be compared" in caplog.text
    older = {key: value for key, value in stored.items() if key != "evaluation"}
    caplog.clear()
    check_same_data(older, here, train, "it")
    assert not caplog.records


def _stored_earlier(root, train):
    """The fingerprint of names and byte counts, written out once more."""
    files = [
        [f"{train.name(i)}.png"]
        + [(root / p / f"{train.name(i)}.png").stat().st_size for p in PARTS]
        for i in range(len(train))
    ]
    record = ["folder", "train", train.outputs["semantic"].to_dict(), files]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


PARTS = ("images", "labels")


def test_checkpoints_of_the_earlier_fingerprint_continue_with_a_warning(
    tmp_path, caplog
):
    """Oracle: the earlier rule by hand, for a folder and a subset of its classes."""
    root = _folder(tmp_path / "data")
    here, train = _position(root)
    old = {"images": 3, "train": _stored_earlier(root, train), "length": len(train)}
    assert old["train"] == earlier_fingerprint(train) != here["train"]
    with caplog.at_level(logging.WARNING, logger="absl"):
        check_same_data(old, here, train, "runs/x")
    assert "runs/x stores names and byte counts" in caplog.text
    _rewritten(root, "images/03.png", lambda content: content + b"\0")
    here, train = _position(root)
    with pytest.raises(ValueError, match="names, order, contents"):
        check_same_data(old, here, train, "runs/x")
    few = subset(train, ("box", "wall"), "ignore")
    assert earlier_fingerprint(few) not in (None, earlier_fingerprint(train))
    synthetic = open_split(tiny.get_config(), "train")
    assert earlier_fingerprint(synthetic) is None


@pytest.mark.slow
def test_a_run_continues_where_its_data_have_moved(tmp_path, monkeypatch, caplog):
    """Oracle: the stored parameters, bit for bit; other labels are refused."""
    root = _folder(tmp_path / "disk1" / "data")
    config = tiny.get_config()
    config.data.name, config.data.folder = "folder", str(root)
    config.model.score_at = "pool1"
    run = Experiment.from_config(config)
    state, origins = initialize.initial_state(run, None)
    store = CheckpointStore(tmp_path / "run" / "checkpoints", keep=1)
    record = {
        "config": to_dict(config),
        "outputs": {name: own.to_dict() for name, own in run.outputs.items()},
        "preprocessing": {n: own.to_dict() for n, own in run.preprocessing.items()},
        "data": initialize.data_position(run, 2),
        "origins": origins,
    }
    arrays = {"params": state.params, "optimizer": state.opt_state}
    flat = {name: flat_arrays(tree) for name, tree in arrays.items()}
    store.save(2, **flat, record=record)
    found = store.newest()

    (tmp_path / "disk2").mkdir()
    shutil.move(root, tmp_path / "disk2" / "data")
    monkeypatch.chdir(tmp_path / "disk2")
    moved = config.copy_and_resolve_references()
    moved.data.folder, moved.init_from = "data/", "runs/elsewhere"
    check_resume(to_dict(config), to_dict(moved), changeable_keys(moved))
    with caplog.at_level(logging.WARNING, logger="absl"):
        again, _ = initialize.initial_state(Experiment.from_config(moved), found)
    assert "config.init_from is runs/elsewhere and was empty" in caplog.text
    assert int(again.step) == 2
    for path, value in flat_arrays(again.params).items():
        np.testing.assert_array_equal(value, flat["params"][path])

    _exchange(tmp_path / "disk2" / "data", "00", "01")
    with pytest.raises(ValueError, match="the training data are not those of"):
        initialize.initial_state(Experiment.from_config(moved), found)
