"""Chain files: Python files with a function `get_chain(argument: str = "") -> Chain`."""

from pathlib import Path

from fcn_jax.chains.records import Chain
from fcn_jax.config import Config, validate
from fcn_jax.launch import experiment_files
from fcn_jax.launch.experiment_files import ExperimentFile

FOLDER = "experiments/chains"
"""Where the package's own chains are."""


def find_chain(text: str) -> ExperimentFile:
    """Find the chain that `--config` names.

    Args:
        text: `PATH.py`, or the NAME of a chain of the package; optionally with
            `:ARGUMENT`.

    Raises:
        ValueError: if there is none; names the nearest.
    """
    return experiment_files.find(text, FOLDER)


def load_chain(file: ExperimentFile) -> Chain:
    """Return the chain of a file; its configurations hold values that runs can use.

    Raises:
        ValueError: if the file cannot be run, does not return a chain, or a stage has a
            value that no run could use.
    """
    chain = experiment_files.made(file, "get_chain", "a chain")
    if not isinstance(chain, Chain):
        raise ValueError(
            f"get_chain() of {file.file} returns a {type(chain).__name__}; it must "
            "return a fcn_jax.chains.records.Chain"
        )
    if not chain.stages:
        raise ValueError(f"the chain of {file.file} has no stages; give it one or more")
    for stage in chain.stages:
        try:
            validate(stage.config)
        except ValueError as error:
            raise ValueError(f"stage {stage.name}: {error}") from error
    return chain


def experiment_config(file: str | Path, argument: str | None = None) -> Config:
    """Return the configuration of an experiment file, for a stage.

    Args:
        file: the path.
        argument: of its `get_config`; None for none.

    Raises:
        ValueError: if the file cannot be run, or passes Python objects to its run, which
            a stage cannot.
    """
    found = ExperimentFile(Path(file), argument)
    if not found.file.is_file():
        raise ValueError(f"there is no experiment {file}; give the path of a file")
    config = experiment_files.load(found)
    parts = experiment_files.load_parts(found, config)
    if parts:
        raise ValueError(
            f"{file} has get_parts() with {', '.join(sorted(parts))}; a stage is a "
            "configuration alone, so say it there, or run the experiment by itself"
        )
    return config
