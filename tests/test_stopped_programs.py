"""Signals to the programs that train nothing."""

import os
import signal
import subprocess
import sys

import pytest

from tests import signalled_runs

SLEEPER = """
import os, signal, sys, time
from fcn_jax import main
from fcn_jax.runtime.cli import run

def slow(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

setattr(main, sys.argv.pop(1), slow)
run(main.main)
"""


@pytest.mark.parametrize("mode", ["evaluate", "plan"])
def test_sigterm_ends_the_program_at_once(mode, tmp_path):
    """Oracle: the exit status of a signal, and one sentence."""
    (tmp_path / "run").mkdir()
    options = [f"--mode={mode}", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-c", SLEEPER, f"_{mode}", signalled_runs.TINY, *options],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    words = "stopped: SIGTERM: no file is half-written"
    assert done.stderr.splitlines()[-1] == words
