"""Ranges of the numbers of a configuration, and values that exclude one another."""

from collections.abc import Mapping
from typing import Any

from fcn_jax.data.sources import DATA_SETS
from fcn_jax.launch.config_values import one_of, require

LEAST: Mapping[str, int] = {
    "steps": 1,
    "batch_size": 1,
    "accumulation": 1,
    "seed": 0,
    "mixup": 0,
    "data.limit": 0,
    "loss.sampling_cell": 1,
    "optimizer.weight_decay": 0,
    "optimizer.warmup_steps": 0,
    "optimizer.decay_every": 1,
    "evaluation.every": 1,
    "evaluation.batch_size": 0,
    "evaluation.pictures": 0,
    "checkpoint.every": 1,
    "checkpoint.keep": 1,
    "log.every": 1,
}
"""Numbers that have a least value, and that."""
SHARES = ("average_decay", "loss.smoothing", "optimizer.momentum")
"""Numbers in [0, 1)."""


def check_ranges(config: Any) -> None:
    """Refuse values that no run could use.

    Args:
        config: of an experiment, with values of the right types.

    Raises:
        ValueError: one sentence with the key, the value and what is allowed.
    """
    for key, least in LEAST.items():
        value = _value(config, key)
        require(value >= least, key, value, f"at least {least}")
    for key in SHARES:
        value = _value(config, key)
        require(0 <= value < 1, key, value, "in [0, 1)")
    share = config.loss.sampling
    require(0 < share <= 1, "loss.sampling", share, "above 0, at most 1")
    shares, allowed = config.loss.class_sampling, "numbers in [0, 1], one above 0"
    holds = all(0 <= own <= 1 for own in shares) and (not shares or any(shares))
    require(holds, "loss.class_sampling", shares, allowed)
    snapshots = config.checkpoint.snapshots
    holds = all(step >= 1 for step in snapshots)
    require(holds, "checkpoint.snapshots", snapshots, "updates, each at least 1")
    rate, factor = config.optimizer.learning_rate, config.optimizer.decay_factor
    require(rate > 0, "optimizer.learning_rate", rate, "above 0")
    require(0 < factor <= 1, "optimizer.decay_factor", factor, "above 0, at most 1")
    if config.gradient_dtype != "float32" and config.dtype == "float32":
        raise ValueError(
            "config.gradient_dtype is 'bfloat16', but config.dtype is 'float32'; set both "
            "to bfloat16, or leave config.gradient_dtype at float32"
        )
    one_of("data.name", config.data.name, DATA_SETS)
    if config.data.eval_name:
        one_of("data.eval_name", config.data.eval_name, DATA_SETS)
    _check_windows(config.data)
    _check_colors(config.data)


def _check_windows(data: Any) -> None:
    """Refuse sizes of batches and windows that contradict one another."""
    for key in ("canvas", "crop"):
        value = data[key]
        pair = len(value) == 2 and all(isinstance(v, int) and v >= 0 for v in value)
        require(pair, f"data.{key}", value, "two whole numbers (rows, columns)")
    crop, allowed = data.crop, "two sizes above 0, or (0, 0) for none"
    require(all(crop) or not any(crop), "data.crop", crop, allowed)
    if any(crop) and any(data.canvas):
        raise ValueError(
            "data.canvas and data.crop are both set; a cropped batch has the size of "
            "the crop: leave data.canvas at (0, 0)"
        )
    least, largest = data.scale
    allowed = "two factors above 0, the least first"
    require(0 < least <= largest, "data.scale", data.scale, allowed)
    if (least, largest) != (1, 1) and not any(crop):
        raise ValueError(
            f"config.data.scale is {data.scale}, and config.data.crop takes no window; "
            "set config.data.crop, so that batches keep one size"
        )


def _check_colors(data: Any) -> None:
    color = data.color
    allowed = "three numbers in [0, 1]: brightness, contrast, saturation"
    holds = len(color) == 3 and all(0 <= amount <= 1 for amount in color)
    require(holds, "data.color", color, allowed)
    require(data.lighting >= 0, "data.lighting", data.lighting, "at least 0")


def _value(config: Any, key: str) -> Any:
    section, _, name = key.rpartition(".")
    return (config[section] if section else config)[name]
