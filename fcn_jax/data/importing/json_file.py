"""JSON of unknown origin: read within limits, and its fields by their kind."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from fcn_jax.data.examples import DataError

MAX_BYTES = 2**30  # the instances of COCO's train2017 have 0.45 GB

T = TypeVar("T")


def read_json(path: Path, where: str) -> Any:
    """Read a JSON file.

    Raises:
        DataError: for more than 1 GiB, another encoding than UTF-8, or what is no JSON
            or too deeply nested.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{where}: larger than {MAX_BYTES} bytes; split it")
    return parse_json(path.read_bytes(), where)


def parse_json(content: bytes | str, where: str) -> Any:
    """Parse JSON text.

    Raises:
        DataError: for another encoding than UTF-8, or what is no JSON or too deeply
            nested.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise DataError(f"{where}: too deeply nested to be an annotation") from None
    except ValueError as error:
        raise DataError(
            f"{where}: not readable as JSON ({str(error)[:120]}); the file is damaged or "
            "cut short"
        ) from error


def field(record: Any, key: str, kind: type[T], where: str) -> T:
    """Return a value of a JSON object, of the kind that it must have.

    Raises:
        DataError: where the object is none, or lacks the key, or has another kind
            there.
    """
    value = record.get(key) if isinstance(record, Mapping) else None
    wrong = not isinstance(value, kind) or (
        isinstance(value, bool) and kind is not bool
    )
    if wrong:
        raise DataError(
            f"{where}: {key!r} must be {_KINDS.get(kind, kind.__name__)}, and is "
            f"{_spoken(value)}"
        )
    return value  # type: ignore[return-value]


_KINDS = {
    str: "a text",
    int: "a whole number",
    list: "a list",
    dict: "an object",
}


def _spoken(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return "missing" if value is None else repr(value)[:60]
