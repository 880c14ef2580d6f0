"""Where tables and bars go: consoles that print names as they are."""

import errno
import os

import rich.console
from rich.text import Text


class _Console(rich.console.Console):
    def on_broken_pipe(self) -> None:
        # Rich ends the program, with status 1 and no word.
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE), "standard output")


def console(*, stderr: bool = False, width: int | None = None) -> rich.console.Console:
    """A console for standard output or standard error.

    ":name:" is no emoji to it. Its markup is rich's, so that what is no text of the
    program (a class, a file) is printed as `verbatim` or escaped.

    Args:
        stderr: standard error instead of standard output.
        width: in columns, where it is not that of the terminal.
    """
    return _Console(stderr=stderr, width=width, emoji=False)


def verbatim(name: str) -> Text:
    """A name for a table, of which nothing is markup."""
    return Text(name)
