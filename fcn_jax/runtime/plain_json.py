"""JSON of the package's own files, and the types of its values.

Files hold finite numbers and few levels.
Python's parser accepts NaN, numbers of any length and a thousand levels, which fail
only where they are used, each with a different error.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from fcn_jax.runtime.messages import shown

DEEPEST = 32
"""Levels of objects and lists."""

LARGEST_STORED = 2**63 - 1
"""Magnitude of a whole number in a file."""

LARGEST = 2**31 - 1
"""Largest whole number: steps and seeds are 32-bit integers on the device."""

LONGEST_NAME = 200
"""Characters of a key."""


def parse(content: bytes | str, where: str) -> Any:
    """The value that a file holds.

    Args:
        content: of the file, UTF-8.
        where: names the file, for messages.

    Raises:
        ValueError: if it is not JSON, or `check` refuses it.
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
    """Refuse JSON values that no file of the package has.

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
    """The elements of a value, each with its dotted key."""
    if isinstance(value, Mapping):
        for name in value:
            if len(name) > LONGEST_NAME or not name.isprintable():
                raise ValueError(f"{where} has the key {shown(name)}")
        return [(f"{key}.{name}".lstrip("."), own) for name, own in value.items()]
    if isinstance(value, list):
        return [(key, own) for own in value]
    whole = isinstance(value, int) and abs(value) > LARGEST_STORED
    if whole or (isinstance(value, float) and not math.isfinite(value)):
        kind = "beyond 64 bits" if whole else "not finite"
        raise ValueError(f"{where}: {shown(key)} is a number that is {kind}")
    return []


def is_text(value: Any) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def is_whole(value: Any) -> bool:
    """Whether a value is an int within 32 bits; a bool is not."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and abs(value) <= LARGEST


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def sequence_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a test for a tuple or list whose elements all pass a test."""
    return lambda value: isinstance(value, tuple | list) and all(map(holds, value))


def is_preprocessing(value: Any) -> bool:
    """Whether a value has the keys that `Preprocessing.from_dict` reads, with their types."""
    return (
        isinstance(value, Mapping)
        and {"mean", "scale", "logarithm", "origin"} <= set(value.keys())
        and sequence_of(is_number)(value["mean"])
        and len(value["mean"]) > 0
        and is_number(value["scale"])
        and isinstance(value["logarithm"], bool)
        and is_text(value["origin"])
    )
