"""Going once through many examples, in threads, with the results in order."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called with the number of examples done and to do."""


def scan(
    read: Callable[[Key], Result],
    keys: Sequence[Key],
    report: Progress | None = None,
) -> Iterator[Result]:
    """What `read` makes of each key, in the order of the keys.

    Args:
        read: called in threads, since decoding leaves Python's lock; what it raises
            ends the scan.
        keys: one for each example.
        report: called after each example.
    """
    with ThreadPoolExecutor() as pool:
        for done, result in enumerate(pool.map(read, keys), 1):
            if report is not None:
                report(done, len(keys))
            yield result


def spread(count: int, wanted: int) -> list[int]:
    """`wanted` of the indices 0..count-1 at equal distances; all if there are fewer."""
    number = min(count, wanted)
    return [(2 * i + 1) * count // (2 * number) for i in range(number)]
