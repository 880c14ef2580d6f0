"""Tests of fcn_jax.checkpoints.store: the arrays that were saved are the oracle, byte for byte."""

import hashlib
import json
import logging as python_logging
import math
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from fcn_jax.checkpoints import store as checkpoint
from fcn_jax.checkpoints import stored

RECORD = {"classes": ["sky", "road"], "position": 7, "rate": 1e-10, "shape": (3, 4)}


def _arrays(seed):
    """Random bits are kept in files of their own; small arrays inside Orbax's index."""
    draw = np.random.default_rng(seed)
    return {
        "trunk.conv1_1.kernel": draw.standard_normal((48, 48)).astype(np.float32),
        "trunk.conv1_1.bias": np.full((3,), seed, ml_dtypes.bfloat16),
        "head.score_fr.kernel": draw.standard_normal((2, 2)),
        "count": np.asarray(seed, np.int32),
        "key": np.asarray([seed, 2**32 - 1], np.uint32),
    }


def _save(store, step, **keywords):
    state = {"params": _arrays(step), "optimizer": {"trace.a": _arrays(step)["count"]}}
    store.save(step, **(state | {"record": RECORD} | keywords))


def _assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (name, found[name].dtype, found[name].shape) == (
            name,
            array.dtype,
            array.shape,
        )
        assert found[name].tobytes() == np.asarray(array, order="C").tobytes(), name


def _assert_is_step(found, step):
    assert found.step == step
    _assert_equal(found.params, _arrays(step))
    if found.optimizer is not None:
        _assert_equal(found.optimizer, {"trace.a": _arrays(step)["count"]})
    assert found.record == RECORD | {"shape": [3, 4]}


def _names(directory):
    return sorted(path.name for path in pathlib.Path(directory).iterdir())


@pytest.fixture
def absl_errors(caplog):
    """The messages of absl's logger from level ERROR up."""
    caplog.set_level(python_logging.ERROR, logger="absl")
    return lambda: [r.message for r in caplog.records if r.levelname == "ERROR"]


def _alter(store, step, pattern="params/ocdbt.process_0/d/*"):
    """Flips one bit in the largest file that matches."""
    files = sorted(store.directory.glob(f"{step}/{pattern}"), key=os.path.getsize)
    content = bytearray(files[-1].read_bytes())
    content[len(content) // 2] ^= 4
    files[-1].write_bytes(bytes(content))


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
    store.save(3, params=params, optimizer={}, record=RECORD, mean_iu=0.5)
    found = store.newest()
    assert found is not None
    _assert_equal(found.params, {k: np.asarray(v) for k, v in params.items()})
    assert found.optimizer == {}
    assert (found.step, found.mean_iu) == (3, 0.5)
    assert found.directory == tmp_path / "3"
    assert found.record == json.loads(json.dumps(RECORD))


@pytest.mark.slow
def test_the_device_count_does_not_matter(tmp_path):
    """Oracle: the bytes saved here, on 8 devices, read by a process with one."""
    _save(checkpoint.CheckpointStore(tmp_path), 5)
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
    expected = {k: v.tobytes().hex() for k, v in _arrays(5).items()}
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
        _save(store, step, mean_iu=score)
    assert _names(tmp_path) == kept
    newest = checkpoint.load(tmp_path, which="newest", optimizer=True)
    _assert_is_step(newest, 4)
    rated = [score is not None and score == score for score in scores]
    best = int(kept[0]) if any(rated) and kept != ["3", "4"] else 4
    _assert_is_step(checkpoint.load(tmp_path), best)


def test_a_score_may_come_later(tmp_path):
    """Oracle: the directory of a run whose checkpoints had their scores at once."""
    scores = {1: 0.1, 2: 0.7, 3: 0.2, 4: math.nan, 5: 0.3}
    whole, later = (checkpoint.CheckpointStore(tmp_path / name) for name in "ab")
    for step, score in scores.items():
        _save(whole, step, mean_iu=score)
        _save(later, step)
        later.rate(step, score)
        assert _names(later.directory) == _names(whole.directory)
    for step in (2, 4, 5):
        one, other = (
            (store.directory / str(step) / "record" / "metadata").read_text()
            for store in (whole, later)
        )
        assert json.loads(one) == json.loads(other)
        assert _names(later.directory / f"{step}/record") == _names(
            whole.directory / f"{step}/record"
        )
    _assert_is_step(checkpoint.load(later.directory, optimizer=True), 2)
    with pytest.raises(checkpoint.CheckpointError):
        later.rate(3, 0.9)


def test_a_killed_rating_leaves_the_checkpoint_as_it_was(tmp_path, monkeypatch):
    """Oracle: a rename that never comes, and the names after the next start."""
    store = checkpoint.CheckpointStore(tmp_path)
    _save(store, 1)

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pathlib.Path, "replace", fail)
        with pytest.raises(checkpoint.CheckpointError, match="No space left"):
            store.rate(1, 0.5)
    (tmp_path / "1.orbax-checkpoint-tmp-record").write_text("{")
    store = checkpoint.CheckpointStore(tmp_path)
    assert _names(tmp_path) == ["1"]
    _assert_is_step(store.newest(), 1)
    assert store.newest().mean_iu is None


