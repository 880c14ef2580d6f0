"""Tests of fcn_jax.checkpoints.store: the arrays that were saved are the oracle, byte for byte."""

import json
import math
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from fcn_jax.checkpoints import store as checkpoint
from fcn_jax.checkpoints import stored
from tests.checkpoints.stored import (
    RECORD,
    assert_equal,
    assert_is_step,
    drawn_arrays,
    names_in,
    save,
)


def test_arrays_of_every_type_come_back_bit_for_bit(tmp_path):
    """Oracle: the arrays' own bytes, from JAX and NumPy, contiguous or not."""
    types = [ml_dtypes.bfloat16, bool, *"bhilBHILefd"]
    params = {f"a.{np.dtype(t)}": np.asarray([[1, 0, 3]], t) for t in types}
    params |= {f"scalar {np.dtype(t)}": np.asarray(1, t) for t in types}
    params["negative zero/é"] = np.asarray([-0.0, 5e-324])
    params["turned"] = np.arange(6.0).reshape(2, 3).T
    params["scalar of NumPy"] = np.int32(3)
    mesh = jax.make_mesh((8,), ("data",), (jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    params["sharded"] = jax.device_put(jnp.arange(16.0, dtype=jnp.bfloat16), spread)
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(3, params=params, optimizer={}, record=RECORD, score=0.5)
    found = store.newest()
    assert found is not None
    assert_equal(found.params, {k: np.asarray(v) for k, v in params.items()})
    assert found.optimizer == {}
    assert (found.step, found.score) == (3, 0.5)
    assert found.directory == tmp_path / "3"
    assert found.record == json.loads(json.dumps(RECORD))


@pytest.mark.slow
def test_the_device_count_does_not_matter(tmp_path):
    """Oracle: the bytes saved here, on 8 devices, read by a process with one."""
    save(checkpoint.CheckpointStore(tmp_path), 5)
    code = (
        "import sys, jax\n"
        "from fcn_jax.checkpoints import store as checkpoint\n"
        "assert jax.device_count() == 1\n"
        "found = checkpoint.load(sys.argv[1]).params\n"
        "print({k: v.tobytes().hex() for k, v in found.items()})\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path)],
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {k: v.tobytes().hex() for k, v in drawn_arrays(5).items()}
    assert done.stdout.strip() == str(dict(sorted(expected.items())))


def test_an_empty_directory_has_no_checkpoint(tmp_path):
    """Oracle: the contract; other names in the directory are no checkpoints."""
    store = checkpoint.CheckpointStore(tmp_path / "a" / "b")
    (store.directory / "007").mkdir()
    (store.directory / "notes").mkdir()
    assert store.newest() is None
    for path in (tmp_path / "a", tmp_path / "missing"):
        with pytest.raises(
            checkpoint.CheckpointError, match=f"no checkpoint in {path}"
        ):
            checkpoint.load(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([None, None, None, None], ["3", "4"]),
        ([0.3, 0.9, 0.5, None], ["2", "3", "4"]),
        ([0.9, 0.9, 0.1, 0.2], ["2", "3", "4"]),
        ([0.0, None, None, float("nan")], ["1", "3", "4"]),
        ([0.1, 0.2, 0.3, 0.4], ["3", "4"]),
    ],
)
def test_keeps_the_newest_two_and_the_best(tmp_path, scores, kept):
    """Oracle: the lists by hand; of equal scores the later one is the best."""
    store = checkpoint.CheckpointStore(tmp_path)
    for step, score in enumerate(scores, start=1):
        save(store, step, score=score)
    assert names_in(tmp_path) == kept
    newest = checkpoint.load(tmp_path, which="newest", optimizer=True)
    assert_is_step(newest, 4)
    rated = [score is not None and score == score for score in scores]
    best = int(kept[0]) if any(rated) and kept != ["3", "4"] else 4
    assert_is_step(checkpoint.load(tmp_path), best)


def test_snapshots_are_kept_and_can_be_named(tmp_path):
    """Oracle: the list by hand; the directory of a step is that step."""
    store = checkpoint.CheckpointStore(tmp_path / "checkpoints", snapshots=(2, 9))
    for step in range(1, 7):
        save(store, step, score=0.9 if step == 3 else 0.1)
    assert names_in(store.directory) == ["2", "3", "5", "6"]
    for step in (2, 3, 6):
        assert_is_step(checkpoint.load(store.directory / str(step)), step)
    assert_is_step(checkpoint.load(tmp_path), 3)
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint in"):
        checkpoint.load(store.directory / "4")


def test_a_score_may_come_later(tmp_path):
    """Oracle: the directory of a run whose checkpoints had their scores at once."""
    scores = {1: 0.1, 2: 0.7, 3: 0.2, 4: math.nan, 5: 0.3}
    whole, later = (checkpoint.CheckpointStore(tmp_path / name) for name in "ab")
    for step, score in scores.items():
        save(whole, step, score=score)
        save(later, step)
        later.rate(step, score)
        assert names_in(later.directory) == names_in(whole.directory)
    for step in (2, 4, 5):
        one, other = (
            (store.directory / str(step) / "record" / "metadata").read_text()
            for store in (whole, later)
        )
        assert json.loads(one) == json.loads(other)
        assert names_in(later.directory / f"{step}/record") == names_in(
            whole.directory / f"{step}/record"
        )
    assert_is_step(checkpoint.load(later.directory, optimizer=True), 2)
    with pytest.raises(checkpoint.CheckpointError):
        later.rate(3, 0.9)


def test_a_killed_rating_leaves_the_checkpoint_as_it_was(tmp_path, monkeypatch):
    """Oracle: a rename that never comes, and the names after the next start."""
    store = checkpoint.CheckpointStore(tmp_path)
    save(store, 1)

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pathlib.Path, "replace", fail)
        with pytest.raises(checkpoint.CheckpointError, match="No space left"):
            store.rate(1, 0.5)
    (tmp_path / "1.orbax-checkpoint-tmp-record").write_text("{")
    store = checkpoint.CheckpointStore(tmp_path)
    assert names_in(tmp_path) == ["1"]
    assert_is_step(store.newest(), 1)
    assert store.newest().score is None


def test_a_checkpoint_that_is_retired_while_it_is_read_is_not_damaged(
    tmp_path, absl_errors, monkeypatch
):
    """Oracle: the steps by hand; the run beside goes on while the directory is listed."""
    store = checkpoint.CheckpointStore(tmp_path, keep=1)
    save(store, 1)
    going_on = [3, 2]
    listed = stored._listed

    def list_early(directory):
        steps = listed(directory)
        if going_on:
            save(store, going_on.pop())
        return steps

    monkeypatch.setattr(stored, "_listed", list_early)
    assert_is_step(checkpoint.load(tmp_path, which="newest"), 3)
    assert absl_errors() == []


BESIDE = """
import pathlib, sys
from fcn_jax.checkpoints import store as checkpoint
from tests.checkpoints.stored import save
store = checkpoint.CheckpointStore(pathlib.Path(sys.argv[1]), keep=1)
for step in range(2, 40):
    save(store, step)
"""


# What Orbax still has under way when a read fails ends after its loop, and says so.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reader_beside_a_run_gets_whole_checkpoints(tmp_path, absl_errors):
    """Oracle: arrays drawn from the step's number; steps never go back."""
    save(checkpoint.CheckpointStore(tmp_path, keep=1), 1)
    seen = []
    with subprocess.Popen(
        [sys.executable, "-c", BESIDE, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=pathlib.Path(__file__).parents[1],
    ) as beside:
        while beside.poll() is None:
            found = checkpoint.load(tmp_path, which=("best", "newest")[len(seen) % 2])
            assert_is_step(found, found.step)
            seen.append(found.step)
    assert beside.returncode == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    # asyncio tells of reads of Orbax's own that a deletion overtook, in the same log.
    assert not [error for error in absl_errors() if "damaged" in error]
    assert_is_step(checkpoint.load(tmp_path), 39)


def test_checkpoints_that_never_stay_are_said(tmp_path, monkeypatch):
    """Oracle: the sentence; a listing that is wrong each time does not hang."""
    monkeypatch.setattr(stored, "steps_in", lambda _: {1: tmp_path / "1"})
    with pytest.raises(checkpoint.CheckpointError, match="deleted as fast as they are"):
        checkpoint.load(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.asarray([1.0, np.nan, np.inf]), "2 of 3 values that are not finite"),
        (jnp.asarray([[-jnp.inf]], jnp.bfloat16), "1 of 1 values that are not finite"),
        (np.float16("nan"), "1 of 1 values that are not finite"),
        (np.zeros((0, 3)), r"is float64\[0, 3\], which cannot be stored"),
        (np.asarray(["a"]), "cannot be stored; allowed are"),
        (np.asarray([1.0], ">f4"), "cannot be stored; allowed are"),
        (np.asarray([1j]), "cannot be stored; allowed are"),
    ],
)
@pytest.mark.parametrize("item", ["params", "optimizer"])
def test_refuses_what_is_not_finite_or_cannot_be_stored(tmp_path, item, value, message):
    """Oracle: nothing is written and the array is named."""
    store = checkpoint.CheckpointStore(tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match=message) as caught:
        save(store, 2, **{item: {"a.b": np.ones(2), "a.bad": value}})
    assert f"cannot save the checkpoint {tmp_path / '2'}: {item}" in str(caught.value)
    assert "a.bad" in str(caught.value)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"record": {"a": float("nan")}}, "Out of range float values"),
        ({"record": {"a": np.ones(2)}}, "ndarray is not JSON serializable"),
        ({"params": {"": np.ones(2)}}, "array '' is"),
    ],
)
def test_refuses_a_record_that_json_cannot_hold(tmp_path, keywords, message):
    """Oracle: JSON's own rules; nothing is written."""
    store = checkpoint.CheckpointStore(tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match=message):
        save(store, 2, **keywords)
    assert names_in(tmp_path) == []
    with pytest.raises(ValueError, match="keep is 0; it must be 1 or more"):
        checkpoint.CheckpointStore(tmp_path, keep=0)
