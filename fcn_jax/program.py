"""How every command-line program of the package ends.

Bad input ends in one sentence on standard error and exit status 2; the traceback
appears only with `--debug`. What is neither bad input nor a failure of the machine
(an AssertionError, a TypeError) is a defect of the package and keeps its traceback.
"""

import argparse
import contextlib
import logging as std_logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

from absl import flags, logging

from fcn_jax.locations import located_argument

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
DEBUG_FLAG = "--debug"
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, what a shell reports for Ctrl-C
INTERRUPT_AGAIN = 0.05  # seconds after Ctrl-C was lost


class RunError(RuntimeError):
    """What went wrong in a run for a reason outside the program.

    The base of the package's own run-time errors: a work directory in use, a checkpoint
    that cannot be written or read. Its message is one sentence with the remedy.
    """


# flags.Error: a mistyped flag is bad input too, and absl derives it from Exception.
_REPORTED = (ValueError, OSError, RunError, flags.Error)


class Parser(argparse.ArgumentParser):
    """Reports wrong usage as every other bad input, in one line."""

    def error(self, message: str) -> NoReturn:
        """Refuses the arguments."""
        raise ValueError(f"{message}; `{self.prog} --help` shows the usage")


def run(
    main: Callable[[list[str]], int | None], argv: list[str] | None = None
) -> NoReturn:
    """Runs a program and leaves the process with its exit status.

    Args:
      main: the program; takes the command-line arguments without the program's name and
        returns its exit status (None is 0).
      argv: the arguments, `sys.argv[1:]` where None. Every `--debug` in them is taken
        out before `main` sees them, and `~` of paths is replaced by the home directory.

    Raises:
      SystemExit: always. Status 2 after a ValueError, OSError, RunError or absl flag
        error, which becomes `error: <sentence>` on standard error; 130 after Ctrl-C;
        else what `main` returned. Other exceptions pass through.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = DEBUG_FLAG in arguments
    arguments = [argument for argument in arguments if argument != DEBUG_FLAG]
    try:
        with _no_interrupt_lost():
            status = main([located_argument(argument) for argument in arguments])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = EXIT_INTERRUPTED
    except _REPORTED as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error_sentence(error)}", file=sys.stderr)
        status = EXIT_ERROR
    sys.exit(status)


def no_program(instead: str) -> Callable[[list[str]], int]:
    """What `run` is given by a module that could be taken for a program.

    Args:
      instead: the command that does what this module's name promises.
    """

    def refuse(arguments: list[str]) -> int:
        del arguments
        raise ValueError(f"this module is no program; the command is {instead}")

    return refuse


@contextlib.contextmanager
def _no_interrupt_lost() -> Iterator[None]:
    """Asks again for a Ctrl-C that came where Python ignores exceptions.

    A callback of the garbage collector is such a place, and jax has one: a
    KeyboardInterrupt there is printed as ignored, and the program runs on. The alarm
    takes no lock, which the interrupted code may hold.
    """
    hook = sys.unraisablehook
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)

    def heard(unraisable: "sys.UnraisableHookArgs") -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, INTERRUPT_AGAIN)
        else:
            hook(unraisable)

    sys.unraisablehook = heard
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def set_up_logging() -> None:
    """Shows what the package says, and warnings of others, with the time of day.

    Orbax and TFDS tell every step of their work at the same level as news of the run.
    """
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # absl warns of logging before flags otherwise
    handler = logging.get_absl_handler()
    handler.setFormatter(std_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    if _own_or_warning not in handler.filters:
        handler.addFilter(_own_or_warning)
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)


def _own_or_warning(record: std_logging.LogRecord) -> bool:
    return record.levelno >= std_logging.WARNING or record.pathname.startswith(_PACKAGE)


def error_sentence(error: BaseException) -> str:
    """What an exception says, on one line; the operating system's without its number."""
    if isinstance(error, OSError) and error.strerror:
        names = [str(n) for n in (error.filename, error.filename2) if n is not None]
        text = ": ".join(
            [" -> ".join(names), error.strerror] if names else [error.strerror]
        )
    else:
        text = str(error)
    return " ".join(text.split()) or type(error).__name__
