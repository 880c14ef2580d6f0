"""Canvases for many sizes: what they hold and what they waste."""

import itertools

import numpy as np
import pytest

from fcn_jax.data.pipeline.buckets import (
    choose_canvases,
    picture_canvases,
    rounded_up,
    smallest_canvas,
    waste,
)

# As on VOC: most images lie or stand, a few are square or small.
SIZES = np.array(
    [(375, 500)] * 60 + [(500, 375)] * 25 + [(333, 500)] * 12 + [(500, 500)] * 3
)


def test_canvases_of_lying_and_standing_images():
    """Oracle: by hand; the second canvas saves most for the 60 + 12 lying images."""
    assert choose_canvases(SIZES, 1) == ((500, 500),)
    assert choose_canvases(SIZES, 2) == ((375, 500), (500, 500))
    assert choose_canvases(SIZES, 3) == ((375, 500), (500, 375), (500, 500))
    assert choose_canvases(SIZES, 9) == (
        (333, 500),
        (375, 500),
        (500, 375),
        (500, 500),
    )
    assert waste(SIZES, choose_canvases(SIZES, 9)) == 0
    pixels = 85 * 375 * 500 + 12 * 333 * 500 + 3 * 250_000
    assert waste(SIZES, ((500, 500),)) == pytest.approx(1 - pixels / 25_000_000)


def test_a_few_canvases_are_close_to_the_best():
    """Oracle: every set of three canvases, tried one after the other."""
    rng = np.random.default_rng(4)
    sizes = rng.integers(10, 40, (12, 2))
    largest = tuple(sizes.max(axis=0).tolist())
    heights, widths = np.unique(sizes[:, 0]), np.unique(sizes[:, 1])
    pairs = [(int(h), int(w)) for h in heights for w in widths]
    best = min(
        waste(sizes, sorted([*chosen, largest], key=lambda c: c[0] * c[1]))
        for chosen in itertools.combinations(pairs, 2)
    )
    found = choose_canvases(sizes, 3)
    assert len(found) == 3
    assert best <= waste(sizes, found) <= best + 0.08


@pytest.mark.slow
def test_more_canvases_never_waste_more():
    """Oracle: every image still fits, and the share falls."""
    sizes = np.random.default_rng(0).integers(50, 500, (300, 2))
    wastes = [waste(sizes, choose_canvases(sizes, limit)) for limit in range(1, 9)]
    assert wastes == sorted(wastes, reverse=True)
    assert wastes[-1] < 0.6 * wastes[0]


def test_the_smallest_canvas_holds_the_whole_batch():
    """Oracle: by hand."""
    canvases = ((375, 500), (500, 375), (500, 500))
    assert smallest_canvas([(10, 500), (375, 2)], canvases) == (375, 500)
    assert smallest_canvas([(376, 375)], canvases) == (500, 375)
    assert smallest_canvas([(376, 10), (1, 376)], canvases) == (500, 500)
    with pytest.raises(ValueError, match="0 canvases for 100 sizes"):
        choose_canvases(SIZES, 0)


def test_a_canvas_has_to_save_its_compilation():
    """Oracle: by hand; (375, 500) saves 72 * 62,500 pixels, (500, 375) 25 * 62,500."""
    assert choose_canvases(SIZES, 3, least_saving=72 * 62_500) == (
        (375, 500),
        (500, 500),
    )
    assert choose_canvases(SIZES, 3, least_saving=72 * 62_500 + 1) == ((500, 500),)


def test_the_ladder_of_canvases():
    """Oracle: multiples of 64 up to 1024, of 128 up to 2048, of 256 up to 4096."""
    assert rounded_up((1, 64)) == (64, 64)
    assert rounded_up((65, 1024)) == (128, 1024)
    assert rounded_up((1025, 2048)) == (1152, 2048)
    assert rounded_up((2049, 4000)) == (2304, 4096)
    for length in range(1, 9000, 7):
        rounded = rounded_up((length, 1))[0]
        assert length <= rounded < max(length + 64, length * 9 / 8)


def test_canvases_of_a_folder_of_pictures():
    """Oracle: by hand.

    64 lying pictures share a size, which is theirs; the others are rounded up, and a
    canvas that saves less than 4 million pixels is none.
    """
    lying, others = [(375, 500)] * 64, [(500, 375)] * 20 + [(333, 500)] * 12
    assert picture_canvases(np.array(lying)) == ((375, 500),)
    assert picture_canvases(np.array(lying[1:])) == ((384, 512),)
    assert picture_canvases(np.array(lying + others)) == ((375, 500), (512, 512))
    assert picture_canvases(np.array(lying + 3 * others)) == ((375, 500), (512, 512))
    assert picture_canvases(np.array(lying + 4 * others)) == (
        (375, 500),
        (500, 375),
        (384, 512),
    )
    two = [(100, 100), (30, 500)]
    assert picture_canvases(np.array(two)) == ((128, 512),)
    rng = np.random.default_rng(0)
    many = rng.integers(200, 1200, (500, 2))
    canvases = picture_canvases(many)
    assert 10 < len(canvases) <= 16
    assert all(smallest_canvas([size], canvases) for size in many)
    five = [(100 + part, 100) for part in range(5) for _ in range(70 - part)]
    four = tuple((100 + part, 100) for part in range(4))
    assert picture_canvases(np.array(five)) == (*four, (128, 128))
