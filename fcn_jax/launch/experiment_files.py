"""Experiments: files with a function `get_config`, chosen by path or by name.

Examples: `experiments/x.py`; `x`, of the package's experiments; with an argument,
    `x.py:small` and `x:small`; the configuration that a run stored, `runs/x/config.json`.
"""

import difflib
import importlib.util
import inspect
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from ml_collections import ConfigDict

from fcn_jax.config import Config, base, from_dict, to_dict
from fcn_jax.runtime import plain_json, shipped
from fcn_jax.runtime.locations import located
from fcn_jax.runtime.messages import shown

STORED = ".json"
"""Ending of a configuration that a run stored."""

_KINDS = {"experiments": "experiment", "experiments/chains": "chain"}

_FREE = ("preprocessing", "model.streams")
"""Sections whose keys the user chooses."""

_FILE = re.compile(r"(.*?\.py)(?::(.*))?", re.DOTALL)
T = TypeVar("T")

PARTS = (
    *("train_source", "eval_source", "make_sampler", "loss", "pixel_mask"),
    *("make_optimizer", "augmentation", "backbones", "heads"),
)
"""Keyword arguments of `Experiment.from_config` that an experiment may pass."""


@dataclass(frozen=True)
class ExperimentFile:
    """An experiment file and its argument.

    Attributes:
        file: the path, as the user wrote it.
        argument: the argument of its `get_config`; None for no argument.
    """

    file: Path
    argument: str | None = None


def find(text: str, folder: str = "experiments") -> ExperimentFile:
    """Find the experiment that `--config` names.

    Args:
        text: `PATH.py`, or the NAME of an experiment of the package, optionally with
            `:ARGUMENT`; or `PATH.json`, a stored configuration.
        folder: of the package, where names are looked up: "experiments", or
            "experiments/chains".

    Raises:
        ValueError: if there is none; names the nearest.
    """
    named = _FILE.fullmatch(text)
    if named:
        file, argument = Path(located(named[1])), named[2]
    else:
        name, colon, rest = text.partition(":")
        file = shipped.directory("experiments").parent / folder / f"{name}.py"
        argument = rest if colon else None
        if os.sep in name or name.startswith("."):
            file = Path(name)  # neither a name nor a Python file
    if text.endswith(STORED) and not named:
        file, argument = Path(located(text)), None
    if not file.is_file() or file.suffix not in (".py", STORED):
        raise ValueError(_unknown(text, file.stem, folder))
    return ExperimentFile(file, None if argument is None else located(argument))


def _unknown(text: str, stem: str, folder: str) -> str:
    places = shipped.directory("experiments").parent / folder
    known = sorted(file.stem for file in places.glob("*.py"))
    near = difflib.get_close_matches(stem, known, n=1, cutoff=0.5)
    meant = f"did you mean --config={near[0]}? " if near else ""
    return (
        f"there is no {_KINDS[folder]} {text}; {meant}write --config=PATH.py or a name, "
        f"either with :ARGUMENT (names are {', '.join(known)})"
    )


def load(experiment: ExperimentFile) -> Config:
    """Return the configuration of an experiment, locked.

    Raises:
        ValueError: if the file cannot be run, or does not return a configuration; for a
            stored one, if it is damaged or has keys that there are not.
    """
    if experiment.file.suffix == STORED:
        return _load_stored(experiment.file)
    config = made(experiment, "get_config", "an experiment")
    if not isinstance(config, ConfigDict):
        raise ValueError(
            f"get_config() of {experiment.file} returns a {type(config).__name__}; it "
            "must return what fcn_jax.config.base() makes, with changes"
        )
    return config.lock()


def made(experiment: ExperimentFile, name: str, kind: str) -> Any:
    """Return what a function of a file returns for the file's argument.

    Args:
        experiment: the file and its argument.
        name: of the function.
        kind: what needs the function, for messages: "an experiment".

    Raises:
        ValueError: if the file has no such function, or it cannot be run.
    """
    make = getattr(_module(experiment), name, None)
    if not callable(make):
        raise ValueError(
            f"{experiment.file} has no function {name}(), which {kind} needs"
        )
    _check_argument(make, experiment)
    given = [] if experiment.argument is None else [experiment.argument]
    return _run(lambda: make(*given), experiment.file)


def _load_stored(file: Path) -> Config:
    """Read a configuration that is stored as JSON, as config.json of a run."""
    config = from_dict(plain_json.parse(file.read_bytes(), str(file)), str(file))
    unknown = list(_unknown_keys(to_dict(config), to_dict(base()), ""))
    if unknown:
        raise ValueError(
            f"{file} has the key {unknown[0]!r}, which no experiment has; "
            "fcn_jax/config.py lists all keys"
        )
    return config


def _unknown_keys(
    config: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str
) -> Iterator[str]:
    for name, value in config.items():
        key = f"{prefix}{name}"
        if name not in defaults:
            yield key
        elif isinstance(value, Mapping) and key not in _FREE:
            yield from _unknown_keys(value, defaults[name], f"{key}.")


def load_parts(experiment: ExperimentFile, config: Config) -> dict[str, Any]:
    """Return the Python objects of an experiment besides its configuration.

    An experiment file may define `get_parts(config)`, which returns keyword arguments of
    `Experiment.from_config`: a source, a loss, a sampler, backbones of the user's own.

    Args:
        experiment: the file.
        config: its configuration, with overrides.

    Raises:
        ValueError: if the function cannot be run, or returns something else.
    """
    if experiment.file.suffix == STORED:
        return {}
    make = getattr(_module(experiment), "get_parts", None)
    if make is None:
        return {}
    parts = _run(lambda: make(config), experiment.file)
    if not isinstance(parts, dict) or not parts.keys() <= set(PARTS):
        given = sorted(map(str, parts)) if isinstance(parts, dict) else shown(parts)
        raise ValueError(
            f"get_parts() of {experiment.file} returns {given}; it must return a "
            f"dictionary with keys of {', '.join(PARTS)}"
        )
    return parts


def _module(experiment: ExperimentFile) -> ModuleType:
    """Load an experiment file anew, as it may have been edited during a notebook."""
    spec = importlib.util.spec_from_file_location("experiment", experiment.file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{experiment.file} cannot be loaded; check the file")
    module: ModuleType = importlib.util.module_from_spec(spec)
    loader = spec.loader
    _run(lambda: loader.exec_module(module), experiment.file)
    return module


def _check_argument(make: Callable[..., Any], experiment: ExperimentFile) -> None:
    """Refuse an unexpected argument, or a missing one."""
    name = experiment.file.stem
    takes = inspect.signature(make).parameters.values()
    needs = [p for p in takes if p.default is p.empty and p.kind < p.VAR_POSITIONAL]
    if experiment.argument is not None and not takes:
        raise ValueError(
            f"this experiment takes no argument; write --config={name} alone"
        )
    if experiment.argument is None and needs:
        raise ValueError(
            f"this experiment needs an argument; write --config={name}:ARGUMENT "
            f"({needs[0].name})"
        )


def _run(action: Callable[[], T], file: Path) -> T:
    """Run code of the file; an exception becomes a ValueError that names the line."""
    try:
        return action()
    except (ValueError, OSError):
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame.lineno for frame in frames if frame.filename == str(file)]
        line = error.lineno if isinstance(error, SyntaxError) else (own or [None])[-1]
        where = f"{file}, line {line}" if line else f"{file}"
        raise ValueError(
            f"the experiment {where}: {type(error).__name__}: {error}"
        ) from error
