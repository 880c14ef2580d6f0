"""FCN-8s on CamVid (11 classes of driving scenes), from scratch or from a trunk.

Paper row: none in the FCN papers. The comparison is FCN-Basic of the SegNet paper
(arXiv 1511.00561, Table 1), also trained from scratch on the same 367 images:
mean IU 0.473 on the 233 test images. The net is the papers' FCN-8s, all skips at
once, with "same" padding; without ImageNet weights the papers' SGD does not train it
(PAMI section 4.4), so it learns with Adam on a mean loss.

    python -m fcn_jax.data prepare camvid --source=DIR
    python -m fcn_jax.main --config=experiments/camvid_fcn8s.py
    python -m fcn_jax.main --config=experiments/camvid_fcn8s.py:small
    python -m fcn_jax.main --config=experiments/camvid_fcn8s.py:pretrained

`:small` is a quarter of the width on random 240 x 240 windows, for two CPU cores.
Expected time: half an hour. Expected mean IU: 0.435 on test, 0.585 on val (measured).
The full size is meant for a GPU and has not been measured.

`:pretrained` is GoogLeNet at half its width from the trunk that comes with the package, on
windows of varied scale and colour, with weighted classes. Expected time: 25 minutes.
Expected mean IU: 0.52 on test, 0.61 on val (measured, two seeds: 0.513, 0.519).
Score the test split of a finished run with `--mode=evaluate --split=test`.
"""

from ml_collections import ConfigDict

from fcn_jax import config as defaults
from fcn_jax.launch.classifier_start import start_from_package

TRAIN_MEAN = (105.0332, 108.4089, 110.3310)
# Root of the median of the classes' frequencies over that of the class, on train.
WEIGHTS = (0.528, 0.449, 2.188, 0.386, 1.0, 0.65, 1.961, 1.405, 0.888, 2.525, 2.976)


def get_config(size: str = "full") -> ConfigDict:
    if size not in ("full", "small", "pretrained"):
        raise ValueError(
            f"camvid_fcn8s:{size} does not exist; use :full, :small or :pretrained"
        )
    small = size != "full"
    config = defaults.base()
    config.recipe = "scratch"
    config.steps = 3600 if small else 20_000
    config.batch_size = 4 if small else 8
    config.model.stride = 8
    config.model.width = 0.25 if small else 1.0
    config.model.padding = "same"
    config.model.dropout_rate = 0.0 if small else 0.5
    config.preprocessing.color.mean = TRAIN_MEAN
    config.preprocessing.color.scale = 1 / 78
    config.preprocessing.color.origin = "mean and spread of CamVid's train split"
    config.data.name = "camvid"
    config.data.order = "shuffle"
    config.data.crop = (240, 240) if small else (0, 0)
    config.data.mirror = True
    config.loss.reduction = "mean"
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3 if small else 2e-4
    config.optimizer.weight_decay = 1e-3
    config.optimizer.schedule = "poly"
    config.optimizer.warmup_steps = 100
    config.evaluation.every = 900 if small else 1000
    config.evaluation.batch_size = 1 if small else 8
    config.checkpoint.every = 300 if small else 1000
    if size == "pretrained":
        start_from_package(config)
        config.steps = 4000
        config.data.scale = (0.5, 2.0)
        config.data.color = (0.3, 0.3, 0.3)
        config.loss.class_weights = WEIGHTS
        config.evaluation.every = 1000
        config.checkpoint.every = 500
    return config
