"""Work on what comes next, and on what came last, while the device computes."""

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
    close the iterator: what has not begun never does, what has is waited for.

    Args:
        function: may be called in several threads at once.
        items: taken as results are; may itself be such an iterator.
        threads: that compute.
        ahead: items taken before their results are asked for, at least 1.

    Raises:
        Exception: what the function or the items raise, in its turn.
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
    """Yield every item, each once the one after it has been taken.

    Reading a result of the device waits for it. Where taking an item queues work on
    the device, the next is queued before that wait, so that the device is never idle.
    """
    previous: deque[Item] = deque()
    for item in items:
        previous.append(item)
        if len(previous) > 1:
            yield previous.popleft()
    yield from previous
