"""Signals that end a program: received at any time, acted on where nothing is lost.

A scheduler's SIGTERM, its earlier warning (SIGUSR1 of `--signal=USR1@120`, SIGXCPU), a
closed terminal and Ctrl-C have the same effect: the run ends. Python runs signal
handlers only between its own instructions, and compiling a net is one instruction that
takes a minute. So a thread listens too, and ends the process where nothing can be lost.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

from absl import logging

from fcn_jax.runtime.cli import Stopped

SIGNALS = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU),
)
"""Signals that end a run after its update; others keep their default action."""
_INSISTING = (signal.SIGINT, signal.SIGTERM)
_SAME_SECONDS = 0.2  # `timeout` sends its signal twice, to the process and to the group
_PATIENCE_SECONDS = 1.0
_STANDING = "nothing is lost; the same command continues"
_SHOW_CURSOR = b"\x1b[?25h"


class StopRequest:
    """A context manager in which signals become a request to end.

    A request raises `Stopped` in the next `check`, or at once within `now`. A second
    SIGINT or SIGTERM ends the process; the other signals are warnings, which schedulers
    repeat and follow by SIGTERM. Signals that the process ignores, as under nohup, stay
    ignored. Outside the main thread, where Python receives no signals, it does nothing.

    Attributes:
        signal: the first signal; None before one arrives.
        nothing_to_lose: whether the process may end where it is, as before the first
            update and when all is saved. Within `now` it then ends a second after the
            request, if `Stopped` could not be raised by then.
    """

    def __init__(self, standing: str = _STANDING) -> None:
        """Prepare; signals are received within the context.

        Args:
            standing: what a program that ends leaves, for its last message.
        """
        self._standing = standing
        self.signal: signal.Signals | None = None
        self.nothing_to_lose = True
        self._raising = False
        self._raised = False
        self._before: dict[signal.Signals, object] = {}
        self._listener: threading.Thread | None = None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is not threading.main_thread():
            return self
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._woken = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._hear)
        self._listener = threading.Thread(
            target=self._listen, args=(reader,), name="stop", daemon=True
        )
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is None:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._woken)
        os.close(self._writer)
        self._listener.join()

    def check(self) -> None:
        """Raise Stopped if a signal has come."""
        if self.signal is not None:
            raise Stopped(self.signal, self._standing)

    @contextlib.contextmanager
    def now(self, allowed: bool = True) -> Iterator[None]:
        """Make a signal raise Stopped at once within the block.

        Args:
            allowed: False for code that must finish first.
        """
        if not allowed:
            yield
            return
        self._raising = True
        try:
            self.check()
            yield
        finally:
            self._raising = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
        if self._raising and not self._raised:
            self._raised = True  # Once, so that cleanup code is not interrupted.
            raise Stopped(self.signal, self._standing)

    def _listen(self, reader: int) -> None:
        """Read the numbers of signals as the operating system delivers them."""
        heard, insisted = 0.0, False
        while received := os.read(reader, 1):
            number = received[0]
            if number not in self._before:
                continue
            now = time.monotonic()
            if heard and now - heard < _SAME_SECONDS:
                continue
            if insisted and number in _INSISTING:
                self._end(number, "a second signal; what was not saved is lost")
            insisted = insisted or number in _INSISTING
            if not heard:
                threading.Thread(
                    target=self._begin, args=(number,), daemon=True
                ).start()
            heard = now
        os.close(reader)

    def _begin(self, number: int) -> None:
        """Log what will happen; end the process if nothing would be lost."""
        name = signal.Signals(number).name
        if not self.nothing_to_lose:
            logging.warning(
                "%s: the run ends when this update is done and saved; a second SIGTERM "
                "or Ctrl-C ends it at once",
                name,
            )
            return
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            time.sleep(0.05)
        if self._raising and self.nothing_to_lose:
            self._end(number, self._standing)

    def _end(self, number: int, sentence: str) -> None:
        name = signal.Signals(number).name
        with contextlib.suppress(OSError):
            if sys.stderr is not None and sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
            os.write(2, f"stopped: {name}: {sentence}\n".encode())
        os._exit(128 + number)
