"""Runs the stages, each in a process that is ended at its limit."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu_check import record
from benchmarks.gpu_check.journal import Journal
from benchmarks.gpu_check.scale import DRY, FULL, Context, Result, Row, Scale
from benchmarks.gpu_check.stages import MACHINE, STAGES, Stage
from fcn_jax.runtime.messages import RunError, error_sentence

ROOT = Path(__file__).resolve().parents[2]
LEAST = 15
"""Seconds that must be left for a stage to begin."""
PATIENCE = 5
"""By how much the limits of the dry form are longer, for a slow or busy processor."""
GRACE = 5
"""Seconds between the request to end and the end."""
QUICK = "--xla_llvm_disable_expensive_passes=true --xla_backend_optimization_level=0"
"""Of the dry form: its programs run once, their time is that of compiling them."""


def run_stages(
    context: Context, stages: Sequence[Stage], *, limit: float, retry: bool
) -> None:
    """Measure what is not measured yet; the record is written after each stage.

    Args:
        context: where; `context.out` may have results already.
        stages: in order.
        limit: seconds for all of them.
        retry: whether rows that ended in an error are measured again.

    Raises:
        RunError: if the machine has no GPU and needs one, or if the results that are
            there are of another card.
    """
    journal, began = Journal(context.out), time.monotonic()
    before = _machine(journal)
    for stage in stages:
        wanted = _wanted(stage, journal, context.scale, retry)
        left = limit - (time.monotonic() - began)
        if wanted and left < LEAST:
            print(f"{stage.name}: no time is left", flush=True)
            continue
        if wanted:
            own = stage.limit * (1 if context.scale is FULL else PATIENCE)
            _run(stage, context, min(own, left), retry, journal)
            record.write(context, journal)
        if stage is MACHINE:
            _check_machine(before, _machine(journal))


def measure_rows(stage: Stage, context: Context, *, retry: bool) -> None:
    """Measure the rows of a stage in this process; one that fails is noted as such."""
    journal = Journal(context.out)
    for row in _wanted(stage, journal, context.scale, retry):
        journal.begin(stage.name, row)
        try:
            result = stage.measure(row, context)
        except Exception as error:
            sentence = error_sentence(error)[:400]
            result = {"error": f"{type(error).__name__}: {sentence}"}
        journal.end(stage.name, row, result)
        print(f"{stage.name} {row}: {result}", flush=True)


def _wanted(stage: Stage, journal: Journal, scale: Scale, retry: bool) -> list[Row]:
    rows = stage.chosen(scale)
    if stage.name == MACHINE.name:  # it may be another one than last time
        return rows
    return [row for row in rows if journal.wanted(stage.name, row, retry=retry)]


def _run(
    stage: Stage, context: Context, limit: float, retry: bool, journal: Journal
) -> None:
    """Run a stage in a process group of its own."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", "stage", stage.name]
    command += [f"--out={context.out}", f"--work={context.work}"]
    command += ["--dry"] if context.scale is DRY else []
    command += ["--retry"] if retry else []
    start = time.monotonic()
    with (context.out / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(context),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end(process)
    seconds = round(time.monotonic() - start, 1)
    journal.note(stage.name, status=status, seconds=seconds)
    told = "cut off" if status is None else f"status {status}"
    print(f"{stage.name}: {told} after {seconds:.0f} s", flush=True)


def _end(process: subprocess.Popen) -> None:
    """End what is left of a process group: ask, wait, kill."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def environment(context: Context) -> dict[str, str]:
    """The environment of a stage."""
    found = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(
            filter(None, (str(ROOT), os.environ.get("PYTHONPATH", "")))
        ),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_COMPILATION_CACHE_DIR": str(context.cache),
        "JAX_ENABLE_COMPILATION_CACHE": "true",
    }
    if context.scale is DRY:
        found |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": QUICK}
    return found


def _machine(journal: Journal) -> Result:
    """What is known of the machine; nothing before it is measured."""
    found = [e.result for e in journal.entries() if e.stage == MACHINE.name]
    return found[-1] if found else {}


def _check_machine(before: Result, now: Result) -> None:
    """Refuse to go on without a known machine, or with results of two cards."""
    if "error" in now:
        raise RunError(now["error"].removeprefix("RunError: "))
    if before.get("card", now["card"]) != now["card"]:
        raise RunError(
            f"the results in --out are of {before['card']}, and this is {now['card']}; "
            "choose another folder"
        )


def make_context(out: str, work: str, dry: bool) -> Context:
    """Folders of a check, made where they are missing."""
    context = Context(DRY if dry else FULL, Path(out).resolve(), Path(work).resolve())
    for folder in (context.out, context.work):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return context


def stage_names() -> tuple[str, ...]:
    """Names of all stages, in order."""
    return tuple(stage.name for stage in STAGES)
