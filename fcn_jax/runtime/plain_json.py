"""JSON of the package's own files: finite numbers, few levels, no surprise later.

Python's parser takes NaN, numbers of any length and a thousand levels, which fail only
where they are used, with another kind of error each.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from fcn_jax.runtime.messages import shown

DEEPEST = 32
"""Levels of objects and lists."""

LARGEST = 2**63 - 1
"""Magnitude of a whole number."""

LONGEST_NAME = 200
"""Characters of a key."""


def parse(content: bytes | str, where: str) -> Any:
    """The value that a file holds.

    Args:
        content: of the file, UTF-8.
        where: names the file, for messages.

    Raises:
        ValueError: for what is no JSON, or none that `check` lets pass.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError(f"{where} has more than {DEEPEST} levels") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{where} is no text: byte {error.start} is not UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{where} is no JSON: {error.msg}, line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:
        raise ValueError(f"{where} has a number of too many digits") from error
    check(value, where)
    return value


def check(value: Any, where: str) -> None:
    """Refuse what JSON can hold and no file of the package does.

    Args:
        value: nested dictionaries, lists and values.
        where: names the file, for messages.

    Raises:
        ValueError: for too many levels, a number that is not finite or beyond 64 bits, a
            key that is too long or cannot be printed.
    """
    level = [("", value)]
    for _ in range(DEEPEST):
        level = [found for key, own in level for found in _inside(key, own, where)]
        if not level:
            return
    raise ValueError(f"{where} has more than {DEEPEST} levels")


def _inside(key: str, value: Any, where: str) -> list[tuple[str, Any]]:
    """What a value holds, each with its dotted key."""
    if isinstance(value, Mapping):
        for name in value:
            if len(name) > LONGEST_NAME or not name.isprintable():
                raise ValueError(f"{where} has the key {shown(name)}")
        return [(f"{key}.{name}".lstrip("."), own) for name, own in value.items()]
    if isinstance(value, list):
        return [(key, own) for own in value]
    whole = isinstance(value, int) and abs(value) > LARGEST
    if whole or (isinstance(value, float) and not math.isfinite(value)):
        kind = "beyond 64 bits" if whole else "not finite"
        raise ValueError(f"{where}: {shown(key)} is a number that is {kind}")
    return []
