"""Train, evaluate or plan an experiment: `python -m fcn_jax.main --config=quickstart`.

The work directory is the run: the same command again continues it. Without
`--workdir` it is runs/<experiment>. Every key of fcn_jax/config.py can be overridden:
`--config.KEY=VALUE`. `--mode=plan` trains nothing: it says what the run will need;
`--mode=explain` says in common terms what its updates are, too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fcn_jax.config import Config, initial_checkpoints, located_config, validate
from fcn_jax.launch import experiment_files, flags
from fcn_jax.launch.flags import Command
from fcn_jax.launch.run_name import default_workdir
from fcn_jax.planning import targets
from fcn_jax.runtime import shipped
from fcn_jax.runtime.cli import printing, run, set_up_logging
from fcn_jax.runtime.compilation import (
    enable_compilation_cache,
    request_deterministic,
    trim_compiler_memory,
)
from fcn_jax.runtime.devices import log_devices, start_devices
from fcn_jax.runtime.locations import located, refuse_file
from fcn_jax.runtime.stop import StopRequest
from fcn_jax.runtime.timing import StartupTimer

PLANS = ("plan", "explain")
"""Modes that train and score nothing."""


def main(arguments: list[str]) -> None:
    """Parse the flags and hand over to a program."""
    timer = StartupTimer()
    if {"--help", "-h"} & set(arguments):
        print(flags.usage(__doc__ or ""))
        return
    command = flags.parse(arguments)
    set_up_logging()
    config = located_config(command.config)
    directory = Path(
        located(command.workdir) or default_workdir(command.experiment, config)
    )
    directory = directory.absolute()
    given = located(command.checkpoint)
    trunk = shipped.is_trunk(given)
    stored = shipped.trunk(given) if trunk else Path(given or directory).absolute()
    _check(command, config, stored, directory)
    if command.target:
        targets.prepare(command.target)
    if config.deterministic:
        request_deterministic()
    start_devices()
    enable_compilation_cache()
    trim_compiler_memory()

    # What needs jax is imported late, so that --help and a mistake answer at once.
    parts = experiment_files.load_parts(command.experiment, config)
    if command.mode == "train":
        _train(config, parts, directory, timer)
        return
    with StopRequest("no file is half-written") as stop, stop.now():
        if command.mode in PLANS:
            _plan(command, config, parts)
            return
        own = command.workdir or trunk or not command.checkpoint
        target = directory if own else stored
        _evaluate(config, command.split, parts, stored, target, timer)


def _train(
    config: Config, parts: Mapping[str, Any], workdir: Path, timer: StartupTimer
) -> None:
    from fcn_jax.experiment.experiment import Experiment
    from fcn_jax.training.loop import train

    log_devices(config.dtype, count=config.devices, tf32=config.tf32)
    with StopRequest() as stop:
        with stop.now():
            experiment = Experiment.from_config(config, **parts)
        train(experiment, workdir, timer)


def _evaluate(
    config: Config,
    split: str,
    parts: Mapping[str, Any],
    stored: Path,
    target: Path,
    timer: StartupTimer,
) -> None:
    """Score the network in `stored`; the metrics go to `target`."""
    from fcn_jax.checkpoints.load_model import load_model
    from fcn_jax.evaluation.evaluate import evaluate_to_file
    from fcn_jax.experiment.scoring import Scoring
    from fcn_jax.models.build import BACKBONES
    from fcn_jax.models.heads import HEADS, training_heads
    from fcn_jax.models.spec import CLASSIFIER

    loaded = load_model(
        stored,
        classifier=config.model.head == CLASSIFIER,
        backbones=parts.get("backbones", BACKBONES),
        heads=training_heads(parts.get("heads", HEADS)),
    )
    dtype, tf32 = loaded.record.dtype, config.tf32
    log_devices(dtype, count=config.devices, tf32=tf32)
    source, loss = parts.get("eval_source"), parts.get("loss")
    scoring = Scoring.from_config(config, split, source=source, loss=loss)
    usual = config.data.eval_split
    evaluate_to_file(scoring, target, stored, usual, loaded=loaded, timer=timer)


def _plan(command: Command, config: Config, parts: dict[str, Any]) -> None:
    """Print what a run will need; data that are not there are replaced by assumptions."""
    from fcn_jax.experiment import without_data
    from fcn_jax.experiment.experiment import Experiment
    from fcn_jax.planning import command as planning
    from fcn_jax.runtime import sharding

    sources, assumed = without_data.splits(
        config, parts.get("train_source"), parts.get("eval_source")
    )
    given: dict[str, Any] = parts | sources
    target, mesh = targets.TARGETS.get(command.target), None
    if target is None:
        target = targets.here(config.dtype)
    else:
        devices = targets.deviceless(target.name, config.devices or 1)
        mesh = sharding.make_mesh(devices)

    def build(overrides: Mapping[str, Any]) -> Experiment:
        changed = config.copy_and_resolve_references()
        with changed.unlocked():
            changed.update_from_flattened_dict(dict(overrides))
        return Experiment.from_config(changed, **given, mesh=mesh)

    room = target.memory
    if command.memory:
        room = targets.parse_memory(command.memory)
    with printing():
        explained = command.mode == "explain"
        planning.print_plan(build, target, room, assumed, explained=explained)


def _check(command: Command, config: Config, stored: Path, directory: Path) -> None:
    """Refuse what no run could use, before jax is imported."""
    if command.mode not in PLANS and (command.target or command.memory):
        raise ValueError("--target and --memory belong to --mode=plan and explain")
    if command.target not in ("", *targets.TARGETS):
        known = " or ".join(targets.TARGETS)
        raise ValueError(
            f"--target is {command.target!r}; it must be {known}, or empty"
        )
    if command.memory:
        targets.parse_memory(command.memory)
    if command.mode != "evaluate" and (command.checkpoint or command.split):
        raise ValueError("--checkpoint and --split belong to --mode=evaluate")
    if command.mode == "evaluate":
        if not stored.exists():
            raise ValueError(
                f"there is no checkpoint {stored}; give --checkpoint=DIR, a work "
                "directory or a converted checkpoint"
            )
        if not shipped.is_trunk(str(stored)):
            refuse_file(stored, "--checkpoint")
    validate(config)
    begins = command.mode == "train" and not (directory / "checkpoints").exists()
    for path, _ in initial_checkpoints(config):
        if not shipped.is_trunk(path):
            refuse_file(path, "config.init_from")
        elif begins:
            shipped.trunk(path)


if __name__ == "__main__":
    run(main)
