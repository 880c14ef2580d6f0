"""Programs compiled for an H100 are no worse than the committed record.

Needs the package jax[cuda13], and no GPU: `pytest -m compiled` in an environment of its
own. Elsewhere it is skipped.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fcn_jax.planning.targets import missing_package

ROOT = Path(__file__).parents[2]
PACKAGE = missing_package("h100")
FAST = (
    "scores fcn8s 500x500 bfloat16 batch 1",
    "train fcn_alexnet 500x500 bfloat16 batch 8",
    "train fcn8s 500x500 bfloat16 batch 8",
)


@pytest.mark.compiled
@pytest.mark.slow
@pytest.mark.skipif(
    bool(PACKAGE),
    reason=f"compiling for an H100 needs the package {PACKAGE}, and no GPU",
)
def test_programs_are_no_worse_than_recorded():
    """Oracle: benchmarks/compiled/h100.json."""
    command = [
        *(sys.executable, "-m", "benchmarks.compiled", "--target=h100", "--check"),
        f"--only={','.join(FAST)}",
    ]
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment
    )
    worse = [line for line in done.stdout.splitlines() if line.startswith("worse")]
    assert worse == []
    assert done.returncode == 0, done.stderr[-2000:]
