"""Do the skips help? FCN-32s, 16s and 8s on the quickstart's procedural images.

    python -m fcn_jax.ablate --config=experiments/chains/skips.py

The papers' first ablation (CVPR 2015, Table 2) in small: one recipe, three finest strides,
three seeds, nothing to download. `:2` makes two updates, to see it run.
"""

from pathlib import Path

from fcn_jax.chains.chain_file import experiment_config
from fcn_jax.chains.records import Chain, Comparison, Curve, Stage, Table

STRIDES = (32, 16, 8)
STEPS = 300


def get_chain(argument: str = "") -> Chain:
    if argument and not argument.isdecimal():
        raise ValueError(f"skips:{argument} does not exist; give a number of updates")
    stages = tuple(_stage(stride, int(argument or STEPS)) for stride in STRIDES)
    names = tuple(stage.name for stage in stages)
    comparisons = (
        Comparison("pool4", names[0], names[1]),
        Comparison("pool3", names[1], names[2]),
    )
    return Chain(
        name="skips",
        title="Skips, on the quickstart's images",
        stages=stages,
        tables=(Table("", names, comparisons),),
        curves=(Curve("Finest stride", names),),
    )


def _stage(stride: int, steps: int) -> Stage:
    config = experiment_config(Path(__file__).parents[1] / "quickstart.py").unlock()
    config.model.stride = stride
    config.steps = steps
    config.evaluation.every = max(1, steps // 6)
    return Stage(f"fcn{stride}s", config.lock())
