"""Errors, exit status and logging of the package's command-line programs.

Bad input and failures of the machine end in one sentence on standard error and exit
status 2; the traceback appears only with `--debug`. A run that a signal ended has the
exit status 128 + the signal's number, as in a shell. Any other exception (an
AssertionError, a TypeError) is a defect of the package and keeps its traceback.
"""

import argparse
import contextlib
import io
import logging as std_logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

from absl import flags, logging

from fcn_jax.runtime.locations import located_argument
from fcn_jax.runtime.messages import REPORTED, error_sentence, machine_failure

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
DEBUG_FLAG = "--debug"
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, what a shell reports for Ctrl-C
INTERRUPT_AGAIN = 0.05  # seconds after Ctrl-C was lost
_LINGER_SECONDS = 10.0


class Stopped(BaseException):
    """The end of a program by a signal; a BaseException, so that no library catches it.

    Attributes:
        signal: the signal.
        status: the exit status, 128 + its number.
    """

    def __init__(self, number: int, sentence: str = ""):
        self.signal = signal.Signals(number)
        self.status = 128 + number
        super().__init__(
            f"{self.signal.name}: {sentence or 'nothing is lost; the same command continues'}"
        )


class Parser(argparse.ArgumentParser):
    """A parser that reports wrong usage as a ValueError, in one line."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise ValueError(f"{message}; `{self.prog} --help` shows the usage")


def run(
    main: Callable[[list[str]], int | None], argv: list[str] | None = None
) -> NoReturn:
    """Run a program and leave the process with its exit status.

    Args:
        main: the program; takes the command-line arguments without the program's name
            and returns its exit status (None is 0).
        argv: the arguments, `sys.argv[1:]` where None. Every `--debug` in them is taken
            out before `main` sees them, and `~` of paths is replaced by the home
            directory.

    Raises:
        SystemExit: always. Status 2 after a ValueError, OSError, RunError, absl flag
            error or failure of the machine, which becomes `error: <sentence>` on
            standard error, and where standard output cannot be written; 130 after
            Ctrl-C; that of Stopped; else what `main` returned. Other exceptions pass
            through.
    """
    _open_standard_streams()
    _print_any_name()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = DEBUG_FLAG in arguments
    arguments = [argument for argument in arguments if argument != DEBUG_FLAG]
    stopped_by_signal = False
    try:
        with _no_interrupt_lost():
            status = main([located_argument(argument) for argument in arguments])
        with printing():
            pass
    except KeyboardInterrupt:
        _say("interrupted")
        status = EXIT_INTERRUPTED
    except Stopped as stopped:
        _say(f"stopped: {stopped}")
        status, stopped_by_signal = stopped.status, True
    except Exception as error:
        if machine_failure(error) is None and not isinstance(error, REPORTED):
            raise
        if debug:
            traceback.print_exc()
        _say(f"error: {as_flags(error_sentence(error))}")
        status = EXIT_ERROR
    with contextlib.suppress(OSError), printing():
        pass  # drops what cannot be written
    if _is_own_process():
        if stopped_by_signal:
            # Everything is saved and closed. Threads that the signal interrupted while
            # they started can crash the interpreter's shutdown.
            os._exit(status or 0)
        _end_in_spite_of_threads(status or 0)
    sys.exit(status)


def no_program(instead: str) -> Callable[[list[str]], int]:
    """Make a `main` for a module that is not a program; it names the right command.

    Args:
        instead: the command to use.
    """

    def refuse(arguments: list[str]) -> int:
        del arguments
        raise ValueError(f"this module is no program; the command is {instead}")

    return refuse


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the status says it too
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Flush standard output after the block, and name it in an OSError.

    Output that could not be written is dropped: Python would try to write it again at
    exit, and fail.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        with (
            contextlib.suppress(OSError, ValueError),
            open(os.devnull, "wb") as nowhere,
        ):
            if sys.stdout is not None:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
        reason = error.strerror or str(error)
        raise OSError(error.errno, reason, "standard output") from error


def _open_standard_streams() -> None:
    """Open standard streams that were closed at the start (`>&-`) on the null device.

    Otherwise the next files that are opened get their descriptors, and messages of
    libraries to standard error would be written into a checkpoint.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
    handler = logging.get_absl_handler().python_handler
    if handler.stream is None:
        handler.setStream(sys.stderr)


def _print_any_name() -> None:
    """Print characters that the terminal's encoding does not have as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _is_own_process() -> bool:
    """Whether the process was started for a program of the package, as `python -m` does.

    Otherwise the caller continues after SystemExit: a notebook's `%run`, or `runpy`.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name.startswith("fcn_jax.")


def _end_in_spite_of_threads(status: int) -> None:
    """End the process after some seconds, even if a thread waits for a file forever."""
    timer = threading.Timer(_LINGER_SECONDS, os._exit, [status])
    timer.daemon = True
    timer.start()


@contextlib.contextmanager
def _no_interrupt_lost() -> Iterator[None]:
    """Repeat a Ctrl-C that arrived where Python ignores exceptions.

    A callback of the garbage collector is such a place, and jax has one: a
    KeyboardInterrupt there is printed as ignored, and the program runs on. The alarm
    takes no lock, which the interrupted code may hold.
    """
    hook = sys.unraisablehook
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)

    def heard(unraisable: "sys.UnraisableHookArgs") -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, INTERRUPT_AGAIN)
        elif not issubclass(unraisable.exc_type, Stopped):  # which is asked for again
            hook(unraisable)

    sys.unraisablehook = heard
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def set_up_logging() -> None:
    """Show the package's messages, and warnings of libraries, with the time of day.

    Orbax and TFDS log every step of their work at the level of the run's own messages.
    """
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # absl warns of logging before flags otherwise
    handler = logging.get_absl_handler()
    handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    if _own_or_warning not in handler.filters:
        handler.addFilter(_own_or_warning)
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)


class _Formatter(std_logging.Formatter):
    """A formatter that writes configuration keys as command-line flags."""

    def format(self, record: std_logging.LogRecord) -> str:
        """Return the line of a record."""
        return as_flags(super().format(record))


def as_flags(sentence: str) -> str:
    """Return a sentence with `config.KEY` written as `--config.KEY`.

    The package says `config.KEY=VALUE`, which a notebook sets; a command has a flag.
    """
    return re.sub(r"(?<![\w.-])config\.(?=[a-z_.]+=)", "--config.", sentence)


def _own_or_warning(record: std_logging.LogRecord) -> bool:
    return record.levelno >= std_logging.WARNING or record.pathname.startswith(_PACKAGE)
