"""The first line that each program logs: what computes, and in which precision."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.narrow_fcn import drawn_image
from tests.signalled_runs import TINY, environment

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_first_line_says_what_computes(tmp_path):
    """Oracle: one device of this processor; the type of the configuration, then stored."""
    Image.fromarray(drawn_image(40, 50)).save(tmp_path / "a.png")
    run = f"--workdir={tmp_path / 'run'}"
    net = f"--checkpoint={tmp_path / 'run'}"
    commands = (
        ("main", TINY, run, "--config.steps=1", "--config.dtype=bfloat16"),
        ("main", TINY, net, "--mode=evaluate"),
        ("predict", net, f"--output={tmp_path / 'out'}", str(tmp_path / "a.png")),
    )
    for module, *words in commands:
        done = subprocess.run(
            [sys.executable, "-m", f"fcn_jax.{module}", *words],
            env={**environment(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        first = done.stderr.splitlines()[0]
        words = r"\d\d:\d\d:\d\d computing on 1 x cpu \(\d+ cores\), bfloat16"
        assert re.fullmatch(words, first), first
