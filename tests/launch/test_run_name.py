"""Runs of different folders have different directories, and keep those they have."""

import itertools
import json
import unicodedata
from pathlib import Path

import pytest

from fcn_jax import config as configuration
from fcn_jax.launch.experiment_files import ExperimentFile
from fcn_jax.launch.run_name import default_workdir, file_name, folder_name, run_name
from fcn_jax.runs.workdir import store_config


def _name(file: str, argument: str | None = None, folder: str = "") -> str:
    return run_name(ExperimentFile(Path(file), argument), folder)


def test_plain_experiments_keep_their_names():
    """Oracle: the names of version 0.1.0."""
    assert _name("experiments/quickstart.py") == "quickstart"
    assert _name("x.py", "small") == "x-small"
    assert _name("camvid_fcn8s.py", "") == "camvid_fcn8s"
    assert _name("a/größe.py", "2-x") == "größe-2-x"


FOLDERS = (
    *("/a/b", "/a-b", "/a/.v1", "/a/-v1", "/a/v1", "/данные/один", "/данные/два"),
    *(
        "/データ",
        "/数据",
        "/a b",
        "/a_b",
        "/a,b",
        "/é",
        "/e\u0301",
        "/a/b/c",
        "/",
        "/a:b",
    ),
    *("/a/b,small", "/a/b-small", "/a\udcff", "/a\udcfe", "/🙂", "/🙃"),
)


def test_no_two_folders_share_a_name():
    """Oracle: the folders differ, so do the names; letters of any script are kept."""
    names = {folder: _name("folder.py", folder, folder) for folder in FOLDERS}
    small = [_name("folder.py", f"{folder},small", folder) for folder in FOLDERS]
    everything = [*names.values(), *small]
    assert len(set(everything)) == len(everything) == 2 * len(FOLDERS)
    assert "один" in names["/данные/один"]
    assert names["/é"].startswith("folder-é-")
    assert unicodedata.normalize("NFC", names["/e\u0301"]).startswith("folder-é-")
    for name in everything:
        assert "/" not in name
        assert not name.startswith((".", "-"))
        name.encode()  # a name that any file system takes


def test_one_folder_has_one_name(monkeypatch, tmp_path):
    """Oracle: the same directory, however it is written."""
    monkeypatch.chdir(tmp_path)
    spellings = ("data", "data/", "./data", f"{tmp_path}/data", "x/../data")
    names = {_name("folder.py", text, text) for text in spellings}
    assert len(names) == 1


def test_arguments_that_are_no_folder():
    """Oracle: those that 0.1.0 made one name are told apart now."""
    for one, other in itertools.combinations(("a,b", "a-b", "a b", ".a-b", "a--b"), 2):
        assert _name("x.py", one) != _name("x.py", other)
    assert file_name("train") == "train"
    assert folder_name("/a/train").startswith("train-")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A configuration of the folder `/data/v1`, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    config = configuration.base()
    config.data.name = "folder"
    config.data.folder = "/data/v1"
    return config


def test_a_run_with_a_former_name_goes_on(runs):
    """Oracle: the directory of 0.1.0, if its config.json is of the same experiment."""
    experiment = ExperimentFile(Path("folder.py"), "/data/v1")
    new = Path("runs") / _name("folder.py", "/data/v1", "/data/v1")
    assert default_workdir(experiment, runs) == new
    former = Path("runs/folder-data-v1")
    former.mkdir(parents=True)
    store_config(former, configuration.to_dict(runs))
    assert default_workdir(experiment, runs) == former
    runs.log.every = 7  # may change in a run
    assert default_workdir(experiment, runs) == former
    other = ExperimentFile(Path("folder.py"), "/data-v1")
    runs.data.folder = "/data-v1"
    assert default_workdir(other, runs).name.startswith("folder-data-v1-")
    runs.data.folder = "/data/v1"
    new.mkdir()
    assert default_workdir(experiment, runs) == new


def test_a_former_run_that_is_another_is_named(runs, caplog):
    """Oracle: one sentence, which names both directories; also for a damaged file."""
    experiment = ExperimentFile(Path("folder.py"), "/data/v1")
    former = Path("runs/folder-data-v1")
    former.mkdir(parents=True)
    store_config(former, configuration.to_dict(runs))
    runs.seed = 4
    caplog.set_level("INFO", logger="absl")
    assert default_workdir(experiment, runs) != former
    assert "folder-data-v1 is not this run" in caplog.text
    (former / "config.json").write_text(json.dumps({"steps": "many"}))
    assert default_workdir(experiment, runs) != former
