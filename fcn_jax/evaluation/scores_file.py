"""The file for the metrics of an evaluation; different evaluations get different files.

A directory's scores.json holds the metrics of one net on one split of one data set with
one set of rules. In a work directory these are the run's own evaluations. Every other
evaluation has a file beside it, such as scores_train.json.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcn_jax.experiment.scoring import Scoring, stored_scoring
from fcn_jax.runs.names import digest, file_name, folder_name
from fcn_jax.runs.workdir import CONFIG, read_config

OWN = "scores.json"


@dataclass(frozen=True)
class Question:
    """What an evaluation measures.

    Attributes:
        data: name of the data set.
        folder: absolute path of the folder data set; "" for other data sets.
        split: of the data set.
        rules: digest of the other settings: classes, absent classes, procedural images.
        net: absolute path of the work directory or checkpoint.
    """

    data: str
    folder: str
    split: str
    rules: str
    net: str

    def about(self, fingerprint: str) -> dict[str, str]:
        """Return the entries of scores.json that describe the data."""
        named = {"data": self.data, "folder": self.folder, "split": self.split}
        shown = {key: value for key, value in named.items() if value}
        return {**shown, "fingerprint": fingerprint, "rules": self.rules}


def question(scoring: Scoring, net: str | os.PathLike) -> Question:
    """Return what the evaluation of a network on a split measures.

    Args:
        scoring: the data and the rules.
        net: work directory or checkpoint.
    """
    return _question(scoring.data, scoring.split, scoring.rules, net)


def _question(
    data: str, split: str, rules: Mapping[str, Any], net: str | os.PathLike
) -> Question:
    folder = rules["folder"]
    others = {key: value for key, value in rules.items() if key != "folder"}
    return Question(
        data=data,
        folder=os.path.abspath(folder) if folder else "",
        split=split,
        rules=digest(json.dumps(others, sort_keys=True)),
        net=os.path.abspath(net),
    )


def scores_path(directory: Path, asked: Question, usual_split: str) -> Path:
    """Return the path of the file for the metrics.

    Args:
        directory: a run, or any other.
        asked: the question.
        usual_split: the split in the configuration, for a directory without
            scores.json.
    """
    own = _own_question(directory, asked, usual_split)
    parts = []
    if (asked.data, asked.folder) != (own.data, own.folder):
        parts = [folder_name(asked.folder) if asked.folder else asked.data]
        parts.append(file_name(asked.split))
    elif asked.split != own.split:
        parts.append(file_name(asked.split))
    if asked.rules != own.rules:
        parts.append(f"rules-{asked.rules}")
    if asked.net != own.net:
        parts.append(folder_name(asked.net))
    return directory / ("_".join([Path(OWN).stem, *parts]) + ".json")


def _own_question(directory: Path, asked: Question, usual_split: str) -> Question:
    """What the scores.json of a directory measures, or will measure."""
    with contextlib.suppress(ValueError):
        own = stored_scoring(read_config(directory), str(directory / CONFIG))
        return _question(*own, directory)
    fresh = Question(asked.data, asked.folder, usual_split, asked.rules, asked.net)
    try:
        stored = json.loads((directory / OWN).read_bytes())
    except (OSError, ValueError, RecursionError):
        return fresh
    return _answered(stored, fresh) if isinstance(stored, dict) else fresh


def _answered(stored: dict[str, Any], fresh: Question) -> Question:
    """What a stored scores.json outside a work directory measures."""
    net = stored.get("checkpoint", fresh.net)
    if str(net).startswith(f"{fresh.net}{os.sep}"):
        net = fresh.net
    return Question(
        data=stored.get("data", fresh.data),
        folder=stored.get("folder", fresh.folder),
        split=stored.get("split", fresh.split),
        rules=stored.get("rules", fresh.rules),
        net=net,
    )
