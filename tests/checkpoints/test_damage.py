"""Damaged checkpoints are found out: the arrays that were saved are the oracle."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest

from fcn_jax.checkpoints import store as checkpoint
from tests.checkpoints.stored import (
    assert_is_step,
    drawn_arrays,
    flip_one_bit,
    names_in,
    save,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"score": "high"},
        {"score": [0.5]},
        {"arrays": []},
        {"record": None},
        {"arrays": {"params": {"a": 5}, "optimizer": {}}},
        {"arrays": {"optimizer": {}}},
    ],
)
def test_a_signed_record_of_other_values_is_damaged(tmp_path, change, absl_errors):
    """Oracle: the step before, by hand; the digest of the record is right."""
    store = checkpoint.CheckpointStore(tmp_path)
    for step in (1, 2):
        save(store, step)
    file = tmp_path / "2" / "record" / "metadata"
    manifest = json.loads(file.read_text()) | change
    del manifest["sha256"]
    text = json.dumps(manifest, sort_keys=True)
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    file.write_text(json.dumps(manifest))
    assert_is_step(checkpoint.load(tmp_path, optimizer=True), 1)
    assert len(absl_errors()) == 1


def test_load_takes_a_work_directory_and_changes_nothing(tmp_path, absl_errors):
    """Oracle: the scores by hand, and the tree of files before and after."""
    store = checkpoint.CheckpointStore(tmp_path / "checkpoints")
    for step, score in ((1, 0.5), (2, 0.9), (3, None)):
        save(store, step, score=score)
    found = checkpoint.load(tmp_path)
    assert_is_step(found, 2)
    assert found.optimizer is None
    assert_is_step(checkpoint.load(str(tmp_path), which="newest", optimizer=True), 3)
    assert absl_errors() == []
    flip_one_bit(store, 2)
    before = sorted(tmp_path.rglob("*"))
    assert_is_step(checkpoint.load(tmp_path), 3)
    (message,) = absl_errors()
    assert f"{tmp_path / 'checkpoints' / '2' / 'params'}: array" in message
    assert "trunk.conv1_1.kernel" in message
    assert message.endswith("using step 3")
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(ValueError, match="which is 'last'; it must be 'best' or"):
        checkpoint.load(tmp_path, which="last")


def test_a_damaged_checkpoint_is_set_aside_and_saved_again(tmp_path, absl_errors):
    """Oracle: the arrays of the step before, the names by hand, the log."""
    store = checkpoint.CheckpointStore(tmp_path)
    save(store, 1)
    save(store, 2)
    for suffix in ("", "-1", "-2"):
        flip_one_bit(store, 2)
        assert_is_step(store.newest(), 1)
        assert f"2.damaged{suffix}" in names_in(tmp_path)
        assert f"kept as 2.damaged{suffix}: " in absl_errors()[-1]
        assert "array trunk.conv1_1.kernel" in absl_errors()[-1]
        assert absl_errors()[-1].endswith("falling back to step 1")
        save(store, 2)
        assert_is_step(store.newest(), 2)
    assert len(absl_errors()) == 3


def test_saving_a_step_again_is_for_damaged_ones_only(tmp_path, absl_errors):
    """Oracle: the files' times and bytes; another state under the step is ignored."""
    store = checkpoint.CheckpointStore(tmp_path)
    save(store, 1)
    save(store, 2)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    save(store, 2, params=drawn_arrays(9))
    save(store, 1)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    flip_one_bit(store, 2, "optimizer/d/*")
    save(store, 2)
    assert names_in(tmp_path) == ["1", "2", "2.damaged"]
    assert_is_step(store.newest(), 2)
    assert "it is saved again" in absl_errors()[-1]


def test_when_all_are_damaged_nothing_starts_from_scratch(tmp_path):
    """Oracle: the contract; the directory stays as it is."""
    store = checkpoint.CheckpointStore(tmp_path)
    save(store, 1)
    save(store, 2)
    flip_one_bit(store, 1)
    flip_one_bit(store, 2, "record/metadata")
    for _ in range(2):
        with pytest.raises(checkpoint.CheckpointError, match="every checkpoint is dam"):
            store.newest()
        with pytest.raises(checkpoint.CheckpointError, match="every checkpoint is dam"):
            checkpoint.load(tmp_path)
    assert names_in(tmp_path) == ["1", "2"]
    for step in ("1", "2"):
        (tmp_path / step).rename(tmp_path / f"{step}.damaged")
    with pytest.raises(checkpoint.CheckpointError, match="only damaged checkpoints"):
        store.newest()


def test_an_unreadable_checkpoint_is_not_deleted_nor_counted(tmp_path):
    """Oracle: with one of them unreadable, two others are kept and the best."""
    store = checkpoint.CheckpointStore(tmp_path)
    for step in (1, 2, 3):
        save(store, step, score=0.9 if step == 1 else 0.1)
        if step == 2:
            shutil.rmtree(tmp_path / "2" / "record")
    save(store, 4)
    assert names_in(tmp_path) == ["1", "2", "3", "4"]


