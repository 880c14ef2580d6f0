"""Workers end with the trainer, and leave early programs alone."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fcn_jax.data.pipeline.workers import prefetch_batches
from fcn_jax.runtime.messages import RunError
from fcn_jax.runtime.stop import SIGNALS

KILLED = """
import sys
from fcn_jax.data.pipeline.batches import Augmentation, train_batches
from fcn_jax.data.pipeline.order import make_sampler
from fcn_jax.data.sources.synthetic import SyntheticSource, SyntheticSpec

if __name__ == "__main__":
    spec = SyntheticSpec(num_classes=2, num_train=8, num_val=0, min_size=(16, 16),
                         max_size=(16, 16), seed=0)
    batches = train_batches(
        SyntheticSource(spec, "train"), seed=0, start=0, stop=10**6, batch_size=1,
        accumulation=1, sampler=make_sampler("shuffle", 8, 0), canvases=((16, 16),),
        augmentation=Augmentation(),
        fill={}, workers=2, threads=1, prefetch=1)
    next(batches)
    next(batches)
    print("ready", flush=True)
    sys.stdin.read()
"""


def children_of(process_id):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == process_id:
                found.append(int(entry))
    return found


def is_alive(process_id):
    try:
        with open(f"/proc/{process_id}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
def test_a_killed_trainer_leaves_no_workers(tmp_path):
    """Oracle: the process table after SIGKILL."""
    program = tmp_path / "program.py"
    program.write_text(KILLED)
    with subprocess.Popen(
        [sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        children = children_of(process.pid)
        assert len(children) >= 2
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 15
    while any(is_alive(child) for child in children):
        assert time.monotonic() < deadline, "workers outlive the trainer"
        time.sleep(0.1)


EARLY = """
import sys
from fcn_jax.data.pipeline.workers import prefetch_batches
from fcn_jax.runtime.cli import run

def main(argv):
    for number in prefetch_batches(abs, 0, 10**6, workers=1, threads=1, prefetch=1):
        if number == 3:
            raise ValueError("no more")

if __name__ == "__main__":
    run(main)
"""


@pytest.mark.slow
def test_a_program_that_ends_early_ends_in_one_line(tmp_path):
    """Oracle: standard error and exit status of a program that raises while reading."""
    program = tmp_path / "program.py"
    program.write_text(EARLY)
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == "error: no more\n"


@pytest.mark.parametrize(("threads", "prefetch"), [(0, 0), (0, 3), (2, 0), (2, 3)])
def test_results_come_in_order(threads, prefetch):
    """Oracle: Python's map."""
    results = prefetch_batches(abs, 2, 9, workers=0, threads=threads, prefetch=prefetch)
    assert list(results) == list(range(2, 9))


def _workers_of(process_id):
    """Processes that Python spawned, without the one that counts shared memory."""
    found = []
    for child in children_of(process_id):
        with open(f"/proc/{child}/cmdline") as line:
            if "spawn_main" in line.read():
                found.append(child)
    return found


def _ignored(process_id):
    with open(f"/proc/{process_id}/status") as status:
        (mask,) = (int(x.split()[1], 16) for x in status if x.startswith("SigIgn"))
    return {number for number in SIGNALS if mask >> (number - 1) & 1}


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
def test_workers_leave_signals_alone_stand_still_and_are_lost(caplog):
    """Oracle: the signals that /proc says they ignore; SIGSTOP; SIGKILL.

    One after the other, as starting a process takes seconds.
    """
    batches = prefetch_batches(
        abs,
        0,
        10**6,
        workers=1,
        threads=1,
        prefetch=1,
        describe=lambda number: f"number {number}",
        patience=0.2,
    )
    assert next(batches) == 0
    (worker,) = _workers_of(os.getpid())
    assert _ignored(worker) == set(SIGNALS)
    caplog.clear()
    os.kill(worker, signal.SIGSTOP)
    threading.Timer(1.5, os.kill, (worker, signal.SIGCONT)).start()
    numbers = [next(batches) for _ in range(50)]
    assert numbers == list(range(1, 51))
    assert "waiting for data since" in caplog.text
    assert ", number " in caplog.text
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(RunError, match=r"ended from outside \(exit code -9\), as"):
        list(itertools.islice(batches, 1000))


@pytest.mark.slow
@pytest.mark.parametrize("threads", [0, 1])
def test_a_file_that_does_not_answer_is_named(tmp_path, caplog, threads):
    """Oracle: a pipe in place of a file, whose name and no other is in the warnings."""
    files = [tmp_path / name for name in ("first", "second", "third")]
    for file in files:
        file.write_text(file.name)
    files[1].unlink()
    os.mkfifo(files[1])
    threading.Timer(1.5, files[1].write_text, ["late"]).start()
    texts = prefetch_batches(
        lambda number: files[number].read_text(),
        0,
        3,
        workers=0,
        threads=threads,
        prefetch=threads,
        describe=lambda number: files[number].name,
        patience=0.2,
    )
    assert list(texts) == ["first", "late", "third"]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) >= 2
    assert all(", second: is the disk or the network gone" in text for text in told)
