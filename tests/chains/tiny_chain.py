"""The smallest real chain: a start, and two stages that are compared."""

from pathlib import Path

from fcn_jax.chains.chain_file import experiment_config
from fcn_jax.chains.records import (
    Chain,
    Comparison,
    Curve,
    DataCurve,
    DataLine,
    Stage,
    Table,
)

TINY = Path(__file__).parents[1] / "tiny.py"


def _stage(name: str, **more) -> Stage:
    config = experiment_config(TINY)
    config.unlock()
    config.steps = 6
    config.evaluation.every = 3
    config.evaluation.pictures = 0
    if name == "few":
        config.data.limit = 4
    if more.get("init_from"):
        config.recipe = "fine-tune"
    test_split = "" if name == "trunk" else "train"
    return Stage(name, config.lock(), test_split=test_split, **more)


def get_chain(argument: str = "") -> Chain:
    """A chain of seconds; "bad" has a stage that fails, and one that starts from it."""
    trunk = _stage("trunk", seeds=(7,))
    stages = [
        trunk,
        _stage("scratch", seeds=(0, 1)),
        _stage("pretrained", seeds=(0, 1), init_from="trunk"),
        _stage("few", seeds=(0,)),
    ]
    if argument == "bad":
        with trunk.config.unlocked():
            trunk.config.data.limit = 999
    comparison = Comparison("transfer", "scratch", "pretrained")
    names = tuple(stage.name for stage in stages)
    lines = (DataLine("from scratch", ((4, "few"), (10, "scratch"))),)
    return Chain(
        "tiny",
        "A tiny chain",
        tuple(stages),
        tables=(Table("All", names, (comparison,)),),
        curves=(Curve("Updates", names[1:3]), DataCurve("Examples", lines)),
    )
