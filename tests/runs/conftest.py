"""Fixtures of the tests of runs."""

import io

import pytest
import rich.console

from fcn_jax.runs import runlog


@pytest.fixture
def open_log(tmp_path):
    """Opens logs in tmp_path that do not draw, and closes them."""
    logs = []

    def open_one(start_step=0, total_steps=100):
        console = rich.console.Console(file=io.StringIO())
        logs.append(
            runlog.RunLog(
                tmp_path,
                start_step=start_step,
                total_steps=total_steps,
                console=console,
            )
        )
        return logs[-1]

    yield open_one
    for log in logs:
        log.close()
