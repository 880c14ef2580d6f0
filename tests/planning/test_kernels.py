"""Kinds, operations and times of kernels; oracle: numbers by hand."""

import pytest

from fcn_jax.planning import kernels
from fcn_jax.planning.targets import Target
from tests.planning.snippets import TPU, TRAIN

TARGET = Target("t", "a test", {"bfloat16": 1e6, "float32": 1e5}, 1e4, 1, "cuda")


def test_kinds_of_kernels():
    """Oracle: the snippet: what each instruction is there for."""
    found = {own.name: own.kind for own in kernels.read(TRAIN).kernels}
    assert found == {
        "laid": kernels.PARAMETERS,
        "conv": kernels.FORWARD,
        "relu": kernels.ELEMENTWISE,
        "filter": kernels.FILTER,
        "input": kernels.INPUT,
        "swapped": kernels.SWAPPED,
        "gemm": kernels.PRODUCT,
        "unpooled": kernels.POOLING,
        "turned": kernels.FEATURES,
        "start": "all-reduce",
    }
    kinds = [own.kind for own in kernels.read(TPU).kernels]
    assert kinds == [kernels.PARAMETERS, kernels.ELEMENTWISE, kernels.FORWARD]


def test_operations_of_library_calls():
    """Oracle: 2 x values x window x channels, by hand."""
    found = {own.name: own.operations for own in kernels.read(TRAIN).kernels}
    whole = 2 * (8 * 6 * 6) * 4 * 2 * 9
    assert (found["conv"], found["filter"], found["input"]) == (whole,) * 3
    assert found["swapped"] == 2 * (2 * 3 * 3 * 4) * 24 * 24 * 4
    assert found["gemm"] == 2 * 16 * 5 * 32
    assert found["relu"] == 0


def test_a_large_window_of_upsampling_is_not_the_swapped_form():
    """Oracle: a strided window of 64 pixels, the gradient of learned upsampling."""
    text = TRAIN.replace("size=24x24 pad", "size=24x24 stride=8x8 pad")
    assert kernels.read(text).of(kernels.SWAPPED) == []


def test_rare_instructions_and_collectives():
    """Oracle: one scatter within a fusion, one all-reduce of 72 float32."""
    reading = kernels.read(TRAIN)
    assert reading.rare == {"scatter": 1, "sort": 0, "gather": 0, "callback": 0}
    assert reading.collectives == {("all-reduce", "f32"): (1, 4 * 72)}
    text = TRAIN.replace("__cublas$lt$matmul", "__cub$DeviceRadixSort")
    assert kernels.read(text).rare["sort"] == 1


def test_time_is_the_longer_of_work_and_bytes():
    """Oracle: by hand, one product and one elementwise kernel."""
    product = kernels.Kernel("a", kernels.PRODUCT, 3_000_000, 5_000, 5_000)
    slow = kernels.Kernel("b", kernels.FORWARD, 1_000, 10_000, 10_000)
    other = kernels.Kernel("c", kernels.ELEMENTWISE, 0, 2_000, 3_000)
    reading = kernels.Reading((product, slow, other), {}, {})
    assert reading.seconds(TARGET, "bfloat16", 0) == pytest.approx(3.0 + 2.0 + 0.5)
    untold = kernels.Kernel("d", kernels.FORWARD, 0, 10_000, 0)
    reading = kernels.Reading((untold, other), {}, {})
    assert reading.seconds(TARGET, "bfloat16", 7_000_000) == pytest.approx(7.5)
    assert reading.seconds(TARGET, "bfloat16", 10) == pytest.approx(1.5)


def test_summary_adds_up():
    """Oracle: the kernels' own bytes."""
    reading = kernels.read(TRAIN)
    found = kernels.summary(reading)
    assert found["kernels"] == 10
    assert found["calls"][kernels.SWAPPED]["calls"] == 1
    assert found["other_bytes"] == sum(found["bytes"].values())
    calls = sum(own["bytes"] for own in found["calls"].values())
    reduced = reading.bytes_of("all-reduce")
    total = sum(own.bytes for own in reading.kernels)
    assert found["other_bytes"] + calls + reduced == total
