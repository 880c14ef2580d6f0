"""FCN-8s on your own images: a folder with images/, labels/ and classes.txt.

Paper row: none; the full size is the recipe of `camvid_fcn8s.py` on your data.

    python -m fcn_jax.data check --folder=DIR
    python -m fcn_jax.main --config=experiments/folder.py:DIR
    python -m fcn_jax.main --config=experiments/folder.py:DIR,small

Classes and sizes are read from the folder. The full size trains VGG16 from scratch.
`,small` is for two CPU cores and few pictures: GoogLeNet of half the width, from the
trunk that comes with the package and has learnt ten classes of ImageNet, on random
windows of at most 240 x 240 pixels. Add `--config.recipe=scratch --config.init_from=""`
to start without it. Expected scores depend on the data.
"""

from pathlib import Path

from ml_collections import ConfigDict

from fcn_jax import config as defaults
from fcn_jax.launch.classifier_start import start_from_package


def split_size(argument: str) -> tuple[str, bool]:
    """The folder of an argument, and whether `,small` follows it.

    A folder's name may contain commas; the existing folder decides.
    """
    folder, comma, size = argument.rpartition(",")
    whole, before = Path(argument).is_dir(), Path(folder).is_dir()
    if not comma or (whole and not before):
        folder, size = argument, ""
    elif whole and size == "small":
        raise ValueError(
            f"{argument} is a folder, and {folder} is one too; write folder:{argument}/ "
            f"for the first, folder:{folder}/,small for the second at a small size"
        )
    elif size != "small":
        if before and not whole:
            raise ValueError(
                f"folder:{argument} has the size {size!r}; it may be small"
            )
        folder, size = argument, ""
    if not folder:
        raise ValueError(
            f"folder:{argument} is not a data set; write --config=folder:DIR or "
            "--config=folder:DIR,small"
        )
    return folder, size == "small"


def get_config(argument: str = "") -> ConfigDict:
    folder, small = split_size(argument)
    config = defaults.base()
    config.recipe = "scratch"
    config.steps = 3000 if small else 20_000
    config.batch_size = 4
    config.model.stride = 8
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
    if small:
        start_from_package(config)
        config.data.color = (0.3, 0.3, 0.3)
    return config
