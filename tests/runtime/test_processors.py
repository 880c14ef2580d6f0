"""Cores that a process may use: its affinity, and the quota of its container."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fcn_jax.runtime import processors

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 64),
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("9900000 100000", 64),
        ("none of these", 64),
        ("5 0", 64),
        ("0 100000", 1),
    ],
)
def test_the_quota_of_a_container_bounds_the_cores(quota, cores, tmp_path, monkeypatch):
    """Oracle: quota / period by hand, of 64 cores."""
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(processors, "_GROUPS", tmp_path)
    assert processors.usable_cores() == 64
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert processors.usable_cores() == cores


def test_a_process_that_is_bound_to_one_core_has_one():
    """Oracle: the affinity that is set in a process of its own."""
    core = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{core}])\n"
        "from fcn_jax.runtime.processors import usable_cores; print(usable_cores())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True
    )
    assert done.stdout.split() == [b"1"]
