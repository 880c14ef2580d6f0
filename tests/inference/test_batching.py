"""Which pictures are computed together, by hand and against the rule itself."""

import random

import pytest

from fcn_jax.inference.batching import group
from fcn_jax.runtime.concurrency import in_order


def test_pictures_on_one_canvas_are_together():
    """Oracle: the batches by hand."""
    keys = "aabacaabba"
    most = {"a": 3, "b": 2, "c": 4}
    assert list(group(keys, most)) == [[0, 1, 3], [2, 7], [5, 6, 9], [4], [8]]
    assert list(group(keys, dict.fromkeys(keys, 1))) == [[i] for i in range(10)]
    assert list(group("", {})) == []


def test_a_rare_canvas_does_not_wait_for_the_end():
    """Oracle: by hand; "b" is as far behind as the window is wide, and goes alone."""
    most = {"a": 2, "b": 2}
    batches = list(group("baaaaaab", most, window=4))
    assert batches == [[1, 2], [0], [3, 4], [5, 6], [7]]


@pytest.mark.parametrize("seed", range(20))
def test_each_picture_is_in_one_batch(seed):
    """Oracle: the rule, on random keys: full or late batches, of one key, in order."""
    draw = random.Random(seed)
    keys = [draw.choice("abcd") for _ in range(draw.randrange(200))]
    most = {key: draw.randint(1, 5) for key in "abcd"}
    window = draw.randint(1, 30)
    batches = list(group(keys, most, window))
    order = [position for batch in batches for position in batch]
    assert sorted(order) == list(range(len(keys)))
    for batch in batches:
        assert batch == sorted(batch)
        assert len({keys[position] for position in batch}) == 1
        assert len(batch) <= most[keys[batch[0]]]
        assert batch[-1] - batch[0] < window
    assert list(in_order(order, order)) == sorted(order)


def test_results_come_as_soon_as_they_can():
    """Oracle: the events by hand."""
    events = []

    def results():
        for position in (2, 0, 1, 3):
            events.append(f"made {position}")
            yield position

    for position in in_order([2, 0, 1, 3], results()):
        events.append(f"told {position}")
    assert events == [
        *("made 2", "made 0", "told 0", "made 1", "told 1", "told 2"),
        *("made 3", "told 3"),
    ]