def test_a_checkpoint_that_is_retired_while_it_is_read_is_not_damaged(
    tmp_path, absl_errors, monkeypatch
):
    """Oracle: the steps by hand; the run beside goes on while the directory is listed."""
    store = checkpoint.CheckpointStore(tmp_path, keep=1)
    _save(store, 1)
    going_on = [3, 2]
    listed = stored._listed

    def list_early(directory):
        steps = listed(directory)
        if going_on:
            _save(store, going_on.pop())
        return steps

    monkeypatch.setattr(stored, "_listed", list_early)
    _assert_is_step(checkpoint.load(tmp_path, which="newest"), 3)
    assert absl_errors() == []


BESIDE = """
import pathlib, sys
from fcn_jax.checkpoints import store as checkpoint
from tests.checkpoints.test_store import _save
store = checkpoint.CheckpointStore(pathlib.Path(sys.argv[1]), keep=1)
for step in range(2, 40):
    _save(store, step)
"""


# What Orbax still has under way when a read fails ends after its loop, and says so.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reader_beside_a_run_gets_whole_checkpoints(tmp_path, absl_errors):
    """Oracle: arrays drawn from the step's number; steps never go back."""
    _save(checkpoint.CheckpointStore(tmp_path, keep=1), 1)
    seen = []
    with subprocess.Popen(
        [sys.executable, "-c", BESIDE, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=pathlib.Path(__file__).parents[1],
    ) as beside:
        while beside.poll() is None:
            found = checkpoint.load(tmp_path, which=("best", "newest")[len(seen) % 2])
            _assert_is_step(found, found.step)
            seen.append(found.step)
    assert beside.returncode == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    # asyncio tells of reads of Orbax's own that a deletion overtook, in the same log.
    assert not [error for error in absl_errors() if "damaged" in error]
    _assert_is_step(checkpoint.load(tmp_path), 39)


def test_checkpoints_that_never_stay_are_said(tmp_path, monkeypatch):
    """Oracle: the sentence; a listing that is wrong each time does not hang."""
    monkeypatch.setattr(stored, "steps_in", lambda _: {1: tmp_path / "1"})
    with pytest.raises(checkpoint.CheckpointError, match="deleted as fast as they are"):
        checkpoint.load(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"mean_iu": "high"},
        {"mean_iu": [0.5]},
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
        _save(store, step)
    file = tmp_path / "2" / "record" / "metadata"
    manifest = json.loads(file.read_text()) | change
    del manifest["sha256"]
    text = json.dumps(manifest, sort_keys=True)
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    file.write_text(json.dumps(manifest))
    _assert_is_step(checkpoint.load(tmp_path, optimizer=True), 1)
    assert len(absl_errors()) == 1


def test_load_takes_a_work_directory_and_changes_nothing(tmp_path, absl_errors):
    """Oracle: the scores by hand, and the tree of files before and after."""
    store = checkpoint.CheckpointStore(tmp_path / "checkpoints")
    for step, score in ((1, 0.5), (2, 0.9), (3, None)):
        _save(store, step, mean_iu=score)
    found = checkpoint.load(tmp_path)
    _assert_is_step(found, 2)
    assert found.optimizer is None
    _assert_is_step(checkpoint.load(str(tmp_path), which="newest", optimizer=True), 3)
    assert absl_errors() == []
    _alter(store, 2)
    before = sorted(tmp_path.rglob("*"))
    _assert_is_step(checkpoint.load(tmp_path), 3)
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
    _save(store, 1)
    _save(store, 2)
    for suffix in ("", "-1", "-2"):
        _alter(store, 2)
        _assert_is_step(store.newest(), 1)
        assert f"2.damaged{suffix}" in _names(tmp_path)
        assert f"kept as 2.damaged{suffix}: " in absl_errors()[-1]
        assert "array trunk.conv1_1.kernel" in absl_errors()[-1]
        assert absl_errors()[-1].endswith("falling back to step 1")
        _save(store, 2)
        _assert_is_step(store.newest(), 2)
    assert len(absl_errors()) == 3


def test_saving_a_step_again_is_for_damaged_ones_only(tmp_path, absl_errors):
    """Oracle: the files' times and bytes; another state under the step is ignored."""
    store = checkpoint.CheckpointStore(tmp_path)
    _save(store, 1)
    _save(store, 2)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    _save(store, 2, params=_arrays(9))
    _save(store, 1)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    _alter(store, 2, "optimizer/d/*")
    _save(store, 2)
    assert _names(tmp_path) == ["1", "2", "2.damaged"]
    _assert_is_step(store.newest(), 2)
    assert "it is saved again" in absl_errors()[-1]


def test_when_all_are_damaged_nothing_starts_from_scratch(tmp_path):
    """Oracle: the contract; the directory stays as it is."""
    store = checkpoint.CheckpointStore(tmp_path)
    _save(store, 1)
    _save(store, 2)
    _alter(store, 1)
    _alter(store, 2, "record/metadata")
    for _ in range(2):
        with pytest.raises(checkpoint.CheckpointError, match="every checkpoint is dam"):
            store.newest()
        with pytest.raises(checkpoint.CheckpointError, match="every checkpoint is dam"):
            checkpoint.load(tmp_path)
    assert _names(tmp_path) == ["1", "2"]
    for step in ("1", "2"):
        (tmp_path / step).rename(tmp_path / f"{step}.damaged")
    with pytest.raises(checkpoint.CheckpointError, match="only damaged checkpoints"):
        store.newest()


def test_an_unreadable_checkpoint_is_not_deleted_nor_counted(tmp_path):
    """Oracle: with one of them unreadable, two others are kept and the best."""
    store = checkpoint.CheckpointStore(tmp_path)
    for step in (1, 2, 3):
        _save(store, step, mean_iu=0.9 if step == 1 else 0.1)
        if step == 2:
            shutil.rmtree(tmp_path / "2" / "record")
    _save(store, 4)
    assert _names(tmp_path) == ["1", "2", "3", "4"]


def test_a_changed_record_is_found_out(tmp_path, absl_errors):
    """Oracle: the record of the step before; the change is valid JSON."""
    store = checkpoint.CheckpointStore(tmp_path)
    _save(store, 1)
    for change in ('"position": 8', '"mean_iu": 1.0', '"step": 3'):
        _save(store, 2)
        path = tmp_path / "2" / "record" / "metadata"
        key = change.split(":")[0]
        text = re.sub(rf"{key}: [^,}}]+", change, path.read_text())
        assert text != path.read_text()
        path.write_text(text)
        _assert_is_step(store.newest(), 1)
        assert "record differs from its own digest" in absl_errors()[-1]


def test_missing_and_unknown_arrays_are_found_out(tmp_path, absl_errors):
    """Oracle: the arrays of the step before, by name in the log."""
    store = checkpoint.CheckpointStore(tmp_path / "store")
    other = checkpoint.CheckpointStore(tmp_path / "other")
    _save(store, 1)
    more = _arrays(2) | {"new": np.ones(2)}
    fewer = {name: array for name, array in _arrays(2).items() if name != "count"}
    cases = (
        (more, "params has unknown arrays: ['new']"),
        (fewer, "params: array count"),
    )
    for params, message in cases:
        _save(store, 2)
        _save(other, 2, params=params)
        shutil.rmtree(store.directory / "2" / "params")
        (other.directory / "2" / "params").rename(store.directory / "2" / "params")
        shutil.rmtree(other.directory / "2")
        _assert_is_step(store.newest(), 1)
        assert message in absl_errors()[-1]


def test_swapped_steps_and_files_are_found_out(tmp_path, absl_errors):
    """Oracle: the arrays of the step that is whole."""
    store = checkpoint.CheckpointStore(tmp_path)
    _save(store, 1)
    _save(store, 2)
    shutil.copytree(tmp_path / "2", tmp_path / "3")
    shutil.copytree(tmp_path / "2", tmp_path / "4")
    shutil.copytree(tmp_path / "1" / "params", tmp_path / "4" / "other")
    shutil.rmtree(tmp_path / "4" / "params")
    (tmp_path / "4" / "other").rename(tmp_path / "4" / "params")
    _assert_is_step(store.newest(), 2)
    assert _names(tmp_path) == ["1", "2", "3.damaged", "4.damaged"]
    assert all("belongs to step 2" in message for message in absl_errors())
    shutil.rmtree(tmp_path / "2" / "params")
    shutil.copytree(tmp_path / "1" / "params", tmp_path / "2" / "params")
    _assert_is_step(store.newest(), 1)
    assert "2/params: array count is" in absl_errors()[-1]


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
        _save(store, 2, **{item: {"a.b": np.ones(2), "a.bad": value}})
    assert f"cannot save the checkpoint {tmp_path / '2'}: {item}" in str(caught.value)
    assert "a.bad" in str(caught.value)
    assert _names(tmp_path) == []


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
        _save(store, 2, **keywords)
    assert _names(tmp_path) == []
    with pytest.raises(ValueError, match="keep is 0; it must be 1 or more"):
        checkpoint.CheckpointStore(tmp_path, keep=0)


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
    _save(original, 1)
    _save(original, 2)
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
            _assert_is_step(found, found.step)
            _assert_is_step(read_only, found.step)
            fell_back += found.step == 1
            assert len(absl_errors()) == (2 if found.step == 1 else 0), (file, damage)
            assert (copy / "2.damaged").exists() == (found.step == 1)
            shutil.rmtree(copy)
    # Files of weights and records cannot be damaged without notice.
    assert 0.3 * cases < fell_back < cases


# When one array cannot be written Orbax closes its event loop under the other writes.
ABANDONED_WRITES = "ignore::pytest.PytestUnraisableExceptionWarning"


def _fails_to_save(store, message, **keywords):
    """Saving step 2 fails; returns after the other writes of the save have ended."""
    with pytest.raises(checkpoint.CheckpointError, match=message) as caught:
        _save(store, 2, **keywords)
    time.sleep(0.3)
    assert f"cannot save the checkpoint {store.directory / '2'}: " in str(caught.value)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 kB; needs the right to mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root and the mount command")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def _assert_recovers(directory, step):
    """Step 1 is whole, nothing partial is left, and the step can be saved now."""
    store = checkpoint.CheckpointStore(directory)
    assert [name for name in _names(directory) if "tmp" in name] == []
    _assert_is_step(store.newest(), 1)
    _save(store, step)
    _assert_is_step(store.newest(), step)


@pytest.mark.slow
@pytest.mark.filterwarnings(ABANDONED_WRITES)
def test_a_full_disk_raises_and_keeps_the_old_checkpoint(small_disk):
    """Oracle: a real ENOSPC of a small file system; the bytes of step 1."""
    store = checkpoint.CheckpointStore(small_disk)
    _save(store, 1)
    ballast = {"w": np.random.default_rng(0).standard_normal(100_000)}
    for _ in range(2):
        _fails_to_save(store, "No space left on device", params=ballast)
    _assert_recovers(small_disk, 2)


@pytest.mark.filterwarnings(ABANDONED_WRITES)
def test_a_read_only_disk_raises(small_disk):
    """Oracle: a real EROFS; the bytes of step 1 after it is writable again."""
    store = checkpoint.CheckpointStore(small_disk)
    _save(store, 1)
    remount = ["mount", "-o", "remount", str(small_disk)]
    subprocess.run([*remount[:2], "remount,ro", remount[3]], check=True)
    _fails_to_save(store, "Read-only file system")
    subprocess.run([*remount[:2], "remount,rw", remount[3]], check=True)
    _assert_recovers(small_disk, 2)


@pytest.mark.filterwarnings(ABANDONED_WRITES)
def test_a_file_size_limit_raises(tmp_path):
    """Oracle: a real EFBIG (RLIMIT_FSIZE), where no file system can be mounted."""
    store = checkpoint.CheckpointStore(tmp_path)
    _save(store, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        _fails_to_save(store, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    _assert_recovers(tmp_path, 2)


@pytest.mark.slow
@pytest.mark.filterwarnings(ABANDONED_WRITES)
@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_an_input_output_error_raises(tmp_path, monkeypatch, call):
    """Oracle: EIO from the operating system's call, and the bytes of step 1."""
    store = checkpoint.CheckpointStore(tmp_path)
    _save(store, 1)

    def fail(*arguments, **keywords):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        _fails_to_save(store, "Input/output error")
    found = store.newest()
    assert found is not None
    # The flush comes after Orbax's rename: the step may be there, and is whole then.
    _assert_is_step(found, 2 if call == "fsync" else 1)
    _save(store, 3)
    _assert_is_step(store.newest(), 3)


KILLED = textwrap.dedent("""
    import itertools, sys
    import numpy as np
    from fcn_jax.checkpoints import store as checkpoint
    store = checkpoint.CheckpointStore(sys.argv[1], keep=2)
    found = store.newest()
    start = 1 if found is None else found.step + 1
    print("ready", flush=True)
    for step in itertools.count(start):
        array = np.random.default_rng(step).standard_normal((100, 100))
        state = {"params": {"a.b": array}, "optimizer": {"c": np.asarray(step)}}
        store.save(step, record={"step": step}, mean_iu=1 / step, **state)
        print(step, flush=True)
""")


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    """Oracle: arrays drawn from the step's number, after eight SIGKILLs of saves."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    draw = np.random.default_rng(0)
    reached = midway = 0
    for kill in range(8):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", KILLED, str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if kill % 2:
            reached = int(process.stdout.readline())
        time.sleep(draw.uniform(0.0, 0.1))
        process.kill()
        printed = [int(line) for line in process.communicate()[0].split()]
        reached = max([reached, *printed])
        midway += any("tmp" in name for name in _names(tmp_path))
        if not any(name.isdecimal() for name in _names(tmp_path)):
            continue
        found = checkpoint.load(tmp_path, which="newest", optimizer=True)
        assert found.step >= reached, "a finished save was lost"
        array = np.random.default_rng(found.step).standard_normal((100, 100))
        _assert_equal(found.params, {"a.b": array})
        assert found.optimizer == {"c": np.asarray(found.step)}
        assert found.record == {"step": found.step}
    checkpoint.CheckpointStore(tmp_path)
    assert reached >= 4
    assert midway >= 1
    assert all(name.isdecimal() for name in _names(tmp_path))
