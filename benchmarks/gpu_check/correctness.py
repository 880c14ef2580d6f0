"""Scores and first update on this device beside the plain forms on the processor."""

import os
import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks import agreement
from benchmarks.cases import Case
from benchmarks.gpu_check import races
from benchmarks.gpu_check.scale import Context, Result, Row, Scale
from benchmarks.gradients import by_layer
from fcn_jax.runtime.messages import RunError

BATCH = 2
SYSTEMS = {"fcn_jax_bf16": "bfloat16", "fcn_jax": "float32", "torch": "bfloat16"}
"""What is compared, and the precision whose bounds hold; torch's is float32 on a CPU."""
WORST = 3
"""Layers that are named."""


def rows(scale: Scale) -> list[Row]:
    """Updates with both paddings, then scores."""
    return [
        {"task": task, "net": net, "system": system}
        for net, task in (
            (scale.reference, "train"),
            (scale.same, "train"),
            (scale.reference, "inference"),
        )
        for system in SYSTEMS
    ]


def measure(row: Row, context: Context) -> Result:
    """The largest errors beside the plain form in float32, and what is too large.

    "layers" has the three layers with the largest errors: (1 - cosine, distance of the
    norms' ratio from 1, worst slice) by name.
    """
    case, name = _case(row, context), row["system"]
    try:
        found = first_step(name, case, context)
    except ModuleNotFoundError as error:
        return {"skipped": str(error)}
    expected = _plain(row, context)
    updates = {k: v for k, v in expected.items() if k.startswith("update.")}
    layers = by_layer(found, updates)
    worst = sorted(layers, key=lambda key: -layers[key].error)[:WORST]
    measured = agreement.errors(found, expected)
    lower = context.scale.device == "gpu" or name == races.BFLOAT16
    dtype = SYSTEMS[name] if lower else "float32"
    beyond = agreement.excess(measured, agreement.tolerances(dtype, case.net))
    return {
        "errors": measured,
        "layers": {key.partition(".")[2]: layers[key][1:] for key in worst},
        "beyond": beyond,
    }


def first_step(name: str, case: Case, context: Context) -> agreement.Outputs:
    """What a system's first step gives, without dropout."""
    system: Any = races.make(name, case, context, dropout=False)
    system.step()
    system.wait()
    return system.outputs()


def write_plain(row: Row, context: Context) -> None:
    """Compute the first step by the plain forms in float32, in this process.

    It has to be one for the processor: JAX_PLATFORMS=cpu.
    """
    from benchmarks import fcn_jax_system
    from benchmarks.gpu_check.plain import plain_layers

    case = _case(row, context)
    setting = context.setting(device="cpu")
    with plain_layers():
        system = fcn_jax_system.make(
            case, setting, context.weights(case.net), dtype="float32", dropout=False
        )
        system.step()
        system.wait()
        file = _file(row, context)
        partial = file.with_name(f".{file.name}")
        np.savez(partial, **system.outputs())
        partial.rename(file)


def _plain(row: Row, context: Context) -> agreement.Outputs:
    """What `write_plain` wrote; written first where it is missing.

    Raises:
        RunError: if that failed.
    """
    file = _file(row, context)
    if not file.exists():
        task, net = row["task"], row["net"]
        module = "benchmarks.gpu_check"
        command = [sys.executable, "-m", module, "plain", task, net]
        folders = [f"--out={context.out}", f"--work={context.work}"]
        dry = [] if context.scale.device == "gpu" else ["--dry"]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        done = subprocess.run([*command, *folders, *dry], env=environment, check=False)
        if done.returncode:
            raise RunError(f"the plain form ended with status {done.returncode}")
    with np.load(file) as arrays:
        return dict(arrays)


def _file(row: Row, context: Context) -> Any:
    return context.work / f"plain-{row['task']}-{row['net']}.npz"


def _case(row: Row, context: Context) -> Case:
    return Case(row["task"], row["net"], *context.scale.compared, BATCH)