def test_a_changed_record_is_found_out(tmp_path, absl_errors):
    """Oracle: the record of the step before; the change is valid JSON."""
    store = checkpoint.CheckpointStore(tmp_path)
    save(store, 1)
    for change in ('"position": 8', '"score": 1.0', '"step": 3'):
        save(store, 2)
        path = tmp_path / "2" / "record" / "metadata"
        key = change.split(":")[0]
        text = re.sub(rf"{key}: [^,}}]+", change, path.read_text())
        assert text != path.read_text()
        path.write_text(text)
        assert_is_step(store.newest(), 1)
        assert "record differs from its own digest" in absl_errors()[-1]


def test_missing_and_unknown_arrays_are_found_out(tmp_path, absl_errors):
    """Oracle: the arrays of the step before, by name in the log."""
    store = checkpoint.CheckpointStore(tmp_path / "store")
    other = checkpoint.CheckpointStore(tmp_path / "other")
    save(store, 1)
    more = drawn_arrays(2) | {"new": np.ones(2)}
    fewer = {name: array for name, array in drawn_arrays(2).items() if name != "count"}
    cases = (
        (more, "params has unknown arrays: ['new']"),
        (fewer, "params: array count"),
    )
    for params, message in cases:
        save(store, 2)
        save(other, 2, params=params)
        shutil.rmtree(store.directory / "2" / "params")
        (other.directory / "2" / "params").rename(store.directory / "2" / "params")
        shutil.rmtree(other.directory / "2")
        assert_is_step(store.newest(), 1)
        assert message in absl_errors()[-1]


def test_swapped_steps_and_files_are_found_out(tmp_path, absl_errors):
    """Oracle: the arrays of the step that is whole."""
    store = checkpoint.CheckpointStore(tmp_path)
    save(store, 1)
    save(store, 2)
    shutil.copytree(tmp_path / "2", tmp_path / "3")
    shutil.copytree(tmp_path / "2", tmp_path / "4")
    shutil.copytree(tmp_path / "1" / "params", tmp_path / "4" / "other")
    shutil.rmtree(tmp_path / "4" / "params")
    (tmp_path / "4" / "other").rename(tmp_path / "4" / "params")
    assert_is_step(store.newest(), 2)
    assert names_in(tmp_path) == ["1", "2", "3.damaged", "4.damaged"]
    assert all("belongs to step 2" in message for message in absl_errors())
    shutil.rmtree(tmp_path / "2" / "params")
    shutil.copytree(tmp_path / "1" / "params", tmp_path / "2" / "params")
    assert_is_step(store.newest(), 1)
    assert "2/params: array count is" in absl_errors()[-1]


def _damages(content):
    """What can happen to a file: (name, new content or None where it is deleted)."""
    yield "deleted", None
    yield "emptied", b""
    yield "halved", content[: len(content) // 2]
    yield "minus one byte", content[:-1]
    draw = np.random.default_rng(len(content))
    for bit in draw.integers(0, 8 * len(content), 4) if content else ():
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        yield f"bit {bit} flipped", bytes(flipped)


@pytest.mark.slow
def test_no_damage_to_a_file_gives_wrong_weights(tmp_path, absl_errors, caplog):
    """Oracle: the arrays of the newest, or those of the step before with an error."""
    original = checkpoint.CheckpointStore(tmp_path / "original")
    save(original, 1)
    save(original, 2)
    root = original.directory / "2"
    fell_back = cases = 0
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        for damage, content in _damages(file.read_bytes()):
            # A place of its own each time, so that no cache can answer.
            copy = tmp_path / f"copy{cases}"
            cases += 1
            shutil.copytree(original.directory, copy)
            target = copy / "2" / file.relative_to(root)
            target.unlink() if content is None else target.write_bytes(content)
            caplog.clear()
            read_only = checkpoint.load(copy, which="newest", optimizer=True)
            found = checkpoint.CheckpointStore(copy).newest()
            assert found is not None, (file, damage)
            assert_is_step(found, found.step)
            assert_is_step(read_only, found.step)
            fell_back += found.step == 1
            assert len(absl_errors()) == (2 if found.step == 1 else 0), (file, damage)
            assert (copy / "2.damaged").exists() == (found.step == 1)
            shutil.rmtree(copy)
    # Files of weights and records cannot be damaged without notice.
    assert 0.3 * cases < fell_back < cases


def test_a_score_under_its_older_name_is_read(tmp_path, absl_errors):
    """Oracle: what was stored, signed, as checkpoints of 0.1.0 hold it."""
    store = checkpoint.CheckpointStore(tmp_path)
    save(store, 1, score=0.75)
    file = tmp_path / "1" / "record" / "metadata"
    manifest = json.loads(file.read_text())
    manifest["mean_iu"] = manifest.pop("score")
    del manifest["sha256"]
    text = json.dumps(manifest, sort_keys=True)
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    file.write_text(json.dumps(manifest))
    assert checkpoint.load(tmp_path).score == 0.75
    save(store, 2, score=0.5)
    assert_is_step(checkpoint.load(tmp_path), 1)
    assert absl_errors() == []
