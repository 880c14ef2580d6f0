"""The command of a run, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

from tests import signalled_runs

TESTS = Path(__file__).parents[1]


def run_main(cache: Path, *arguments: str) -> subprocess.CompletedProcess:
    """`python -m fcn_jax.main` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "fcn_jax.main", *arguments],
        env=signalled_runs.environment(cache),
        capture_output=True,
        text=True,
        timeout=300,
    )


def rows_of(workdir: Path, split: str) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == split]
