"""Runs that a real signal ends at a random moment, and continue.

    python -m tests.signalled_runs --count=20 --seed=0 [--signal=SIGTERM]

counts those that ended as they should: with the status of the signal, every update that
was logged saved, and a continued run that equals the one nothing ended, bit for bit.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fcn_jax.checkpoints import store
from tests.quick import QUICK

TINY = f"--config={Path(__file__).parent / 'tiny.py'}"
CHAIN = 7  # signals that end one run
NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def environment(cache: Path) -> dict[str, str]:
    """Of a quick run on a CPU that keeps compiled programs in `cache`."""
    return {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count=2 {QUICK}",
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONWARNINGS": "error,ignore::DeprecationWarning",
    }


def command(workdir: Path, *options: str) -> list[str]:
    """The tiny run."""
    return [
        sys.executable,
        "-m",
        "fcn_jax.main",
        TINY,
        f"--workdir={workdir}",
        *options,
    ]


def stop(
    workdir: Path,
    moment: tuple[int, float],
    number: signal.Signals,
    own: Mapping[str, str],
    *options: str,
) -> tuple[int, str]:
    """Starts the run and signals its process group; returns status and messages.

    Args:
        workdir: of the run.
        moment: when, in seconds after so many new rows, or the first line of the log.
        number: the signal.
        own: the environment.
        options: more of the command.
    """
    log = workdir.with_suffix(".log")
    rows, after = len(logged(workdir)) + moment[0], moment[1]
    with (
        log.open("w") as written,
        subprocess.Popen(
            command(workdir, *options),
            env=own,
            stdout=subprocess.DEVNULL,
            stderr=written,
            start_new_session=True,
        ) as process,
    ):
        until = time.monotonic() + 300
        while process.poll() is None:
            if log.read_text() and (not moment[0] or len(logged(workdir)) >= rows):
                break
            time.sleep(0.05)
            assert time.monotonic() < until, "the run said nothing"
        time.sleep(after)
        if process.poll() is None:
            os.killpg(process.pid, number)
        process.wait(timeout=300)
    return process.returncode, log.read_text()


def logged(workdir: Path) -> list[tuple[int, str, str]]:
    """Step, split and loss of every row."""
    metrics = workdir / "metrics.jsonl"
    if not metrics.exists():
        return []
    lines = metrics.read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    return [(row["step"], row["split"], repr(row["loss"])) for row in rows]


def check_stopped(workdir: Path, status: int, number: int, messages: str) -> str:
    """What was wrong with the end of a run; "" where nothing was."""
    if status == 0:
        return ""
    if status != 128 + number:
        return f"status {status} after signal {number}: {messages[-500:]}"
    steps = [step for step, split, _ in logged(workdir) if split == "train"]
    folder = workdir / "checkpoints"
    saved = 0
    if folder.is_dir() and any(path.name.isdecimal() for path in folder.iterdir()):
        saved = store.load(workdir, which="newest").step
    if max(steps, default=0) > saved:
        return f"{max(steps)} updates were done and {saved} are saved"
    return ""


def check_same(workdir: Path, whole: Path) -> str:
    """How a finished run differs from another; "" where it does not."""
    if logged(workdir) != logged(whole):
        return "other rows"
    ours, theirs = (
        store.load(own, which="newest", optimizer=True) for own in (workdir, whole)
    )
    if (ours.step, ours.score) != (theirs.step, theirs.score):
        return "another last checkpoint"
    for one, other in (
        (ours.params, theirs.params),
        (ours.optimizer or {}, theirs.optimizer or {}),
    ):
        for path in other.keys() | one.keys():
            if not np.array_equal(one[path], other[path]):
                return f"another {path}"
    return ""


def chain(
    workdir: Path,
    whole: Path,
    signals: Iterable[tuple[signal.Signals, tuple[int, float]]],
    own: Mapping[str, str],
    *options: str,
) -> list[str]:
    """Ends a run again and again, then lets it finish.

    Args:
        workdir: of the run.
        whole: that of the run that nothing ended.
        signals: each with the moment at which it comes, as `stop` takes it.
        own: the environment.
        options: more of the command.

    Returns:
        What was wrong after each of the signals that came in time; "" for nothing.
    """
    found = []
    for number, moment in signals:
        status, messages = stop(workdir, moment, number, own, *options)
        if status == 0:
            print("the last update was done before the signal came", flush=True)
            break
        found.append(check_stopped(workdir, status, number, messages))
        last = messages.strip().splitlines()[-1]
        when = f"{moment[0]} new rows and {moment[1]:.2f} s"
        print(f"{number.name} after {when}: {status}, {last}", flush=True)
    ended = subprocess.run(
        command(workdir, *options), env=own, capture_output=True, text=True
    )
    problem = ended.stderr[-500:] if ended.returncode else check_same(workdir, whole)
    return [before or problem for before in found]


def campaign(
    directory: Path, count: int, seed: int, numbers: Sequence[signal.Signals] = NUMBERS
) -> list[str]:
    """Ends runs `count` times; returns what was wrong each time, "" for nothing."""
    draw = random.Random(seed)
    own = environment(directory / "cache")
    options = ("--config.steps=150", "--config.evaluation.every=5")
    whole = directory / "whole"
    subprocess.run(command(whole, *options), env=own, check=True, capture_output=True)
    found: list[str] = []
    while len(found) < count:
        workdir = directory / f"run{len(found)}"
        # Every other chain compiles, and reads in a process of its own.
        cold = len(found) // CHAIN % 2
        cache = environment(directory / f"cache{len(found)}") if cold else own
        signals = [
            (draw.choice(numbers), moment(draw))
            for _ in range(min(CHAIN, count - len(found)))
        ]
        more = (f"--config.data.workers={cold}",)
        problems = chain(workdir, whole, signals, cache, *options, *more)
        print(f"{problems.count('')} of {len(problems)} as they should", flush=True)
        print(*filter(None, problems), sep="\n", flush=True)
        found += problems
    return found


def moment(draw: random.Random) -> tuple[int, float]:
    """While a run starts and compiles, or updates, evaluates and saves."""
    if draw.random() < 0.3:
        return 0, draw.uniform(0, 10)
    return draw.randint(1, 12), draw.uniform(0, 0.5)


def main() -> None:
    """The command line."""
    # A background job of a shell ignores Ctrl-C, and so would the runs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    names = [number.name for number in NUMBERS]
    parser.add_argument("--signal", choices=names, help="this one alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        numbers = [signal.Signals[options.signal]] if options.signal else NUMBERS
        found = campaign(Path(directory), options.count, options.seed, numbers)
    print(f"{found.count('')} of {len(found)} ended and continued as they should")
    sys.exit(1 if any(found) else 0)


if __name__ == "__main__":
    main()
