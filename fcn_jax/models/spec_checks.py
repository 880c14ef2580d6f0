"""Which specifications a network can be built of: every refusal is here."""

import difflib
from collections.abc import Mapping, Sequence
from typing import get_args

from fcn_jax.models.backbone import Backbone
from fcn_jax.models.heads import MakeHead
from fcn_jax.models.spec import (
    CLASSIFIER_PADDINGS,
    NATIVE,
    WIDEST,
    Fusion,
    ModelSpec,
    ScoreInit,
    Upsampling,
)
from fcn_jax.runtime.messages import shown


def check_spec(
    spec: ModelSpec,
    backbones: Mapping[str, Backbone],
    heads: Mapping[str, MakeHead],
) -> None:
    """Refuse a specification of which no network can be built.

    Args:
        spec: the network.
        backbones: what its streams' backbones may be.
        heads: what its head may be.

    Raises:
        ValueError: names the field, its value and what is allowed.
    """
    for name, value, allowed in (
        ("head", spec.head, tuple(heads)),
        ("fusion", spec.fusion, get_args(Fusion)),
        ("upsampling", spec.upsampling, get_args(Upsampling)),
        ("score_init", spec.score_init, get_args(ScoreInit)),
    ):
        check_choice(name, value, allowed)
    if not 0 < spec.width <= WIDEST:
        raise ValueError(
            f"width is {spec.width!r}; it must be a finite factor on the channels, "
            f"above 0, at most {WIDEST}"
        )
    rate = spec.dropout_rate
    if rate is not None and not 0 <= rate < 1:
        raise ValueError(f"dropout_rate is {rate!r}; it must be in [0, 1)")
    if not spec.streams or not spec.outputs:
        raise ValueError("a network needs at least one stream and one output")
    if bool(spec.scores) == spec.is_classifier:
        raise ValueError("pixel scores need score layers, and a classifier has none")
    if spec.is_classifier and len(spec.streams) + len(spec.outputs) > 2:
        raise ValueError("a classifier has one stream and one output")
    for stream in spec.streams:
        own = find_backbone(stream.backbone, backbones)
        _check_padding(stream.backbone, own, spec)
        if rate and not own.dropout:
            raise ValueError(
                f"dropout_rate is {rate!r}, and {stream.backbone} has no dropout; "
                "leave it out"
            )
        for name, value in spec.options:
            check_option(stream.backbone, own, name, value)
    _check_auxiliary(spec)


def check_option(name: str, backbone: Backbone, option: str, value: str) -> None:
    """Refuse an option that a backbone does not have, or a value that it cannot take.

    Args:
        name: of the backbone.
        backbone: its record.
        option: name of the option.
        value: what was asked for.

    Raises:
        ValueError: names the option, the value and what is allowed.
    """
    if option not in backbone.options:
        raise ValueError(
            f"{option} is {shown(value)}, and the backbone {name} has no such option "
            f"(its options: {', '.join(backbone.options) or 'none'}); leave it out"
        )
    check_choice(option, value, backbone.options[option])


def find_backbone(name: str, backbones: Mapping[str, Backbone]) -> Backbone:
    """Return the backbone of a name.

    Raises:
        ValueError: if there is none; names the nearest.
    """
    if name in backbones:
        return backbones[name]
    near = difflib.get_close_matches(str(name), backbones, n=1, cutoff=0.6)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(
        f"backbone is {shown(name)}; it must be one of {', '.join(backbones)}{meant}"
    )


def _check_padding(name: str, backbone: Backbone, spec: ModelSpec) -> None:
    allowed = [p for p in backbone.pads if p != NATIVE]
    if spec.is_classifier:
        allowed = [p for p in CLASSIFIER_PADDINGS if p in backbone.pads]
    kind = "the classifier " if spec.is_classifier else ""
    if spec.padding not in allowed:
        raise ValueError(
            f"padding is {shown(spec.padding)}; of {kind}{name} it must be one of "
            f"{', '.join(allowed)}"
        )


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise ValueError, with the allowed values, for one that is not among them."""
    if value not in allowed:
        raise ValueError(
            f"{name} is {shown(value)}; it must be one of "
            f"{', '.join(str(choice) for choice in allowed)}"
        )


def _check_auxiliary(spec: ModelSpec) -> None:
    asked = dict(spec.options).get("auxiliary", "no")
    if asked != "no" and not spec.is_classifier:
        raise ValueError(
            f"auxiliary is {shown(asked)}, but only a classifier has auxiliary "
            "classifiers; leave it out"
        )
