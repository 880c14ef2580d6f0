"""The command line of `main`: an experiment, overrides of its keys, and flags."""

import difflib
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from fcn_jax.config import Config
from fcn_jax.launch import experiment_files
from fcn_jax.launch.experiment_files import ExperimentFile
from fcn_jax.runtime.messages import shortened

PROGRAM = "python -m fcn_jax.main"
_OVERRIDE = re.compile(r"--?(?:no)?config\.([^=]+)(=.*)?", re.DOTALL)
_FLAG = re.compile(r"--?[A-Za-z]")
_TEXTS = ("workdir", "checkpoint", "split", "target", "memory")
MODES = ("train", "evaluate", "plan", "explain")
_KINDS = {bool: "True or False", int: "a whole number", float: "a number"}
_FLAGS = (
    (
        "config",
        "Experiment: a name, as quickstart, or a file, experiments/NAME.py; either with "
        ":ARGUMENT. Or a configuration that a run stored, runs/NAME/config.json.",
    ),
    ("workdir", "Directory of the run; runs/<experiment> if empty."),
    (
        "mode",
        "What to do: train, evaluate, plan (say what a run will need), or explain (say "
        "in common terms what its updates are, and plan).",
    ),
    ("checkpoint", "Evaluate: work directory or converted checkpoint to score."),
    ("split", "Evaluate: split to score; the experiment's own if empty."),
    (
        "target",
        "Plan: h100 or v5e, for which programs can be compiled without one; this machine "
        "if empty.",
    ),
    ("memory", "Plan: GiB of a device, in place of what it has."),
)


@dataclass(frozen=True)
class Command:
    """A parsed command line; texts are "" where a flag is missing.

    Attributes:
        experiment: the file and its argument.
        config: the experiment with its overrides, locked.
        workdir: directory of the run.
        mode: of `MODES`.
        checkpoint: the checkpoint to evaluate.
        split: the split to evaluate.
        target: the machine to plan for.
        memory: GiB of a device to plan for.
    """

    experiment: ExperimentFile
    config: Config
    workdir: str
    mode: str
    checkpoint: str
    split: str
    target: str
    memory: str


def parse(arguments: Sequence[str]) -> Command:
    """Parse the arguments after the program's name.

    If a flag is repeated the last value counts.

    Raises:
        ValueError: for an unknown experiment, key or flag, or a value of another type.
    """
    given, rest = _without_config(arguments)
    values = _flag_values()
    if given is None:
        _parse(values, [word for word in rest if not _OVERRIDE.fullmatch(word)])
        raise ValueError(
            "--config is missing; give --config=NAME (quickstart, ...) or "
            "--config=experiments/NAME.py"
        )
    found = experiment_files.find(given)
    config = experiment_files.load(found)
    words = _last_overrides(rest)
    for word in words:
        override = _OVERRIDE.fullmatch(word)
        if override:
            switch = (override[2] or "=").lower() in ("=", "=true", "=false")
            _check_key(override[1], config, switch)
    config_flags.DEFINE_config_dict(
        "config", config, flag_values=values, sys_argv=[PROGRAM, *words]
    )
    try:
        _parse(values, words)
    except flags.IllegalFlagValueError as error:
        raise ValueError(_wrong_value(str(error), config)) from error
    texts: dict[str, Any] = {name: values[name].value for name in _TEXTS}
    return Command(experiment=found, config=values.config, mode=values.mode, **texts)


def usage(description: str) -> str:
    """The text of --help, below a description."""
    lines = [description.strip(), ""]
    for name, text in (*_FLAGS, ("debug", "Show the traceback of an error.")):
        lines.append(f"  --{name}")
        indent = 6 * " "
        lines += textwrap.wrap(
            text, 76, initial_indent=indent, subsequent_indent=indent
        )
    return "\n".join(lines)


def _flag_values() -> flags.FlagValues:
    values = flags.FlagValues()
    texts = dict(_FLAGS)
    for name in _TEXTS:
        flags.DEFINE_string(name, "", texts[name], flag_values=values)
    modes = list(MODES)
    flags.DEFINE_enum("mode", "train", modes, texts["mode"], flag_values=values)
    return values


def _parse(values: flags.FlagValues, words: Sequence[str]) -> None:
    try:
        rest = values([PROGRAM, *words])[1:]
    except flags.IllegalFlagValueError:
        raise
    except (AttributeError, KeyError, TypeError, flags.Error) as error:
        raise ValueError(str(error)) from error
    if rest:
        raise ValueError(f"{rest} is not a flag; overrides are --config.KEY=VALUE")
    for name in _TEXTS:
        if values[name].present and not values[name].value:
            raise ValueError(  # as with an unset variable of the shell
                f"--{name} is given and empty; give it a value, or leave it out"
            )


def _wrong_value(text: str, config: Config) -> str:
    """Absl's message about a value of a wrong type, with the type that the key has."""
    found = re.match(r"flag --config\.([^=]+)=(.*?): ", text, re.DOTALL)
    own = dict(_values(config, "")).get(found[1]) if found else None
    if found is None or type(own) not in _KINDS:
        return text
    return (
        f"config.{found[1]} is {shortened(found[2])!r}; it must be "
        f"{_KINDS[type(own)]}, as {own!r} is"
    )


def _without_config(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The last value of --config, None without one, and the other words."""
    found, rest, words = None, [], iter(arguments)
    for word in words:
        if word in ("--config", "-config"):
            found = next(words, "")
        elif word.startswith(("--config=", "-config=")):
            found = word.partition("=")[2]
        else:
            rest.append(word)
    return found, rest


def _last_overrides(words: Sequence[str]) -> list[str]:
    """Drop overrides of keys that are overridden again later.

    ml_collections would join the values of a tuple that is set twice.
    """
    kept: dict[str, list[str]] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        override = _OVERRIDE.fullmatch(word)
        entry = [word]
        if override and not override[2] and left and not _FLAG.match(left[0]):
            entry.append(left.pop(0))  # --config.KEY VALUE
        key = override[1] if override else f"word {len(left)}"
        kept.pop(key, None)
        kept[key] = entry
    return [word for entry in kept.values() for word in entry]


def _check_key(key: str, config: Config, switch: bool) -> None:
    """Refuse a key that the experiment does not have; name the nearest.

    Args:
        key: dotted.
        config: the experiment.
        switch: whether the value is True or False.

    Raises:
        ValueError: if there is no such key.
    """
    values = dict(_values(config, ""))
    if key in values:
        return
    last = key.rpartition(".")[2]
    alike = {k: k.rpartition(".")[2] for k, v in values.items() if _is(v, switch)}
    same = [own for own, name in alike.items() if name == last]
    near = difflib.get_close_matches(key, alike, n=1, cutoff=0.75)
    names = difflib.get_close_matches(last, alike.values(), n=1, cutoff=0.75)
    meant = same or near or [own for own, name in alike.items() if name in names]
    if not meant:
        raise ValueError(
            f"the experiment has no key {key!r}; fcn_jax/config.py lists all keys"
        )
    choices = " or ".join(f"--config.{own}" for own in meant)
    raise ValueError(f"the experiment has no key {key!r}; did you mean {choices}?")


def _is(value: Any, switch: bool) -> bool:
    return isinstance(value, bool) == switch


def _values(config: ConfigDict, prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted name and value of all values and sections."""
    for name in config:
        value = config[name]
        yield f"{prefix}{name}", value
        if isinstance(value, ConfigDict):
            yield from _values(value, f"{prefix}{name}.")
