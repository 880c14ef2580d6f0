"""Work in processes of its own: a function once, or a system that takes turns."""

import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import memory, systems
from benchmarks.cases import Case, Setting
from fcn_jax.runtime.messages import RunError, error_sentence

CONTEXT = multiprocessing.get_context("spawn")
WARM_UP = 2
"""Steps between the first call and the first round."""


class Unavailable(RunError):
    """A process could not do what it was started for."""


class Process:
    """A process that answers questions, one after the other.

    Attributes:
        name: of what runs in it, for messages.
    """

    def __init__(self, name: str, target: Callable[..., None], *arguments: Any):
        self.name = name
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(
            target=_quietly, args=(theirs, target, *arguments)
        )
        self._process.start()
        theirs.close()

    def ask(self, *question: Any) -> Any:
        """Send a question, wait for the answer.

        Raises:
            Unavailable: if the process failed, or has ended.
        """
        try:
            if question:
                self._pipe.send(question)
            done, answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            raise Unavailable(
                f"{self.name}: its process ended with status {code}"
                + (", probably for lack of memory" if code == -9 else "")
            ) from None
        if not done:
            raise Unavailable(f"{self.name}: {answer}")
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def alone(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function, computed in a process that then ends.

    Raises:
        Unavailable: if it failed there.
    """
    process = Process(name, _once, function, *arguments)
    try:
        return process.ask()
    finally:
        process.close()


def _quietly(pipe: Connection, target: Callable[..., None], *arguments: Any) -> None:
    """Run the target; an exception becomes a sentence, prints go to stderr."""
    os.dup2(2, 1)
    try:
        target(pipe, *arguments)
    except (EOFError, KeyboardInterrupt):
        pass  # the other end has gone
    except Exception as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        sentence = error_sentence(error)
        pipe.send((False, f"{type(error).__name__}: {sentence[:400]}"))


def _once(pipe: Connection, function: Callable[..., Any], *arguments: Any) -> None:
    pipe.send((True, function(*arguments)))


def serve(
    pipe: Connection, name: str, case: Case, setting: Setting, files: Path
) -> None:
    """Make a system, then take turns: ("first", file), ("turn", steps), ("peak",)."""
    with tempfile.TemporaryDirectory(dir=files) as scratch:
        _own_cache(scratch, setting)
        system = systems.make(name, case, setting, files)
        pipe.send((True, system.images))
        highest = 0.0
        while True:
            question, *arguments = pipe.recv()
            if question == "first":
                answer = first_call(system, case, *arguments)
                highest = memory.peak_mib()
                memory.forget_peak()
            elif question == "turn":
                answer = turn(system, *arguments) / system.images
            else:
                steps = memory.peak_mib()
                answer = {
                    "device": system.peak_mib(),
                    "process": max(highest, steps),
                    "steps": steps,
                }
            pipe.send((True, answer))


def _own_cache(scratch: str, setting: Setting) -> None:
    """Let torch.compile start without what earlier processes compiled."""
    folder = Path(setting.cache, "inductor") if setting.cache else Path(scratch)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)


def first_call(system: systems.System, case: Case, file: Path) -> float:
    """Seconds of the first step, compilation included; its outputs go to a file."""
    seconds = turn(system, 1)
    if case.task != "train":  # of updates, see `update`
        outputs: dict[str, Any] = system.outputs()
        np.savez(file, **outputs)
    for _ in range(WARM_UP):
        turn(system, 1)
    return seconds


def turn(system: systems.System, steps: int) -> float:
    """Seconds of a step, of several that are queued one after the other."""
    start = time.perf_counter()
    for _ in range(steps):
        system.step()
    system.wait()
    return (time.perf_counter() - start) / steps


def update(
    name: str, case: Case, setting: Setting, files: Path
) -> dict[str, np.ndarray]:
    """Loss and update of a first train step without dropout, to be compared.

    The reference computes in float32 on an accelerator too.
    """
    with tempfile.TemporaryDirectory(dir=files) as scratch:
        _own_cache(scratch, setting)
        precise = name == systems.REFERENCE
        system = systems.make(
            name, case, setting, files, dropout=False, precise=precise
        )
        turn(system, 1)
        return system.outputs()
