"""The default work directory of a run: runs/<experiment>."""

import os
import re
from pathlib import Path

from absl import logging

from fcn_jax.config import Config, changeable_keys, from_dict, to_dict
from fcn_jax.launch.experiment_files import ExperimentFile
from fcn_jax.runs.names import file_name, folder_name, plain
from fcn_jax.runs.workdir import CONFIG, check_resume, read_config
from fcn_jax.runtime.messages import shown

RUNS = Path("runs")


def default_workdir(experiment: ExperimentFile, config: Config) -> Path:
    """Return runs/<name of the run>.

    If a run of the same configuration exists under the name of an earlier version, that
    directory is used, and the log says so.
    """
    directory = RUNS / run_name(experiment, config.data.folder)
    former = RUNS / former_run_name(experiment)
    if former == directory or directory.exists() or not (former / CONFIG).is_file():
        return directory
    try:
        stored = from_dict(read_config(former), str(former / CONFIG))
        _check_folder(stored.data.folder, config.data.folder)
        check_resume(to_dict(stored), to_dict(config), changeable_keys(config))
    except ValueError as error:
        logging.info("%s is not this run, which is %s: %s", former, directory, error)
        return directory
    logging.info("this run is %s, as earlier versions named it", former)
    return former


def _check_folder(stored: str, folder: str) -> None:
    if os.path.abspath(stored) != os.path.abspath(folder):
        raise ValueError(f"its folder is {shown(stored)}")


def run_name(experiment: ExperimentFile, folder: str = "") -> str:
    """Return the directory name of a run: "experiments/x.py:small" gives "x-small".

    A folder in the argument is named by its last part and a digest of its absolute path.

    Args:
        experiment: the file and its argument.
        folder: `config.data.folder`; the argument may begin with it.
    """
    argument = experiment.argument or ""
    parts = [plain(experiment.file.stem)]
    if folder and argument.startswith(folder):
        parts += [folder_name(folder), plain(argument[len(folder) :])]
    else:
        parts.append(file_name(argument))
    return "-".join(filter(None, parts))


def former_run_name(experiment: ExperimentFile) -> str:
    """The name by the rule of version 0.1.0, ASCII only, for existing runs."""
    name = f"{experiment.file.stem} {experiment.argument or ''}"
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")
