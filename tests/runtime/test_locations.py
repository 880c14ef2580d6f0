"""`~` is the home directory in every path, on disk too."""

import os
from pathlib import Path

import pytest

from fcn_jax import config as configuration
from fcn_jax.checkpoints.store import CheckpointError, load
from fcn_jax.runs.workdir import WorkDirectory, read_config, store_config
from fcn_jax.runtime.cli import run
from fcn_jax.runtime.locations import (
    all_located,
    located,
    located_argument,
    refuse_file,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The home directory, and another to stand in."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(here)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_path_is_located(home):
    """Oracle: by hand; `pwd` has the home directory of root."""
    assert located("~/a b") == f"{home}/a b"
    assert located("~") == str(home)
    assert located("~root/x") == os.path.expanduser("~root") + "/x"
    for text in ("", "a/~/b", "./~", "/~", "$HOME/x", "a~"):
        assert located(text) == text


def test_the_home_of_nobody_is_refused(home):
    """Oracle: the rule; a file that is called so is meant itself."""
    with pytest.raises(ValueError, match="no-such-user.* write ./~no-such-user/x"):
        located("~no-such-user/x")
    Path("~lock.png").write_text("")
    assert located("~lock.png") == "~lock.png"


def test_words_of_a_command_line(home):
    """Oracle: by hand; what is no path stays as it is."""
    assert located_argument("--workdir=~/r") == f"--workdir={home}/r"
    assert located_argument("~/*.png") == f"{home}/*.png"
    assert located_argument("--overlay") == "--overlay"
    assert located_argument("--config.a=(1, 2)") == "--config.a=(1, 2)"
    seen: list[str] = []
    with pytest.raises(SystemExit):
        run(seen.extend, ["~/a", "--output=~/b", "--config=x.py:~/c"])  # type: ignore
    assert seen == [f"{home}/a", f"--output={home}/b", "--config=x.py:~/c"]


def test_paths_of_a_configuration(home):
    """Oracle: by hand; rules of init_from are patterns."""
    config = configuration.base()
    config.init_from = ("~/a", ("~/b", (("head.*", "new.*"),)))
    config.data.folder = "~/data"
    config.data.data_dir = "~/tfds"
    found = configuration.located_config(config)
    assert found.init_from == (
        f"{home}/a",
        (f"{home}/b", (("head.*", "new.*"),)),
    )
    assert (found.data.folder, found.data.data_dir) == (f"{home}/data", f"{home}/tfds")
    assert config.data.folder == "~/data"
    assert found.is_locked
    assert all_located(3) == 3


def test_the_python_interface_too(home):
    """Oracle: what is on the disk."""
    with WorkDirectory.acquire("~/runs/x"):
        assert (home / "runs/x/lock").exists()
    assert list(Path().iterdir()) == []
    with pytest.raises(CheckpointError, match=str(home)):
        load("~/runs/x")


def test_a_file_is_no_checkpoint(tmp_path):
    """Oracle: the sentence has the command; a directory and nothing are let pass."""
    weights = tmp_path / "x.pth"
    weights.write_bytes(b"")
    command = f"python -m fcn_jax.convert {weights} DIR --net=NAME"
    with pytest.raises(ValueError, match=command):
        refuse_file(weights, "--checkpoint")
    with pytest.raises(ValueError, match=command):
        load(weights)
    refuse_file(tmp_path, "--checkpoint")
    refuse_file(tmp_path / "nothing", "--checkpoint")


def test_doors_write_to_the_home_directory(home, monkeypatch):
    """Oracle: the files on the disk; nothing is called `~`."""
    from fcn_jax import main
    from fcn_jax.data import __main__ as data
    from fcn_jax.training import loop

    def make(run, workdir, timer):
        workdir.mkdir(parents=True)
        store_config(workdir, run.config)

    monkeypatch.setattr(loop, "train", make)
    (home / "tiny.py").write_text((ROOT / "tests" / "tiny.py").read_text())
    for program, words in (
        (main.main, "--config=~/tiny.py --workdir=~/run --config.data.folder=~/d"),
        (data.main, "stats synthetic --limit=2 --pictures=0 --output=~/stats"),
    ):
        with pytest.raises(SystemExit) as caught:
            run(program, words.split())
        assert not caught.value.code
    assert read_config(home / "run")["data"]["folder"] == f"{home}/d"
    assert (home / "stats" / "stats.json").is_file()
    assert list(Path().iterdir()) == []
