"""Types and ranges of the values of a configuration, from a file, a flag or a run.

The type of each value is that of its default. Types that a default cannot show (the
elements of a tuple, a section whose keys the user chooses) are written here.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from fcn_jax import losses, metrics, optim
from fcn_jax.data import pipeline, sources
from fcn_jax.models import spec
from fcn_jax.models.spec import WIDEST
from fcn_jax.runtime.messages import shown
from fcn_jax.runtime.plain_json import (
    LARGEST,
    is_number,
    is_preprocessing,
    is_text,
    is_whole,
    sequence_of,
)

CHOICES: dict[str, tuple[str | int, ...]] = {
    "recipe": ("fine-tune", "scratch"),
    "dtype": spec.DTYPES,
    "gradient_dtype": spec.DTYPES,
    "init_preprocessing": ("checked", "replace"),
    "model.stride": spec.STRIDES,
    "model.padding": (*spec.PADDINGS, spec.NATIVE),
    "model.fusion": get_args(spec.Fusion),
    "model.upsampling": get_args(spec.Upsampling),
    "model.score_init": get_args(spec.ScoreInit),
    "model.order": get_args(spec.LayerOrder),
    "model.normalization": ("", *get_args(spec.Normalization)),
    "data.rest": get_args(sources.Rest),
    "data.order": get_args(pipeline.Order),
    "loss.name": get_args(losses.LossName),
    "loss.reduction": get_args(losses.Reduction),
    "optimizer.name": get_args(optim.OptimizerName),
    "optimizer.schedule": get_args(optim.ScheduleName),
    "images.view": get_args(sources.View),
    "evaluation.absent": get_args(metrics.Absent),
}
"""Keys that have a few values, and these: looked up here, so that a mistake answers before
jax is loaded."""


def check_values(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuse values of another type, and values from which no network can be built.

    Args:
        config: nested dictionaries; keys that `defaults` lacks are ignored.
        defaults: nested dictionaries of `config.base()`.

    Raises:
        ValueError: one sentence with the key, the value and what is allowed.
    """
    _check_section(config, defaults, "")
    for key, allowed in CHOICES.items():
        section, _, name = key.rpartition(".")
        one_of(key, (config[section] if section else config)[name], allowed)
    _check_classifier(config["model"])
    dropout = config["model"]["dropout_rate"]
    allowed = "in [0, 1), or -1 for the backbone's own"
    require(dropout == -1 or 0 <= dropout < 1, "model.dropout_rate", dropout, allowed)
    width = config["model"]["width"]
    require(0 < width <= WIDEST, "model.width", width, f"above 0, at most {WIDEST}")


def _check_classifier(model: Mapping[str, Any]) -> None:
    """Refuse a padding, or auxiliary classifiers, that a net with this head has not."""
    classifier = model["head"] == spec.CLASSIFIER
    allowed = spec.CLASSIFIER_PADDINGS if classifier else spec.PADDINGS
    head = f"with model.head={model['head']} one of"
    require(
        model["padding"] in allowed,
        "model.padding",
        model["padding"],
        f"{head} {', '.join(allowed)}",
    )
    require(
        classifier or not model["auxiliary"],
        "model.auxiliary",
        model["auxiliary"],
        f"False with model.head={model['head']}; only a classifier has such classifiers",
    )


def require(holds: bool, key: str, value: Any, allowed: str) -> None:
    """Refuse the value of a key unless a condition holds."""
    if not holds:
        raise ValueError(f"config.{key} is {shown(value)}; it must be {allowed}")


def one_of(key: str, value: Any, allowed: Sequence[str | int]) -> None:
    """Raise ValueError for a value that is not allowed; name the nearest."""
    near = difflib.get_close_matches(str(value), map(str, allowed), n=1, cutoff=0.7)
    meant = f"; did you mean {near[0]}?" if near else ""
    choices = f"one of {', '.join(str(own) or repr(own) for own in allowed)}{meant}"
    require(value in allowed, key, value, choices)


def _check_section(
    config: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str
) -> None:
    for name, default in defaults.items():
        key = f"{prefix}{name}"
        if name not in config:
            raise ValueError(f"config.{key} is missing; fcn_jax/config.py has all keys")
        value = config[name]
        if key in _OWN:
            holds, wanted = _OWN[key]
        elif isinstance(default, Mapping):
            holds, wanted = _is_section, "a section"
        else:
            holds, wanted = _KINDS[type(default)]
        require(holds(value), key, value, wanted)
        if isinstance(default, Mapping) and key not in _OWN:
            _check_section(value, default, f"{key}.")


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_streams(value: Any) -> bool:
    names = sequence_of(lambda name: isinstance(name, str) and bool(name))
    return _is_section(value) and all(own and names(own) for _, own in value.items())


def _is_score(value: Any) -> bool:
    pair = isinstance(value, tuple | list) and len(value) == 2
    return pair and is_text(value[0]) and is_number(value[1])


def _is_rule(value: Any) -> bool:
    sequence = isinstance(value, tuple | list) and len(value) == 3
    return sequence and is_text(value[0]) and all(map(is_number, value[1:]))


def _pair_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    several = sequence_of(holds)
    return lambda value: several(value) and len(value) == 2


def _are_inputs(value: Any) -> bool:
    return _is_section(value) and all(is_preprocessing(own) for _, own in value.items())


_WHOLE = f"a whole number of at most {LARGEST}"
_KINDS: dict[type, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "True or False"),
    int: (is_whole, _WHOLE),
    float: (is_number, "a finite number"),
    str: (is_text, "a text"),
    list: (lambda value: isinstance(value, tuple | list), "a tuple"),
}
_OWN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "init_from": (lambda value: isinstance(value, str | tuple | list), "a directory"),
    "init_new": (sequence_of(is_text), "a tuple of patterns"),
    "init_unused": (sequence_of(is_text), "a tuple of patterns"),
    "model.streams": (_is_streams, "streams, each with a tuple of names of inputs"),
    "preprocessing": (
        _are_inputs,
        "inputs, each with mean (a tuple of finite numbers), scale (a finite number), "
        "logarithm (True or False) and origin (a text)",
    ),
    "model.scores": (
        sequence_of(_is_score),
        "a tuple of (endpoint, factor)",
    ),
    "data.classes": (sequence_of(is_text), "a tuple of names of classes"),
    "data.outputs": (sequence_of(is_text), "a tuple of names of label maps"),
    "checkpoint.snapshots": (sequence_of(is_whole), "a tuple of whole numbers"),
    "data.canvas": (sequence_of(is_whole), "two whole numbers (rows, columns)"),
    "data.scale": (_pair_of(is_number), "two numbers (least, largest)"),
    "images.sides": (_pair_of(is_whole), "two whole numbers (least, largest)"),
    "images.area": (_pair_of(is_number), "two numbers (least, largest)"),
    "data.color": (
        sequence_of(is_number),
        "three numbers (brightness, contrast, saturation)",
    ),
    "data.crop": (sequence_of(is_whole), "two whole numbers (rows, columns)"),
    "loss.class_weights": (sequence_of(is_number), "a tuple of finite numbers"),
    "loss.class_sampling": (sequence_of(is_number), "a tuple of finite numbers"),
    "optimizer.multipliers": (
        sequence_of(_is_rule),
        "a tuple of (pattern, factor on the rate, factor on the decay)",
    ),
}
