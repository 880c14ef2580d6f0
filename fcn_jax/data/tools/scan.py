"""Reading many examples in threads, with the results in order."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from fcn_jax.runtime.concurrency import in_threads

Key = TypeVar("Key")
Result = TypeVar("Result")

MOST_THREADS = 32

Progress = Callable[[int, int], None]
"""Called with the number of examples done and to do."""


def scan(
    read: Callable[[Key], Result],
    keys: Sequence[Key],
    report: Progress | None = None,
) -> Iterator[Result]:
    """Yield the result of `read` for each key, in the order of the keys.

    Args:
        read: called in threads, since decoding leaves Python's lock; what it raises
            ends the scan.
        keys: one for each example.
        report: called after each example.
    """
    threads = min(MOST_THREADS, (os.cpu_count() or 1) + 4)
    results = in_threads(read, keys, threads=threads, ahead=2 * threads)
    for done, result in enumerate(results, 1):
        if report is not None:
            report(done, len(keys))
        yield result
