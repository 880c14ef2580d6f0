"""The table of a weight file and the statistics in it."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fcn_jax.convert.inspect import print_description, statistics
from fcn_jax.convert.readers.weight_file import WeightFile


def values(*shape, dtype=np.float32):
    return np.random.default_rng(shape).normal(3, 2, size=shape).astype(dtype)


ARRAYS = {
    "plain": values(30, 40),
    "scalar": np.float32(7),
    "transposed": values(30, 40, 3).transpose(2, 0, 1)[:, ::2],
    "double": values(1000, dtype=np.float64),
    "half": values(1000, dtype=np.float16),
    "swapped": values(1000, dtype=">f4"),
    "integers": np.arange(-5, 300),
    "unaligned": np.frombuffer(b"x" + values(99).tobytes(), "<f4", offset=1),
    "several pieces": values(700, 1000),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_statistics(name):
    """Oracle: numpy's min, mean, std and max in float64."""
    array = ARRAYS[name]
    found, double = statistics(array), np.asarray(array).astype(np.float64)
    assert found.minimum == double.min()
    assert found.maximum == double.max()
    assert found.mean == pytest.approx(double.mean(), rel=1e-12)
    assert found.deviation == pytest.approx(double.std(), rel=1e-12, abs=1e-12)
    assert found.non_finite == 0


def test_statistics_are_of_the_finite_values():
    """Oracle: by hand, of 1, 2 and 6."""
    found = statistics(np.array([[np.nan, 1, 2], [np.inf, -np.inf, 6]], np.float32))
    assert (found.minimum, found.mean, found.maximum) == (1, 3, 6)
    assert found.deviation == pytest.approx((14 / 3) ** 0.5)
    assert found.non_finite == 3


@pytest.mark.parametrize("array", [np.full(3, np.nan), np.zeros((0, 4), np.float32)])
def test_statistics_of_no_finite_value(array):
    """Oracle: nothing to take them of."""
    found = statistics(array)
    assert np.isnan([found.minimum, found.mean, found.deviation, found.maximum]).all()
    assert found.non_finite == array.size


def test_statistics_take_no_memory_of_the_arrays_size():
    """Oracle: less than a quarter of a 64 MB array."""
    array = np.ones(16_000_000, np.float32)
    tracemalloc.start()
    found = statistics(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.mean == 1
    assert peak < 2**24


def printed(weight_file):
    stream = io.StringIO()
    print_description(weight_file, Console(file=stream, width=200))
    return stream.getvalue()


def test_description():
    """Oracle: the names, shapes, types and numbers of two arrays, by hand."""
    arrays = {
        "conv1/7x7[0]": np.array([[1, 2], [4, np.nan]], np.float32),
        "conv1/7x7[1]": np.array(0.5),
    }
    weight_file = WeightFile(
        Path("n.caffemodel"), "caffemodel", arrays, {"conv1/7x7": "LRN"}, "N"
    )
    lines = printed(weight_file).splitlines()
    assert lines[0] == "n.caffemodel: caffemodel, net N, 2 arrays, 5 values"
    rows = [line.split() for line in lines]
    assert [
        "conv1/7x7[0]",
        "LRN",
        "2x2",
        "float32",
        "1",
        "2.333",
        "1.247",
        "4",
        "1",
    ] in rows
    assert [
        "conv1/7x7[1]",
        "LRN",
        "scalar",
        "float64",
        *["0.5"] * 2,
        "0",
        "0.5",
        "0",
    ] in rows


def test_names_do_not_drive_the_terminal():
    """Oracle: markup stays text, and control characters are escaped."""
    name = "[red]x\x1b[2J\nnext"
    text = printed(
        WeightFile(Path("n"), "npz", {name: np.ones(2)}, {}, "\x1b]0;title\x07")
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]x" in text
    assert "layer" not in text
