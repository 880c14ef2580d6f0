"""Whether a learning rate suits its optimiser and its loss, before the first update.

The two SGDs move the scores by a multiple of the gradient of the *mean* loss, the
effective rate

    rate * pixels / (1 - momentum)    of a loss summed over so many pixels,
    rate / (1 - momentum)             of a mean loss,

so that rates of the two losses differ 200,000-fold. Adam and AdamW divide the gradient's
scale out: they move every parameter by about the rate, whatever the loss.

The limits are far outside of what trains: 1.9e-3 is the reference's effective rate,
1.9e-7 that of its last stage.
"""

from typing import NamedTuple

REFERENCE = 1.9e-3
"""Effective rate of the reference, 1e-10 summed over 187,500 pixels, momentum 0.99."""
ADAPTIVE = 1e-4
"""A rate with which Adam fine-tunes; from scratch ten times of it."""


class Limits(NamedTuple):
    """The effective rates that are let through."""

    least: float
    most: float

    def hold(self, effective: float) -> bool:
        """Tell whether a rate is within the limits."""
        return self.least <= effective <= self.most


SUMMED = Limits(1e-9, 1.0)
MEAN = Limits(1e-7, 100.0)
ADAM = Limits(1e-8, 0.1)


def check_learning_rate(
    *,
    optimizer: str,
    learning_rate: float,
    momentum: float,
    reduction: str,
    valid_pixels: int,
) -> None:
    """Refuse a rate that trains nothing, or throws the parameters away.

    Args:
        optimizer: "caffe_sgd", "sgd", "adam" or "adamw".
        learning_rate: base rate.
        momentum: in [0, 1).
        reduction: "sum" or "mean".
        valid_pixels: labelled pixels of one update, over `accumulation`; with none
            there is nothing to judge by.

    Raises:
        ValueError: with the direction, a rate that would do, and the switch.
    """
    given = (learning_rate, momentum, valid_pixels)
    limits, effective, usual = _judged(optimizer, reduction, *given)
    if not valid_pixels or limits.hold(effective):
        return
    insist = "or insist with config.checks.learning_rate=False"
    rate = f"config.optimizer.learning_rate is {learning_rate:g} for {optimizer}"
    instead = _other_settings(optimizer, reduction, *given)
    if optimizer in ("adam", "adamw"):
        effect = "which moves every parameter by about as much in each update"
    else:
        effect = (
            f"on a {_named(reduction, valid_pixels)} with momentum {momentum:g}, which "
            f"moves the scores by {effective:.3g} times the gradient of the mean loss "
            f"(the reference: {REFERENCE:g})"
        )
    low = effective < limits.least
    verdict = "trains nothing: raise it" if low else "destroys the net: lower it"
    raise ValueError(
        f"{rate}, {effect}: it {verdict} to about {usual:.1e}, {instead}{insist}"
    )


def _judged(
    optimizer: str, reduction: str, rate: float, momentum: float, pixels: int
) -> tuple[Limits, float, float]:
    """Return the limits, what is compared with them, and a usual rate."""
    if optimizer in ("adam", "adamw"):
        return ADAM, rate, ADAPTIVE
    scale = (pixels if reduction == "sum" else 1) / (1 - momentum)
    limits = SUMMED if reduction == "sum" else MEAN
    return limits, rate * scale, REFERENCE / max(scale, 1)


def _other_settings(
    optimizer: str, reduction: str, rate: float, momentum: float, pixels: int
) -> str:
    """List settings that the rate would suit as it is."""
    adaptive = optimizer in ("adam", "adamw")
    found = []
    for other in ("sum", "mean"):
        if other == reduction and not adaptive:
            continue
        limits, effective, _ = _judged("sgd", other, rate, momentum, pixels)
        if not limits.hold(effective):
            continue
        settings = [f"config.loss.reduction={other}"] if other != reduction else []
        if adaptive:
            settings.insert(0, "config.optimizer.name=caffe_sgd")
        found.append(f"or with {' '.join(settings)} leave it as it is, ")
    return "".join(found[:1])


def _named(reduction: str, pixels: int) -> str:
    return f"loss summed over {pixels} pixels" if reduction == "sum" else "mean loss"
