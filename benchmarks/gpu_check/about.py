"""Which card and which versions are measured."""

import datetime
import importlib.util
import subprocess

from benchmarks import machine
from benchmarks.gpu_check.scale import Context, Result, Row, Scale
from fcn_jax.runtime.messages import RunError

QUERY = ("name", "driver_version", "memory.total", "clocks.sm", "clocks.mem")


def rows(scale: Scale) -> list[Row]:
    """One: the machine."""
    return [{"device": scale.device}]


def measure(row: Row, context: Context) -> Result:
    """Card, driver, processor, cores, versions and the date.

    Raises:
        RunError: if a GPU is wanted and jax sees none, or torch, if there is one.
    """
    found = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "card": "",
        **machine.describe(context.setting()),
    }
    if row["device"] == "cpu":
        return found
    with_torch = importlib.util.find_spec("torch") is not None
    found["card"] = machine.check_gpu(with_torch)
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RunError(f"nvidia-smi does not tell the driver: {error}") from error
    values = [value.strip() for value in told.stdout.splitlines()[0].split(",")]
    return found | dict(zip(QUERY, values, strict=True))
