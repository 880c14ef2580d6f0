"""Batches built ahead of training, in Grain's threads and processes."""

import atexit
import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grain
from absl import flags, logging

from fcn_jax.runtime.cli import Stopped
from fcn_jax.runtime.messages import RunError
from fcn_jax.runtime.stop import SIGNALS

PATIENCE_SECONDS = 60.0
_GRAIN_LOST_ONE = "Worker process was terminated unexpectedly"
_ORPHAN_CHECK_SECONDS = 1.0


def prefetch_batches(
    build: Callable[[int], Any],
    start: int,
    stop: int,
    *,
    workers: int,
    threads: int,
    prefetch: int,
    describe: Callable[[int], str] = str,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[Any]:
    """Yield build(start), ..., build(stop - 1), in order, built ahead.

    A late result is logged repeatedly, as a lost network file system or a stopped
    process would otherwise look like a slow run.

    Args:
        build: a picklable function that depends on the number alone.
        start: the first number.
        stop: the number after the last.
        workers: processes that build; 0 builds in this one.
        threads: threads that build in each of these processes; 0 builds when asked.
        prefetch: results held ready in each of these processes.
        describe: returns what is read for a number, for messages.
        patience: seconds of waiting for a result before it is logged.

    Raises:
        RunError: if a worker process was killed.
    """
    steps: Any = grain.MapDataset.range(start, stop)
    batches = steps.map(build).to_iter_dataset(
        grain.ReadOptions(
            num_threads=min(threads, prefetch),
            prefetch_buffer_size=prefetch if threads else 0,
        )
    )
    if workers:
        if not flags.FLAGS.is_parsed():  # Grain reads its own flags for its workers
            flags.FLAGS.mark_as_parsed()
        batches = batches.mp_prefetch(
            grain.MultiprocessingOptions(
                num_workers=workers, per_worker_buffer_size=max(1, prefetch)
            ),
            worker_init_fn=_begin_worker,
        )
    return _closing(iter(batches), start, describe, patience)


def _closing(
    iterator: Any, start: int, describe: Callable[[int], str], patience: float
) -> Iterator[Any]:
    # Also where a program ends early: once modules are torn down, Grain can no longer
    # stop its workers.
    atexit.register(iterator.close)
    try:
        for number in itertools.count(start):
            with _telling(functools.partial(describe, number), patience):
                try:
                    result = next(iterator)
                except StopIteration:
                    break
            yield result
    except Stopped:
        raise  # Closed at exit: Grain waits half a minute for a stopped worker.
    except BaseException as error:
        _close(iterator)
        if _GRAIN_LOST_ONE in str(error):
            raise _lost_worker(error) from error
        raise
    _close(iterator)


def _close(iterator: Any) -> None:
    atexit.unregister(iterator.close)
    iterator.close()


def _lost_worker(error: BaseException) -> RunError:
    how = str(error).split(".")[0].rpartition(" with ")[2]
    return RunError(
        f"a process that reads data was ended from outside ({how}), as the system does "
        "where memory runs out; give fewer config.data.workers or a lower "
        "config.data.prefetch"
    )


@contextlib.contextmanager
def _telling(describe: Callable[[], str], patience: float) -> Iterator[None]:
    """Log every `patience` seconds what the block waits for."""
    done = threading.Event()
    began = time.monotonic()

    def tell() -> None:
        while not done.wait(patience):
            logging.warning(
                "waiting for data since %.0f s, %s: is the disk or the network gone, or "
                "a process stopped?",
                time.monotonic() - began,
                describe(),
            )

    teller = threading.Thread(target=tell, name="tell", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _begin_worker(worker_index: int, worker_count: int) -> None:
    """Leave signals to the main process, and end when it ends, however it ends."""
    del worker_index, worker_count
    # A scheduler's signal or Ctrl-C goes to the whole group; the main process handles
    # it.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(
            target=_end_with, args=(parent.pid,), name="end-with-parent", daemon=True
        ).start()


def _end_with(parent_id: int | None) -> None:
    while os.getppid() == parent_id:
        time.sleep(_ORPHAN_CHECK_SECONDS)
    os._exit(1)
