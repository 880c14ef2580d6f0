"""Threads ahead and one behind: order, bounds, errors and ends."""

import threading

import pytest

from fcn_jax.runtime.concurrency import in_threads, one_behind


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (2, 1), (3, 4), (4, 50)])
def test_results_come_in_order(threads, ahead):
    """Oracle: the built-in map; later items are let finish before earlier ones."""
    later = threading.Event()

    def square(number):
        if number == 0 and threads > 1:
            assert later.wait(10), "the second item did not start beside the first"
        if number == 1:
            later.set()
        return number**2

    found = in_threads(square, range(20), threads=threads, ahead=ahead)
    assert list(found) == [number**2 for number in range(20)]


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_than_a_few_items_are_taken_ahead(ahead):
    """Oracle: the documented bound, when each result is asked for."""
    taken = []

    def items():
        for number in range(12):
            taken.append(number)
            yield number

    results = in_threads(lambda number: number, items(), threads=2, ahead=ahead)
    assert not taken
    for index, result in enumerate(results):
        assert result == index
        assert len(taken) == min(index + 1 + ahead, 12)


def test_nothing_is_no_result():
    """Oracle: an empty list."""
    assert list(in_threads(str, [], threads=2, ahead=2)) == []
    assert list(one_behind([])) == []


def test_an_error_comes_in_its_turn():
    """Oracle: the results before it, then the exception itself."""

    def invert(number):
        return 6 // number

    results = in_threads(invert, [1, 2, 0, 3], threads=2, ahead=2)
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_an_error_of_the_items_comes_through():
    """Oracle: the exception; what was taken before it has been computed."""
    done = []

    def items():
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(in_threads(done.append, items(), threads=1, ahead=3))
    assert done == [1]


def test_what_has_not_begun_never_does_after_closing():
    """Oracle: the items that began, by hand: one thread, held in the second."""
    began, held, go = [], threading.Event(), threading.Event()

    def work(number):
        began.append(number)
        if number == 1:
            held.set()
            assert go.wait(10)
        return number

    results = in_threads(work, range(10), threads=1, ahead=5)
    assert next(results) == 0
    assert held.wait(10)
    threading.Timer(0.1, go.set).start()  # closing waits for the one that began
    results.close()
    assert go.is_set()
    assert began == [0, 1]


def test_stages_overlap():
    """Oracle: both stages at work at once, or the barrier breaks."""
    both = threading.Barrier(2, timeout=10)

    def first(number):
        if number == 3:
            both.wait()
        return number

    def second(number):
        if number == 1:
            both.wait()
        return -number

    numbers = in_threads(first, range(8), threads=1, ahead=2)
    assert list(in_threads(second, numbers, threads=1, ahead=1)) == [
        -number for number in range(8)
    ]


def test_one_behind():
    """Oracle: the order of events by hand."""
    events = []

    def items():
        for number in range(3):
            events.append(f"queued {number}")
            yield number

    for number in one_behind(items()):
        events.append(f"read {number}")
    assert events == [
        *("queued 0", "queued 1", "read 0", "queued 2", "read 1", "read 2")
    ]
