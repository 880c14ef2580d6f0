"""Consoles for tables and progress bars that print names unchanged."""

import errno
import os

import rich.console
from rich.text import Text


class _Console(rich.console.Console):
    def on_broken_pipe(self) -> None:
        # Rich would end the program with status 1 and no message.
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE), "standard output")


def console(*, stderr: bool = False, width: int | None = None) -> rich.console.Console:
    """A console for standard output or standard error.

    ":name:" is not replaced by an emoji. Rich's markup is active, so names of classes
    and files are printed with `verbatim` or escaped.

    Args:
        stderr: standard error instead of standard output.
        width: in columns; None is the width of the terminal.
    """
    return _Console(stderr=stderr, width=width, emoji=False)


def verbatim(name: str) -> Text:
    """A name for a table, without interpretation of markup."""
    return Text(name)
