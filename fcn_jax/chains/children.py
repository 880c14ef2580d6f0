"""Programs that run one after another; signals go to the one that runs."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from fcn_jax.runtime.cli import Stopped
from fcn_jax.runtime.messages import shortened
from fcn_jax.runtime.stop import SIGNALS

_LONGEST = 600
"""Characters of an error that are repeated."""


class Children:
    """A context manager that passes every signal on to the program that runs.

    Each program has a session of its own, so that it hears a signal once. A signal that
    the process ignores stays ignored.
    """

    def __init__(self) -> None:
        self._heard: list[int] = []
        self._sent = 0
        self._child: subprocess.Popen[bytes] | None = None
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

    def run(self, command: Sequence[str], log: Path) -> str:
        """Run a program to its end.

        Args:
            command: the program and its arguments.
            log: file that gets all it says, after what is there.

        Returns:
            Why it failed, in a sentence; "" where it did not.

        Raises:
            Stopped: after the end of a program that a signal was passed on to.
        """
        self.check()
        with log.open("ab") as written:
            begin = written.tell()
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._pass_on()
            status = self._child.wait()
        self._child = None
        self.check()
        return failure(status, log, begin)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._heard.append(number)
        self._pass_on()

    def _pass_on(self) -> None:
        """Send what was heard and not sent yet; a program that ended hears nothing."""
        while self._child is not None and self._sent < len(self._heard):
            self._sent += 1
            self._child.send_signal(self._heard[self._sent - 1])


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
