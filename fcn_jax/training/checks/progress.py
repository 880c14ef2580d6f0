"""Whether a net learns, after some hundred updates, and what to change if it does not.

Equal scores cost ln K per pixel. A net that still pays as much has learned nothing; the
loss alone does not say whether its rate is too small or too large. That is read from the
first batch, which the net sees again: scores that have not moved since the start, or
features that have died and scores beyond all bounds.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.training.checks.trunk import CONSTANT, spatial_spread

MARGIN = 0.01
"""Share of ln K by which the loss has to be below it."""
MOVED = 0.3
"""Nats. Scores that moved by less cannot have lowered the loss by more."""
BEYOND = 1e3
"""Nats. Scores so large have no gradient left to learn from."""
RECENT = 100
"""Updates whose losses are averaged."""

Direction = Literal["small", "large", "unclear"]


class Losses:
    """The losses per pixel of the last updates."""

    def __init__(self):
        self._recent: deque[float] = deque(maxlen=RECENT)

    def add(self, per_pixel: float) -> None:
        """Add the loss of an update."""
        self._recent.append(per_pixel)

    @property
    def recent(self) -> float:
        """Mean of the losses, in nats; NaN before the first."""
        return float(np.mean(self._recent)) if self._recent else float("nan")


@dataclass(frozen=True)
class Reading:
    """What the net makes of a batch, on the host.

    Attributes:
        features: the deepest features of each stream.
        scores: coarse scores of each score layer.
    """

    features: Mapping[str, FeatureMap]
    scores: Mapping[str, FeatureMap]

    @property
    def dead(self) -> list[str]:
        """The streams whose features are the same at every pixel."""
        return [name for name, maps in self.features.items() if _constant(maps)]

    @property
    def constant(self) -> bool:
        """Whether all scores are the same at every pixel."""
        maps = [m for m in self.scores.values() if spatial_spread(m).size]
        return bool(maps) and all(_constant(own) for own in maps)

    @property
    def reach(self) -> float:
        """The largest magnitude of a score, in nats."""
        return max(float(np.abs(own.values).max()) for own in self.scores.values())

    def distance(self, other: "Reading") -> float:
        """Return the largest difference of a score from the other reading, in nats."""
        return max(
            float(np.abs(np.asarray(own.values) - other.scores[name].values).max())
            for name, own in self.scores.items()
        )


class Problem(NamedTuple):
    """A net that learns nothing.

    Attributes:
        direction: what is wrong with the learning rate, where that can be told.
        constant: whether its scores are constant over the image.
        sentence: for the user.
    """

    direction: Direction
    constant: bool
    sentence: str


def find_problem(
    *, step: int, loss: float, equal: float, before: Reading | None, now: Reading
) -> Problem | None:
    """Find what is wrong after some hundred updates, if anything is.

    Args:
        step: completed updates.
        loss: of the last of them, per pixel.
        equal: loss per pixel of equal scores, ln K, summed over the outputs.
        before: of the first batch at the start; None where the run was continued.
        now: of the same batch; of another where `before` is None.
    """
    constant = now.constant
    if not constant and loss < (1 - MARGIN) * equal:
        return None
    what = (
        f"after {step} updates the loss is {loss:.4f} per pixel, and equal scores give "
        f"{equal:.4f}"
    )
    if constant:
        what += f"; the scores of {', '.join(now.scores)} are constant over the image"
    direction, why = _direction(before, now)
    return Problem(direction, constant, f"{what}: {why}")


def _direction(before: Reading | None, now: Reading) -> tuple[Direction, str]:
    died = [name for name in now.dead if before is None or name not in before.dead]
    if died:
        return "large", (
            f"the features of {', '.join(died)} have died, so the learning rate (or the "
            "weight decay) is too large; lower it"
        )
    if now.reach > BEYOND and (before is None or before.reach <= BEYOND):
        return "large", (
            f"the scores have grown to {now.reach:.3g}, so the learning rate is too "
            "large; lower it"
        )
    if before is not None and not before.dead and now.distance(before) < MOVED:
        return "small", (
            f"the scores have moved by {now.distance(before):.2g} since the start, so the "
            "learning rate is too small, or not yet warm; raise it, unless no pixel of "
            "the batches is labelled or the class weights leave none"
        )
    return "unclear", (
        "the net learns nothing that tells the classes apart; check that the labels "
        "belong to their images, the preprocessing, the class weights and the pretrained "
        "weights"
    )


def _constant(feature_map: FeatureMap) -> bool:
    spread = spatial_spread(feature_map)
    return bool(spread.size) and bool(spread.max() <= CONSTANT)
