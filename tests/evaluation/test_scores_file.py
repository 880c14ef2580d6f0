"""Scores of one question never take the place of another's."""

import json
from pathlib import Path

import pytest

from fcn_jax import config as configuration
from fcn_jax.data.sources.synthetic import SyntheticSource, SyntheticSpec
from fcn_jax.evaluation.scores_file import Question, question, scores_path
from fcn_jax.experiment.scoring import Scoring
from fcn_jax.runs.names import digest
from fcn_jax.runs.workdir import store_config

SOURCE = SyntheticSource(
    SyntheticSpec(
        num_classes=2,
        num_train=1,
        num_val=1,
        min_size=(16, 16),
        max_size=(16, 16),
        seed=0,
    ),
    "val",
)
"""The folders are not there, and what is in them does not matter."""


def _config(**changes):
    config = configuration.base()
    config.devices = 1
    config.data.name = "folder"
    config.data.folder = "/data/v1"
    for key, value in changes.items():
        config.data[key] = value
    return config


@pytest.fixture
def run(tmp_path) -> Path:
    """A run that was trained on /data/v1, scored on val."""
    directory = tmp_path / "runs" / "x"
    directory.mkdir(parents=True)
    store_config(directory, configuration.to_dict(_config()))
    return directory


def _name(directory, config, split="val", net=None) -> str:
    scoring = Scoring.from_config(config, split, source=SOURCE)
    asked = question(scoring, net or directory)
    return scores_path(directory, asked, config.data.eval_split).name


def test_a_run_answers_its_own_question_in_scores_json(run):
    """Oracle: by hand; a relative folder or a slash at the end is no other."""
    assert _name(run, _config()) == "scores.json"
    assert _name(run, _config(folder="/data/v1/")) == "scores.json"
    assert _name(run, _config(folder="/data/x/../v1")) == "scores.json"


def test_other_questions_have_other_files(run):
    """Oracle: by hand; all names differ, also where scores.json is not there yet."""
    paper = _config()
    paper.evaluation.absent = "paper"
    asked = {
        "split": _name(run, _config(), "train"),
        "odd split": _name(run, _config(), "train/2"),
        "odder split": _name(run, _config(), "train-2"),
        "folder": _name(run, _config(folder="/data/v2")),
        "folder of that name": _name(run, _config(folder="/other/v1")),
        "folder and split": _name(run, _config(folder="/data/v2"), "train"),
        "data set": _name(run, _config(name="camvid")),
        "evaluation set": _name(run, _config(eval_name="voc2012")),
        "classes": _name(run, _config(classes=("a", "b"))),
        "rest": _name(run, _config(classes=("a", "b"), rest="ignore")),
        "absent": _name(run, paper),
        "net": _name(run, _config(), net=Path("/weights/voc-fcn8s")),
        "net of that name": _name(run, _config(), net=Path("/other/voc-fcn8s")),
    }
    assert len(set(asked.values())) == len(asked)
    assert "scores.json" not in asked.values()
    assert asked["split"] == "scores_train.json"
    assert asked["folder"] == f"scores_v2-{digest('/data/v2')}_val.json"
    assert asked["data set"] == "scores_camvid_val.json"
    assert all(Path(name).name == name for name in asked.values())


def _answer(directory, config, split="val", net=None, **more) -> str:
    """Writes scores as an evaluation does; returns the file's name."""
    scoring = Scoring.from_config(config, split, source=SOURCE)
    asked = question(scoring, net or directory)
    path = scores_path(directory, asked, config.data.eval_split)
    about = {"checkpoint": f"{asked.net}/0", **asked.about("f"), **more}
    path.write_text(json.dumps(about))
    return path.name


def test_a_directory_that_is_no_run_keeps_its_first_question(tmp_path):
    """Oracle: by hand; a converted checkpoint has no config.json."""
    assert _answer(tmp_path, _config(), "test") == "scores_test.json"
    assert _answer(tmp_path, _config()) == "scores.json"
    assert _answer(tmp_path, _config()) == "scores.json"
    assert _answer(tmp_path, _config(folder="/b")) != "scores.json"
    assert _answer(tmp_path, _config(name="camvid")) == "scores_camvid_val.json"
    other = _answer(tmp_path, _config(), net=Path("/weights/y"))
    assert other == f"scores_y-{digest('/weights/y')}.json"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"data": 3, "split": []}', "[" * 9999]
)
def test_damaged_scores_are_no_question(tmp_path, text):
    """Oracle: a name all the same."""
    (tmp_path / "scores.json").write_text(text)
    assert _name(tmp_path, _config()).startswith("scores")


def test_scores_of_the_former_version(tmp_path):
    """Oracle: by hand; what they do not say is no difference."""
    former = {"data": "camvid", "split": "val", "checkpoint": f"{tmp_path}/0"}
    (tmp_path / "scores.json").write_text(json.dumps(former))
    assert _name(tmp_path, _config(name="camvid")) == "scores.json"
    assert _name(tmp_path, _config(name="voc2012")) == "scores_voc2012_val.json"


def test_scores_name_their_data():
    """Oracle: by hand."""
    about = Question("folder", "/a", "val", "0", "/n").about("print")
    assert about == {
        "data": "folder",
        "folder": "/a",
        "split": "val",
        "fingerprint": "print",
        "rules": "0",
    }
    assert "folder" not in Question("camvid", "", "val", "0", "/n").about("print")
