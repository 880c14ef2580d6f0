"""Running a batch builder ahead of training, in Grain's threads and processes."""

import atexit
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grain
from absl import flags

_ORPHAN_CHECK_SECONDS = 1.0


def run_ahead(
    build: Callable[[int], Any],
    start: int,
    stop: int,
    *,
    workers: int,
    threads: int,
    prefetch: int,
) -> Iterator[Any]:
    """Yields build(start), ..., build(stop - 1), in order, built before they are asked.

    Args:
      build: a picklable function of the number alone.
      start: the first number.
      stop: the number after the last.
      workers: processes that build; 0 builds in this one.
      threads: threads that build in each of these processes; 0 builds when asked.
      prefetch: results held ready in each of these processes.
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
    return _closing(iter(batches))


def _closing(iterator: Any) -> Iterator[Any]:
    # Also where a program ends early: once modules are torn down, Grain can no longer
    # stop its workers.
    atexit.register(iterator.close)
    try:
        yield from iterator
    finally:
        atexit.unregister(iterator.close)
        iterator.close()


def _begin_worker(worker_index: int, worker_count: int) -> None:
    """Leaves signals to the trainer, and ends with it whatever becomes of it."""
    del worker_index, worker_count
    # A scheduler's SIGTERM or Ctrl-C goes to the whole group; the trainer still needs
    # its batches for the step after which it saves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(
            target=_end_with, args=(parent.pid,), name="end-with-parent", daemon=True
        ).start()


def _end_with(parent_id: int | None) -> None:
    while os.getppid() == parent_id:
        time.sleep(_ORPHAN_CHECK_SECONDS)
    os._exit(1)
