"""A data set reduced to some of its examples."""

import pickle

import numpy as np
import pytest

from fcn_jax.data.sources.catalog import open_source
from fcn_jax.data.sources.limited import limited
from fcn_jax.data.sources.synthetic import SyntheticSpec

SPEC = SyntheticSpec(
    num_classes=4,
    num_train=40,
    num_val=2,
    min_size=(16, 16),
    max_size=(40, 40),
    seed=3,
)
WHOLE = open_source("synthetic", "train", synthetic=SPEC)


def _names(source):
    return [source.name(index) for index in range(len(source))]


def test_examples_are_those_of_the_split():
    """Oracle: the whole split, example by example, by name."""
    part = limited(WHOLE, 10, 7)
    assert len(part) == len(set(_names(part))) == 10
    where = {name: index for index, name in enumerate(_names(WHOLE))}
    assert _names(part) == sorted(_names(part))
    for index, name in enumerate(_names(part)):
        found, whole = part[index], WHOLE[where[name]]
        assert found.name == name
        np.testing.assert_array_equal(found.inputs["color"], whole.inputs["color"])
        np.testing.assert_array_equal(
            found.labels["semantic"], whole.labels["semantic"]
        )
        assert tuple(part.sizes()[index]) == found.inputs["color"].shape[:2]
    assert dict(part.outputs) == dict(WHOLE.outputs)
    with pytest.raises(IndexError, match="it has 10"):
        part[10]


def test_a_smaller_draw_is_part_of_a_larger_one():
    """Oracle: sets of names; 200 seeds draw each example about equally often."""
    for seed in range(3):
        draws = [set(_names(limited(WHOLE, n, seed))) for n in (1, 5, 12, 40)]
        assert all(a < b for a, b in zip(draws, draws[1:], strict=False))
        assert draws[-1] == set(_names(WHOLE))
    assert set(_names(limited(WHOLE, 12, 0))) != set(_names(limited(WHOLE, 12, 1)))
    seen = [name for seed in range(200) for name in _names(limited(WHOLE, 10, seed))]
    counts = [seen.count(name) for name in _names(WHOLE)]
    assert min(counts) > 25  # 50 are expected, the deviation of one is 6
    assert max(counts) < 80


def test_another_draw_is_other_data():
    """Oracle: fingerprints; workers pickle the source."""
    prints = [
        limited(WHOLE, *own).fingerprint for own in ((5, 0), (5, 1), (6, 0), (0, 0))
    ]
    assert len(set(prints)) == 4
    assert prints[-1] == WHOLE.fingerprint
    part = limited(WHOLE, 5, 0)
    again = pickle.loads(pickle.dumps(part))
    assert (again.fingerprint, _names(again)) == (part.fingerprint, _names(part))


@pytest.mark.parametrize("count", [-1, 41])
def test_numbers_that_the_split_does_not_have_are_refused(count):
    """Oracle: the 40 examples of the split."""
    message = f"config.data.limit is {count}, and the split has 40 .* 1 to 40, or 0"
    with pytest.raises(ValueError, match=message):
        limited(WHOLE, count, 0)
