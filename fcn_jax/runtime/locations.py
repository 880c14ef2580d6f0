"""Paths as users write them: `~` and `~user` are their home directories.

A shell expands them at the start of a word only, so `--workdir=~/runs` arrives as it was
typed. Other variables in a path are left to the shell.
"""

import os
from typing import Any


def located(path: str | os.PathLike) -> str:
    """The path with `~` or `~user` at its start replaced by the home directory.

    Args:
        path: any text; one that starts with another character is returned as it is.

    Raises:
        ValueError: for an unknown user, unless a file of that name exists.
    """
    path = os.fspath(path)
    if not path.startswith("~"):
        return path
    expanded = os.path.expanduser(path)
    if expanded.startswith("~") and not os.path.lexists(path):
        user = path.partition(os.sep)[0]
        raise ValueError(
            f"{path} starts with the home directory of {user[1:] or 'this user'}, which "
            f"is not known; write ./{path} for a file or directory of that name"
        )
    return expanded


def located_argument(argument: str) -> str:
    """A word of a command line, `~/x` or `--flag=~/x`, with its path located.

    Raises:
        ValueError: as `located`.
    """
    if argument.startswith("-"):
        flag, equals, value = argument.partition("=")
        return f"{flag}{equals}{located(value)}"
    return located(argument)


def all_located(value: Any) -> Any:
    """A path, or nested sequences of paths and other values, with every path located."""
    if isinstance(value, str):
        return located(value)
    if isinstance(value, tuple | list):
        return tuple(all_located(inner) for inner in value)
    return value


def refuse_file(path: str | os.PathLike, what: str) -> None:
    """Refuse a file where a checkpoint is wanted, which is a directory.

    Args:
        path: what was given; need not exist.
        what: its name in messages.

    Raises:
        ValueError: if it is a file; says how it becomes a checkpoint.
    """
    if os.path.isfile(path):
        raise ValueError(
            f"{what} is {os.fspath(path)}, a file; a checkpoint is a directory: convert "
            f"weights first, python -m fcn_jax.convert {os.fspath(path)} DIR --net=NAME "
            "(--list prints the nets), and give DIR"
        )
