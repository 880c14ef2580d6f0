"""Programs that run by themselves, one or several at a time; all hear every signal."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fcn_jax.runtime.cli import Stopped
from fcn_jax.runtime.messages import shortened
from fcn_jax.runtime.stop import SIGNALS

_LONGEST = 600
"""Characters of an error that are repeated."""


@dataclass
class _Child:
    """A program that runs, and how many signals it was sent."""

    program: "subprocess.Popen[bytes]"
    sent: int = 0


class Children:
    """A context manager that passes every signal on to the programs that run.

    Each program has a session of its own, so that it hears a signal once. A signal that
    the process ignores stays ignored. It is entered in the main thread; `run` may be
    called in others.
    """

    def __init__(self) -> None:
        self._heard: list[int] = []
        self._running: list[_Child] = []
        self._guard = threading.RLock()  # a signal may come to the thread that holds it
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Children":
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise Stopped if a signal has come."""
        if self._heard:
            raise Stopped(self._heard[0])

    def end(self) -> None:
        """Ask the programs that run to save and end, unless a signal has done so."""
        if not self._heard:
            self._hear(signal.SIGTERM, None)

    def run(self, command: Sequence[str], log: Path, cores: frozenset[int]) -> str:
        """Run a program to its end.

        Args:
            command: the program and its arguments.
            log: file that gets all it says, after what is there.
            cores: the processor cores that it may use; none are all.

        Returns:
            Why it failed, in a sentence; "" where it did not.

        Raises:
            Stopped: after the end of a program that a signal was passed on to.
        """
        self.check()
        with log.open("ab") as written:
            begin = written.tell()
            child = _Child(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
            with self._guard:
                self._running.append(child)
            self._pass_on()
            if cores:
                _confine(child.program.pid, cores)
            status = child.program.wait()
        with self._guard:
            self._running.remove(child)
        self.check()
        return failure(status, log, begin)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._heard.append(number)
        self._pass_on()

    def _pass_on(self) -> None:
        """Send what was heard and not sent yet; a program that ended hears nothing."""
        with self._guard:
            for child in self._running:
                while child.sent < len(self._heard):
                    number = self._heard[child.sent]
                    child.sent += 1  # first: a signal that comes now is passed on here
                    child.program.send_signal(number)


def core_shares(count: int) -> list[frozenset[int]]:
    """Return the cores of this process in so many disjoint parts of nearly one size.

    One part, or more parts than cores, gives empty parts: programs share all cores.
    """
    cores = sorted(os.sched_getaffinity(0))
    if not 1 < count <= len(cores):
        return [frozenset()] * count
    bounds = [number * len(cores) // count for number in range(count + 1)]
    parts = zip(bounds[:-1], bounds[1:], strict=True)
    return [frozenset(cores[begin:end]) for begin, end in parts]


def _confine(process: int, cores: frozenset[int]) -> None:
    """Bind a program that has just been started to cores; its threads inherit them."""
    with contextlib.suppress(OSError):  # it has ended, or they are no longer ours
        os.sched_setaffinity(process, cores)


def failure(status: int, log: Path, begin: int) -> str:
    """Return why a program failed, from its exit status and what it said.

    Args:
        status: the exit status; minus the number of a signal that ended it.
        log: file with what it said.
        begin: byte of the file where that begins.

    Returns:
        Its own error in one sentence, or the status and the file; "" for status 0.
    """
    if status == 0:
        return ""
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if errors:
        return shortened(errors[-1].removeprefix("error: "), _LONGEST)
    ended = f"its program ended with status {status}"
    if status < 0:
        ended = f"its program was ended by {signal.Signals(-status).name}"
    last = f" ({shortened(lines[-1].strip())})" if lines else ""
    return f"{ended}{last}; {log} has what it said"
