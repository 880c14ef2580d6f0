"""Host work that overlaps the device's: the next inputs and the last results."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    ahead: int,
) -> Generator[Result, None, None]:
    """Yield function(item) for every item, in order, computed in threads.

    Items are taken in the caller's thread, and at most `ahead` results are waiting or
    being computed while the caller has one, so memory is bounded by them. To end early
    close the iterator: calls that have not started are cancelled, and running calls are
    waited for.

    Args:
        function: called in several threads at once.
        items: read as results are taken; may itself be such an iterator.
        threads: that compute.
        ahead: items taken before their results are asked for, at least 1.

    Raises:
        Exception: an exception of the function or the items, in the place of its item.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def one_behind(items: Iterable[Item]) -> Iterator[Item]:
    """Yield every item after the next item has been taken.

    Reading a result waits for the device. If taking an item queues work on the device,
    the next work is queued before that wait, so that the device is never idle.
    """
    previous: deque[Item] = deque()
    for item in items:
        previous.append(item)
        if len(previous) > 1:
            yield previous.popleft()
    yield from previous


def in_order(positions: Iterable[int], results: Iterable[Result]) -> Iterator[Result]:
    """Yield results by their positions 0, 1, 2, ..., each as soon as it can be.

    Args:
        positions: of the results, each number from 0 on once.
        results: in another order; those that come before their turn are kept.
    """
    early: dict[int, Result] = {}
    turn = 0
    for position, result in zip(positions, results, strict=True):
        early[position] = result
        while turn in early:
            yield early.pop(turn)
            turn += 1
