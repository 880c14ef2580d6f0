"""Train or evaluate an experiment: `python -m fcn_jax.main --config=experiments/x.py`.

The work directory is the run: the same command again continues it. Without
`--workdir` it is runs/<experiment>. Every key of fcn_jax/config.py can be overridden:
`--config.KEY=VALUE`.
"""

import re
import textwrap
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from fcn_jax.clock import StartClock
from fcn_jax.compilation import (
    give_memory_back,
    keep_compiled_programs,
    request_deterministic,
)
from fcn_jax.config import validate
from fcn_jax.program import run, set_up_logging

EXPERIMENT = re.compile(r"(.*?\.py)(?::(.*))?")

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Experiment file, experiments/NAME.py[:ARGUMENT].", lock_config=True
)
WORKDIR = flags.DEFINE_string(
    "workdir", "", "Directory of the run; runs/<experiment> if empty."
)
MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate"], "What to do.")
CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "", "Evaluate: work directory or converted checkpoint to score."
)
SPLIT = flags.DEFINE_string(
    "split", "", "Evaluate: split to score; the experiment's own if empty."
)


def main(arguments: list[str]) -> None:
    """Parse the flags and hand over to a program."""
    clock = StartClock()
    if {"--help", "-h"} & set(arguments):
        print(usage())
        return
    _check_experiment(arguments)
    try:
        rest = flags.FLAGS(["python -m fcn_jax.main", *arguments])[1:]
    except (AttributeError, KeyError, TypeError, flags.Error) as error:
        raise ValueError(_flag_mistake(str(error))) from error
    if rest:
        raise ValueError(f"{rest} is not a flag; overrides are --config.KEY=VALUE")
    if CONFIG.value is None:
        raise ValueError("--config is missing; give --config=experiments/NAME.py")
    set_up_logging()
    config = CONFIG.value
    name = experiment_name(config_flags.get_config_filename(flags.FLAGS["config"]))
    workdir = Path(WORKDIR.value or Path("runs") / name).absolute()
    stored = Path(CHECKPOINT.value).absolute() if CHECKPOINT.value else workdir
    if MODE.value == "train" and (CHECKPOINT.value or SPLIT.value):
        raise ValueError("--checkpoint and --split belong to --mode=evaluate")
    if MODE.value == "evaluate" and not stored.exists():
        raise ValueError(
            f"there is no checkpoint {stored}; give --checkpoint=DIR, a work directory "
            "or a converted checkpoint"
        )
    validate(config)
    if config.deterministic:
        request_deterministic()
    keep_compiled_programs()
    give_memory_back()

    # Imported late, so that --help and a mistake answer at once.
    if MODE.value == "train":
        from fcn_jax.train import train

        train(config, workdir, clock)
        return
    from fcn_jax.evaluate import evaluate

    target = workdir if WORKDIR.value or not CHECKPOINT.value else stored
    evaluate(config, target, stored, SPLIT.value or config.data.eval_split, clock)


def usage() -> str:
    """What --help prints."""
    lines = [(__doc__ or "").strip(), ""]
    for holder in (CONFIG, WORKDIR, MODE, CHECKPOINT, SPLIT):
        lines.append(f"  --{holder.name}")
        text = flags.FLAGS[holder.name].help or ""
        lines += textwrap.wrap(
            text, 76, initial_indent=6 * " ", subsequent_indent=6 * " "
        )
    return "\n".join([*lines, "  --debug", "      Show the traceback of an error."])


def _check_experiment(arguments: list[str]) -> None:
    """Refuse an experiment file that does not exist, before absl reports it."""
    followed = zip(arguments, [*arguments[1:], ""], strict=False)
    for argument, following in followed:
        if argument == "--config" or argument.startswith("--config="):
            path = argument.partition("=")[2] or following
            named = EXPERIMENT.fullmatch(path)
            if not named or not Path(named[1]).is_file():
                raise ValueError(
                    f"there is no experiment file {path}; write "
                    "--config=experiments/NAME.py, or NAME.py:ARGUMENT"
                )


def _flag_mistake(text: str) -> str:
    """What absl and ml_collections say of a flag, without reprs and tracebacks."""
    meant = re.search(r'Did you mean "(.+?)" instead of "(.+?)"', text)
    if meant:
        return f"the experiment has no key {meant[2]!r}; did you mean {meant[1]!r}?"
    if "get_config() takes 0 positional arguments" in text:
        return "this experiment takes no argument; write --config=NAME.py alone"
    if "Traceback" in text:
        return text.strip().splitlines()[-1].partition(": ")[2]
    if re.fullmatch(r"[\"'\\\w]+", text):
        key = re.sub(r"\W", "", text)
        return f"the experiment has no key {key!r}; fcn_jax/config.py lists all keys"
    return text


def experiment_name(path: str) -> str:
    """Name of the run's directory: "experiments/x.py:small" gives "x-small".

    Of the argument, runs of other characters than letters, digits and '_' become "-".
    """
    named = EXPERIMENT.fullmatch(path)
    if not named:
        raise ValueError(
            f"{path} is not an experiment file, NAME.py or NAME.py:ARGUMENT"
        )
    name = f"{Path(named[1]).stem} {named[2] or ''}"
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")


if __name__ == "__main__":
    run(main)
