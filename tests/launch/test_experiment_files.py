"""Experiments are found by path or name, and their mistakes are one sentence."""

import json
from pathlib import Path

import pytest

from fcn_jax.config import to_dict
from fcn_jax.launch.experiment_files import ExperimentFile, find, load, load_parts
from fcn_jax.runtime import shipped

ROOT = Path(__file__).parents[2]


def test_by_name_and_by_path(monkeypatch, tmp_path):
    """Oracle: the files of the checkout, from another directory."""
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own.py"
    own.write_text("")
    experiments = ROOT / "experiments"
    assert find("quickstart") == ExperimentFile(experiments / "quickstart.py")
    assert find("camvid_fcn8s:small").argument == "small"
    assert find("folder:/a:b/c,small").argument == "/a:b/c,small"
    assert find("own.py") == ExperimentFile(Path("own.py"))
    assert find(f"{own}:x.py:y") == ExperimentFile(own, "x.py:y")
    assert find("own.py:") == ExperimentFile(Path("own.py"), "")
    assert shipped.experiments() == tuple(
        sorted(f.stem for f in experiments.glob("*.py"))
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("quikstart", "did you mean --config=quickstart?"),
        ("experiments/fcn8.py", "did you mean --config=fcn8s?"),
        ("fcn32", "did you mean --config=fcn32s?"),
        ("zzz", "names are camvid_fcn8s, "),
        ("../quickstart", "no experiment ../quickstart"),
        ("", "no experiment"),
    ],
)
def test_a_wrong_name_lists_the_others(text, words, monkeypatch, tmp_path):
    """Oracle: the nearest by hand."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="there is no experiment") as caught:
        find(text)
    assert words in str(caught.value)


def test_tilde_in_the_argument(monkeypatch, tmp_path):
    """Oracle: the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("folder:~/data,small").argument == f"{tmp_path}/data,small"
    (tmp_path / "x.py").write_text("")
    assert find("~/x.py").file == tmp_path / "x.py"


MISTAKES = {
    "syntax": ("def get_config(:\n", None, "line 1: SyntaxError"),
    "import": ("\nimport nothing_like_it\n", None, "line 2: ModuleNotFoundError"),
    "no function": ("x = 1\n", None, "no function get_config"),
    "key": (
        "from fcn_jax.config import base\ndef get_config():\n"
        "    c = base()\n    c.stepz = 3\n    return c\n",
        None,
        'line 4: AttributeError.*"steps"',
    ),
    "nothing returned": ("def get_config():\n    pass\n", None, "returns a NoneType"),
    "no argument taken": ("def get_config():\n    pass\n", "a", "takes no argument"),
    "argument missing": ("def get_config(size):\n    pass\n", None, "x:ARGUMENT .size"),
    "own sentence": (
        "def get_config(a=''):\n    raise ValueError('my own')\n",
        "b",
        "^my own$",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_a_file(mistake, tmp_path):
    """Oracle: the line of the file, by hand."""
    text, argument, words = MISTAKES[mistake]
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(ValueError, match=words):
        load(ExperimentFile(tmp_path / "x.py", argument))


def test_a_folder_may_have_commas(tmp_path):
    """Oracle: the directories that there are."""

    def read(argument):
        config = load(find(f"folder:{argument}"))
        return config.data.folder, config.model.width

    both = tmp_path / "a,small"
    both.mkdir()
    (tmp_path / "b,c").mkdir()
    assert read(both) == (str(both), 1.0)
    assert read(f"{both},small") == (str(both), 0.5)
    assert read(tmp_path / "b,c") == (f"{tmp_path}/b,c", 1.0)
    assert read(f"{tmp_path}/b,c,small") == (f"{tmp_path}/b,c", 0.5)
    assert read("nothing,small") == ("nothing", 0.5)
    with pytest.raises(ValueError, match="size 'large'"):
        read(f"{both},large")
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="is a folder, and .* is one too"):
        read(both)
    assert read(f"{both}/") == (f"{both}/", 1.0)
    assert read(f"{tmp_path}/a/,small") == (f"{tmp_path}/a/", 0.5)


def test_where_shipped_files_are(tmp_path, monkeypatch):
    """Oracle: a copy as it is installed, and the checkout."""
    assert shipped.directory("experiments") == ROOT / "experiments"
    package = tmp_path / "fcn_jax"
    (package / "experiments").mkdir(parents=True)
    monkeypatch.setattr(shipped.resources, "files", lambda name: tmp_path / name)
    assert shipped.directory("experiments") == package / "experiments"


def test_a_stored_configuration_is_an_experiment(tmp_path):
    """Oracle: the experiment's own configuration, key by key and with its types."""
    config = load(find("folder:DIR,small"))
    file = tmp_path / "config.json"
    file.write_text(json.dumps(to_dict(config)))
    found = find(str(file))
    assert found == ExperimentFile(file)
    again = load(found)
    assert again.is_locked
    assert again.to_dict() == config.to_dict()
    assert load_parts(found, again) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"stepz": 3}', "has the key 'stepz', which no experiment has"),
        ('{"data": {"nam": "x"}}', "has the key 'data.nam'"),
        ('{"steps": "many"}', "config.steps is 'many'; it must be a whole number"),
        ("[1]", "it must be an object"),
        ("{", "is no JSON"),
    ],
)
def test_mistakes_in_a_stored_configuration(text, words, tmp_path):
    """Oracle: the keys and types of `config.base`."""
    file = tmp_path / "own.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        load(find(str(file)))
    assert str(file) in str(caught.value)
    with pytest.raises(ValueError, match="there is no experiment"):
        find(f"{file}x")
    with pytest.raises(ValueError, match="there is no experiment"):
        find(str(tmp_path / "other.json"))
