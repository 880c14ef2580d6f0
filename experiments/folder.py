"""FCN-8s on your own pictures: a folder with images/, labels/ and classes.txt.

Paper row: none; this is the recipe of `camvid_fcn8s.py` on data of yours.

    python -m fcn_jax.data check --folder=DIR
    python -m fcn_jax.main --config=experiments/folder.py:DIR
    python -m fcn_jax.main --config=experiments/folder.py:DIR,small

Classes and sizes are read from the folder. `,small` is a quarter of the width on
random windows of at most 240 x 240 pixels, for two CPU cores. Expected time: an
update of `,small` is one of `camvid_fcn8s.py:small`, half a second. Expected scores
depend on the data.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults


def get_config(argument: str = "") -> ConfigDict:
    folder, _, size = argument.partition(",")
    if not folder or size not in ("", "small"):
        raise ValueError(
            f"folder.py:{argument} is not a data set; write "
            "--config=experiments/folder.py:DIR or folder.py:DIR,small"
        )
    small = size == "small"
    config = defaults.base()
    config.recipe = "scratch"
    config.steps = 3000 if small else 20_000
    config.batch_size = 4
    config.model.stride = 8
    config.model.width = 0.25 if small else 1.0
    config.model.padding = "same"
    config.model.dropout_rate = 0.0 if small else 0.5
    config.preprocessing.color.scale = 1 / 64
    config.data.name = "folder"
    config.data.folder = folder
    config.data.order = "shuffle"
    config.data.crop = (240, 240) if small else (0, 0)
    config.data.mirror = True
    config.loss.reduction = "mean"
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3 if small else 2e-4
    config.optimizer.weight_decay = 1e-3
    config.optimizer.schedule = "poly"
    config.optimizer.warmup_steps = 100
    config.evaluation.every = 500
    config.checkpoint.every = 500
    return config
