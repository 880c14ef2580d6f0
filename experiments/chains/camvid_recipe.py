"""What makes an FCN-8s better that learns CamVid from scratch: one change at a time.

    python -m fcn_jax.data prepare camvid --source=DIR
    python -m fcn_jax.ablate --config=experiments/chains/camvid_recipe.py

The net is that of `camvid_fcn8s.py:small`, a quarter of VGG16's width on windows of 240 x
240 pixels. Each stage adds to the one that the table compares it with; all have as many
updates. Scores are of val, every one of its 101 pictures. `data_dir=DIR` after a colon
says where CamVid was prepared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fcn_jax.chains.chain_file import experiment_config
from fcn_jax.chains.records import Chain, Comparison, Curve, Stage, Table

STEPS = 1200
SEEDS = (0, 1, 2)
EXPERIMENT = Path(__file__).parents[1] / "camvid_fcn8s.py"

# The median of the classes' frequencies over that of the class, and its root; a frequency
# is the share of pixels in the training pictures that have the class.
BALANCED = (0.279, 0.202, 4.787, 0.149, 1.0, 0.422, 3.847, 1.974, 0.789, 6.375, 8.859)
HALF_BALANCED = tuple(round(weight**0.5, 3) for weight in BALANCED)

NORM = {
    "model.normalization": "batch",
    "optimizer.multipliers": (
        ("*.bias", 1.0, 0.0),
        ("*.scale", 1.0, 0.0),
        ("*", 1.0, 1.0),
    ),
}
SCALE = {"data.scale": (0.5, 2.0)}
COLOR = {"data.color": (0.3, 0.3, 0.3)}
WEIGHTS = {"loss.class_weights": HALF_BALANCED}
ARMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "plain": ("", {}),
    "norm": ("plain", NORM),
    "norm-fast": ("norm", {**NORM, "optimizer.learning_rate": 3e-3}),
    "norm-scale": ("norm", {**NORM, **SCALE}),
    "norm-color": ("norm", {**NORM, **COLOR}),
    "norm-weights": ("norm", {**NORM, **WEIGHTS}),
    "norm-balanced": ("norm", {**NORM, "loss.class_weights": BALANCED}),
    "norm-average": ("norm", {**NORM, "average_decay": 0.995}),
    "all": ("norm", {**NORM, **SCALE, **COLOR, **WEIGHTS, "average_decay": 0.995}),
}
"""Name -> the stage that it is compared with, and its difference from the experiment."""


def get_chain(argument: str = "") -> Chain:
    key, _, data_dir = argument.partition("=")
    if argument and (key != "data_dir" or not data_dir):
        raise ValueError(
            f"camvid_recipe:{argument} does not exist; write camvid_recipe, or "
            "camvid_recipe:data_dir=DIR"
        )
    stages = tuple(_stage(name, change, data_dir) for name, (_, change) in ARMS.items())
    comparisons = tuple(
        Comparison(name, base, name) for name, (base, _) in ARMS.items() if base
    )
    names = tuple(ARMS)
    return Chain(
        name="camvid_recipe",
        title="FCN-8s on CamVid from scratch: what helps",
        stages=stages,
        tables=(Table("", names, comparisons),),
        curves=(Curve("Mean IU on val", names),),
    )


def _stage(name: str, change: Mapping[str, Any], data_dir: str) -> Stage:
    config = experiment_config(EXPERIMENT, "small").unlock()
    config.steps = STEPS
    config.evaluation.every = STEPS // 4
    config.evaluation.pictures = 2
    config.data.data_dir = data_dir
    config.update_from_flattened_dict(dict(change))
    return Stage(name, config.lock(), SEEDS)
