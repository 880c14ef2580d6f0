"""The order of training samples."""

import random

import numpy as np
import pytest

from fcn_jax.data.pipeline.order import make_sampler

# First draws of the reference's training (voc_layers.py, nyud_layers.py and
# siftflow_layers.py under Python 2, seed 1337), computed with Python 2.7's rule.
REFERENCE = {
    8498: [5249, 4531, 3108, 4978, 1408, 7005, 3260, 6710, 7832, 2614],
    795: [491, 423, 290, 465, 131, 655, 305, 627, 732, 244],
    2486: [1535, 1325, 909, 1456, 411, 2049, 953, 1962, 2291, 764],
}


def indices(positions, **arguments):
    return [make_sampler(**arguments)(position) for position in positions]


@pytest.mark.parametrize("count", REFERENCE)
def test_replacement_is_the_references_sampling(count):
    """Oracle: the golden indices of the reference's three data layers."""
    drawn = indices(range(10), count=count, seed=1337, order="replacement")
    assert drawn == REFERENCE[count]


def test_replacement_is_one_stream_however_it_is_entered():
    """Oracle: Python's generator, called 5000 times, read backwards and far out."""
    generator = random.Random(7)
    expected = [int(generator.random() * 11) for _ in range(5000)]
    positions = [4999, 0, 1023, 1024, 2047, 2048, 4096, 3]
    drawn = indices(positions, count=11, seed=7, order="replacement")
    assert drawn == [expected[position] for position in positions]


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_shuffle_visits_every_example_once_an_epoch(count):
    """Oracle: each epoch is a permutation."""
    for epoch in range(4):
        visited = indices(
            range(epoch * count, (epoch + 1) * count),
            count=count,
            seed=0,
            order="shuffle",
        )
        assert sorted(visited) == list(range(count))


def test_shuffle_differs_by_epoch_and_seed_and_repeats_itself():
    """Oracle: numpy's permutation of the documented seeds."""
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        drawn = indices(
            range(epoch * 50, (epoch + 1) * 50), count=50, seed=seed, order="shuffle"
        )
        expected = np.random.default_rng((seed, epoch)).permutation(50)
        np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("order", ["shuffle", "replacement"])
def test_an_index_is_a_plain_integer(order):
    """Oracle: the type in the signature; a list cannot be indexed with a float."""
    assert type(make_sampler(order, count=5, seed=0)(1500)) is int


def test_unknown_order_is_refused():
    """Oracle: the two orders."""
    with pytest.raises(ValueError, match="'sorted'; allowed are replacement, shuffle"):
        make_sampler("sorted", count=5, seed=0)
