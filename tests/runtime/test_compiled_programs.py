"""Compiled programs: bounded in number, the same results, refused beyond the memory."""

import gc
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fcn_jax.runtime import memory
from fcn_jax.runtime.compiled_programs import Programs, in_precision


def test_the_least_recently_used_program_goes_first():
    """Oracle: how often the function is traced, by hand."""
    traced = []

    def double(params, values, sizes):
        traced.append(values.shape if sizes is None else (*values.shape, "sizes"))
        return 2 * values + params

    programs = Programs(double, most=2)
    params = jnp.float32(1)

    def call(length, sizes=None):
        values = np.arange(length, dtype=np.float32)
        np.testing.assert_array_equal(programs(params, values, sizes), 2 * values + 1)

    for length in (3, 4, 3, 5, 3, 4):  # 4 goes when 5 comes, 5 when 4 comes again
        call(length)
    assert traced == [(3,), (4,), (5,), (4,)]
    call(3, np.int32(1))
    assert traced[-1] == (3, "sizes")
    assert len(programs) == 2


@pytest.mark.slow
def test_a_program_that_is_dropped_is_gone():
    """Oracle: the executables that the device's client has, counted."""
    client = jax.devices()[0].client
    programs = Programs(lambda params, values: jnp.tanh(values * params), most=2)

    def live():
        gc.collect()
        return len(client.live_executables())

    for length in (3, 4):
        programs(np.float32(2), np.zeros(length, np.float32))
    before = live()
    for length in range(5, 10):
        programs(np.float32(2), np.zeros(length, np.float32))
    assert live() == before


def test_what_needs_more_memory_than_is_free_is_refused(monkeypatch):
    """Oracle: 4 MB of result, by hand, where 3 are free."""
    programs = Programs(lambda params, n: jnp.broadcast_to(params + n, (1000, 1000)))
    arguments = np.float32(1), np.float32(2)
    monkeypatch.setattr(memory, "available", lambda: 5_000_000)
    assert programs(*arguments).shape == (1000, 1000)
    monkeypatch.setattr(memory, "available", lambda: 3_000_000)
    with pytest.raises(MemoryError, match="0.0 GB of memory, of which 0.0 are free"):
        programs(*arguments)
    monkeypatch.setattr(memory, "available", lambda: None)
    programs(*arguments)


def test_free_memory_is_that_of_the_machine_or_the_container(tmp_path):
    """Oracle: files as Linux writes them, by hand."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    2000 kB\nSwapFree: 3 kB\n")
    assert memory._of_machine(meminfo) == 2000 * 1024
    assert memory._of_machine(tmp_path / "none") is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text(
        "anon 400\ninactive_file 90\nactive_file 10\n"
    )
    assert memory._of_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory._of_group(tmp_path) == 1000 - 700 + 90 + 10
    found = memory.available()
    assert found is None or found > 0
    assert found is not None or not Path("/proc/meminfo").exists()


@pytest.mark.parametrize(
    ("dtype", "tf32", "expected"),
    [
        ("float32", False, "HIGHEST"),
        ("float32", True, "HIGH"),
        ("bfloat16", False, None),
    ],
)
def test_float32_is_computed_in_float32_unless_asked_otherwise(dtype, tf32, expected):
    """Oracle: the precision in the traced product, forwards and backwards."""

    def product(a, b):
        return (a @ b).sum()

    function = in_precision(jax.grad(product), dtype, tf32=tf32)
    a = jnp.ones((2, 2), dtype)
    equations = jax.make_jaxpr(function)(a, a).jaxpr.eqns
    precisions = [
        equation.params["precision"]
        for equation in equations
        if equation.primitive.name == "dot_general"
    ]
    assert precisions
    wanted = expected and (lax.Precision[expected], lax.Precision[expected])
    assert all(found == wanted for found in precisions)
