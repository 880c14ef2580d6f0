"""Writes that fail or are killed leave whole checkpoints: full disks, limits, signals."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from fcn_jax.checkpoints import store as checkpoint
from tests.checkpoints.stored import assert_equal, assert_is_step, names_in, save

# When one array cannot be written Orbax closes its event loop under the other writes.
ABANDONED_WRITES = "ignore::pytest.PytestUnraisableExceptionWarning"


def _fails_to_save(store, message, **keywords):
    """Saving step 2 fails; returns after the other writes of the save have ended."""
    with pytest.raises(checkpoint.CheckpointError, match=message) as caught:
        save(store, 2, **keywords)
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
    assert [name for name in names_in(directory) if "tmp" in name] == []
    assert_is_step(store.newest(), 1)
    save(store, step)
    assert_is_step(store.newest(), step)


@pytest.mark.slow
@pytest.mark.filterwarnings(ABANDONED_WRITES)
def test_a_full_disk_raises_and_keeps_the_old_checkpoint(small_disk):
    """Oracle: a real ENOSPC of a small file system; the bytes of step 1."""
    store = checkpoint.CheckpointStore(small_disk)
    save(store, 1)
    ballast = {"w": np.random.default_rng(0).standard_normal(100_000)}
    for _ in range(2):
        _fails_to_save(store, "No space left on device", params=ballast)
    _assert_recovers(small_disk, 2)


@pytest.mark.filterwarnings(ABANDONED_WRITES)
def test_a_read_only_disk_raises(small_disk):
    """Oracle: a real EROFS; the bytes of step 1 after it is writable again."""
    store = checkpoint.CheckpointStore(small_disk)
    save(store, 1)
    remount = ["mount", "-o", "remount", str(small_disk)]
    subprocess.run([*remount[:2], "remount,ro", remount[3]], check=True)
    _fails_to_save(store, "Read-only file system")
    subprocess.run([*remount[:2], "remount,rw", remount[3]], check=True)
    _assert_recovers(small_disk, 2)


@pytest.mark.filterwarnings(ABANDONED_WRITES)
def test_a_file_size_limit_raises(tmp_path):
    """Oracle: a real EFBIG (RLIMIT_FSIZE), where no file system can be mounted."""
    store = checkpoint.CheckpointStore(tmp_path)
    save(store, 1)
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
    save(store, 1)

    def fail(*arguments, **keywords):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        _fails_to_save(store, "Input/output error")
    found = store.newest()
    assert found is not None
    # The flush comes after Orbax's rename: the step may be there, and is whole then.
    assert_is_step(found, 2 if call == "fsync" else 1)
    save(store, 3)
    assert_is_step(store.newest(), 3)


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
        store.save(step, record={"step": step}, score=1 / step, **state)
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
        midway += any("tmp" in name for name in names_in(tmp_path))
        if not any(name.isdecimal() for name in names_in(tmp_path)):
            continue
        found = checkpoint.load(tmp_path, which="newest", optimizer=True)
        assert found.step >= reached, "a finished save was lost"
        array = np.random.default_rng(found.step).standard_normal((100, 100))
        assert_equal(found.params, {"a.b": array})
        assert found.optimizer == {"c": np.asarray(found.step)}
        assert found.record == {"step": found.step}
    checkpoint.CheckpointStore(tmp_path)
    assert reached >= 4
    assert midway >= 1
    assert all(name.isdecimal() for name in names_in(tmp_path))
