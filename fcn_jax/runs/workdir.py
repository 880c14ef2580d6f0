"""The work directory of a run: locked by one process, with the run's configuration.

Two runs in one directory would destroy each other's metrics and checkpoints, so a run
holds `<path>/lock`. `config.json` is compared when the run is continued.
"""

import fnmatch
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fcn_jax.runs import lock
from fcn_jax.runtime import atomic, messages, plain_json
from fcn_jax.runtime.locations import located
from fcn_jax.runtime.messages import shortened, shown

CONFIG = "config.json"
_ABSENT = "absent"


class WorkDirectory:
    """A directory that only this process writes; a context manager that releases it.

    Attributes:
        path: the directory, absolute.
        checkpoints: directory of its checkpoints, `path / "checkpoints"`.
    """

    def __init__(self, path: pathlib.Path, held: lock.Lock):
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._lock = held

    @classmethod
    def acquire(cls, path: str | os.PathLike) -> "WorkDirectory":
        """Create the directory if missing, test that it can be written, and lock it.

        Partial files of a killed run are removed.

        Raises:
            ValueError: it is a file, or cannot be created or written.
            RunError: another process holds it; names the process. Does not wait.
        """
        path = pathlib.Path(located(path)).absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            _write_and_delete(path)
            held = lock.hold(path / "lock")
        except lock.Held as holder:
            raise messages.RunError(
                f"the work directory {path} is in use by {holder}; wait for it, stop it,"
                " or give another --workdir"
            ) from holder
        except OSError as error:
            raise ValueError(
                f"the work directory {path} cannot be written"
                f" ({messages.error_sentence(error)}); give another --workdir"
            ) from error
        atomic.remove_unfinished(path, alone=True)
        return cls(path, held)

    def close(self) -> None:
        """Release the lock; may be called twice."""
        # The file stays: deleting it would let two runs lock two files of one name.
        self._lock.close()

    def __enter__(self) -> "WorkDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _write_and_delete(path: pathlib.Path) -> None:
    """Write and delete a file, so that a directory that cannot be written fails now."""
    probe = path / f".probe-{os.getpid()}"
    try:
        atomic.write(probe, b"probe")
    finally:
        probe.unlink(missing_ok=True)


def store_config(path: str | os.PathLike, config: Mapping[str, Any]) -> None:
    """Write `<path>/config.json`; `config` is nested and JSON-able."""
    text = json.dumps(config, indent=2)
    atomic.write(pathlib.Path(path, CONFIG), f"{text}\n".encode())


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The configuration in `<path>/config.json`, with lists for tuples.

    Raises:
        ValueError: it is missing or not a JSON object.
    """
    file = pathlib.Path(path, CONFIG)
    remedy = "restore it, or start a new run with another --workdir"
    try:
        config = plain_json.parse(file.read_bytes(), str(file))
    except OSError as error:
        said = messages.error_sentence(error)
        raise ValueError(f"{file} cannot be read ({said}); {remedy}") from error
    except ValueError as error:
        raise ValueError(f"{error}; {remedy}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{file} is {shown(config)}, expected an object; {remedy}")
    return config


def check_resume(
    stored: Mapping[str, Any], current: Mapping[str, Any], changeable: Sequence[str]
) -> None:
    """Refuse to continue a run with a different configuration.

    Args:
        stored: the run's configuration, nested and JSON-able; tuples equal lists.
        current: the configuration to continue with.
        changeable: patterns of dotted keys that may differ ("log.*", "steps"); `*`
            matches any characters, dots too.

    Raises:
        ValueError: names every other key that differs, with both values.
    """
    before, now = dict(_leaves(stored, "")), dict(_leaves(current, ""))
    differing = [
        key
        for key in sorted(before.keys() | now.keys())
        if not any(fnmatch.fnmatchcase(key, pattern) for pattern in changeable)
        and not _equal(before.get(key, _ABSENT), now.get(key, _ABSENT))
    ]
    if differing:
        changes = ", ".join(
            f"{key} is {shortened(now.get(key, _ABSENT))} and was"
            f" {shortened(before.get(key, _ABSENT))}"
            for key in differing
        )
        raise ValueError(
            f"the run was started with another configuration: {changes};"
            f" {'only ' + ', '.join(changeable) if changeable else 'nothing'} may change"
            " in a run, so undo the change or start a new run with another --workdir"
        )


def _leaves(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Dotted key and JSON text of every value that is not a non-empty mapping."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif key:
        yield key, json.dumps(value, sort_keys=True)


def _equal(before: str, now: str) -> bool:
    """Equality of JSON texts, where 1 and 1.0 are one value but 1 and true are two."""
    if _ABSENT in (before, now):
        return before == now
    return before == now or _whole(before) == _whole(now)


def _whole(text: str) -> str:
    """The JSON text with whole floats as integers, which hold large seeds exactly."""

    def number(digits: str) -> float | int:
        value = float(digits)
        return int(value) if value.is_integer() else value

    return json.dumps(json.loads(text, parse_float=number))
