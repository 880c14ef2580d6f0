"""Training and scores of fcn_jax and of torch, on images of the papers' size."""

import gc
import importlib.util
import os
import statistics
import sys
import time
from typing import Any

from benchmarks import systems
from benchmarks.cases import Case
from benchmarks.gpu_check.scale import Context, Result, Row, Scale
from benchmarks.nets import NETS, operations
from benchmarks.processes import turn

MOST_QUEUED = 50
"""Steps that are queued one after another in a round."""

BFLOAT16 = "fcn_jax_bf16"
DTYPES = {BFLOAT16: "bfloat16", "fcn_jax": "float32", "fcn_jax_tf32": "tf32"}
"""Arithmetic of the package's systems; torch's are in bfloat16 on a GPU."""


def bfloat16_rows(scale: Scale) -> list[Row]:
    """All tasks, paddings and batches; what the README promises comes first."""
    return _rows(BFLOAT16, scale)


def torch_rows(scale: Scale) -> list[Row]:
    """The same in torch's eager mode."""
    return _rows("torch", scale)


def compiled_rows(scale: Scale) -> list[Row]:
    """The same with torch.compile."""
    return _rows("torch_compile", scale)


def float32_rows(scale: Scale) -> list[Row]:
    """Scores and training in float32, then with products rounded to TF32."""
    small, middle, _ = scale.batches
    return [
        _row(system, task, net, batch)
        for system in ("fcn_jax", "fcn_jax_tf32")
        for net in (scale.reference, scale.same)
        for task, batch in (("inference", small), ("train", middle))
    ]


def _rows(system: str, scale: Scale) -> list[Row]:
    """In order of worth: scores of one image and updates of eight come first."""
    small, middle, large = scale.batches
    reference, same = scale.reference, scale.same
    chosen = (
        *(("inference", reference, small), ("train", reference, middle)),
        *(("train", same, middle), ("train", reference, large)),
        *(("inference", same, small), ("train", same, large)),
        *(("train", reference, small), ("inference", reference, middle)),
        *(("inference", reference, large), ("train", same, small)),
        *(("inference", same, middle), ("inference", same, large)),
    )
    return [_row(system, *own) for own in dict.fromkeys(chosen)]


def _row(system: str, task: str, net: str, batch: int) -> Row:
    return {"system": system, "task": task, "net": net, "batch": batch}


def measure(row: Row, context: Context) -> Result:
    """Milliseconds of a step, images a second, nominal TFLOP/s and peak memory."""
    name = row["system"]
    if name.startswith("torch") and importlib.util.find_spec("torch") is None:
        return {"skipped": "torch is not installed"}
    case = context.case(row["task"], row["net"], row["batch"])
    before = _peak(name)
    start = time.perf_counter()
    system = make(name, case, context)
    turn(system, 1)
    first = time.perf_counter() - start
    seconds = timed(system, context.scale)
    peak = system.peak_mib()
    del system
    _release(name)
    median = statistics.median(seconds)
    work = operations(NETS[case.net], case.height, case.width, case.batch, case.task)
    return {
        "ms": 1e3 * median,
        "spread": (max(seconds) - min(seconds)) / median,
        "images_per_second": case.batch / median,
        "nominal_tflops": work / median / 1e12,
        "first_seconds": first,
        # jax cannot forget the peak of an earlier row.
        "peak_mib": peak if peak is None or before is None or peak > before else None,
    }


def make(name: str, case: Case, context: Context, **own: Any) -> systems.System:
    """A system, ready for its first step.

    Args:
        name: of the system; a key of `DTYPES`, "torch" or "torch_compile".
        case: what it does.
        context: where the stage works.
        **own: options of its `make`, such as `dropout`.
    """
    weights, setting = context.weights(case.net), context.setting()
    if name in DTYPES:
        from benchmarks import fcn_jax_system

        dtype = DTYPES[name]
        return fcn_jax_system.make(case, setting, weights, dtype=dtype, **own)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(context.work / "inductor"))
    from benchmarks import torch_system

    compiled = name == "torch_compile"
    return torch_system.make(case, setting, weights, compiled=compiled, **own)


def timed(system: systems.System, scale: Scale) -> list[float]:
    """Seconds of a step in each round, after the first step of a system."""
    if scale.rounds == 1:
        return [turn(system, 1)]
    turn(system, 2)
    steps = int(scale.seconds / scale.rounds / max(turn(system, 1), 1e-6))
    steps = min(max(steps, 1), MOST_QUEUED)
    return [turn(system, steps) for _ in range(scale.rounds)]


def _peak(name: str) -> float | None:
    """MiB of the accelerator at most so far in this process; torch's starts anew."""
    if name not in DTYPES:
        return None
    import jax

    statistics_ = jax.devices()[0].memory_stats() or {}
    peak = statistics_.get("peak_bytes_in_use")
    return None if peak is None else peak / 2**20


def _release(name: str) -> None:
    """Free what a system held, before the next is made."""
    gc.collect()
    if name in DTYPES:
        import jax

        jax.clear_caches()
        return
    torch = sys.modules["torch"]
    torch.compiler.reset()  # else a second batch is compiled for any size
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
