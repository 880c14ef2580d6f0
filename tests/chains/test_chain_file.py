"""Chain files, and the experiments that their stages are made of."""

from pathlib import Path

import pytest

from fcn_jax.chains.chain_file import experiment_config, find_chain, load_chain
from fcn_jax.launch.experiment_files import ExperimentFile

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def test_by_name_and_by_path():
    """Oracle: the files of the checkout."""
    chains = ROOT / "experiments" / "chains"
    assert find_chain("transfer:camvid") == ExperimentFile(
        chains / "transfer.py", "camvid"
    )
    assert find_chain(f"{chains}/skips.py").file == chains / "skips.py"
    with pytest.raises(
        ValueError, match="there is no chain skip; did you mean .*skips"
    ):
        find_chain("skip")


def test_a_chain_is_what_its_file_returns():
    """Oracle: the file, by hand."""
    found = load_chain(find_chain(str(HERE / "tiny_chain.py")))
    assert [stage.name for stage in found.stages] == [
        "trunk",
        "scratch",
        "pretrained",
        "few",
    ]
    assert found.stage("few").config.data.limit == 4
    assert found.stage("scratch").config.data.limit == 0


STAGE = "Stage('a', config.lock())"
MISTAKES = {
    "no function": ("", "has no function get_chain.., which a chain needs"),
    "no chain": ("def get_chain():\n    return 3\n", "returns a int; it must return"),
    "no stages": (
        "from fcn_jax.chains.records import Chain\n"
        "def get_chain():\n    return Chain('x', 'x', ())\n",
        "has no stages",
    ),
    "a value": (
        "from fcn_jax.chains.records import Chain, Stage\nfrom fcn_jax.config import base\n"
        "def get_chain():\n    config = base()\n    config.steps = 0\n"
        f"    return Chain('x', 'x', ({STAGE},))\n",
        "stage a: config.steps is 0; it must be at least 1",
    ),
    "a key": (
        "from fcn_jax.config import base\ndef get_chain():\n    base().stepz = 3\n",
        "line 3: AttributeError",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_a_file(mistake, tmp_path):
    """Oracle: the rules of the docstrings."""
    text, words = MISTAKES[mistake]
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(ValueError, match=words):
        load_chain(find_chain(str(tmp_path / "x.py")))


def test_an_experiment_is_a_configuration_alone(tmp_path):
    """Oracle: the experiment; a file that passes a loss of its own is refused."""
    config = experiment_config(ROOT / "experiments" / "camvid_fcn8s.py", "small")
    assert (config.data.name, config.model.width) == ("camvid", 0.25)
    own = tmp_path / "own.py"
    own.write_text(
        "from fcn_jax.config import base as get_config\n"
        "def get_parts(config):\n    return {'loss': max}\n"
    )
    with pytest.raises(
        ValueError, match="own.py has get_parts.. with loss; a stage is"
    ):
        experiment_config(own)
    with pytest.raises(ValueError, match="there is no experiment nothing.py"):
        experiment_config("nothing.py")
