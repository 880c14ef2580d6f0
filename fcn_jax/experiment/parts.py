"""Small records of which an experiment is made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optax
from jax import Array

from fcn_jax.data.examples import Source
from fcn_jax.data.pipeline.order import Sampler

MakeOptimizer = Callable[[Any], optax.GradientTransformation]
"""From the parameters, of which only the names are read, to an optax transform."""
MakeSampler = Callable[[Source], Sampler]
"""From the split to learn from to its `data.pipeline.order.Sampler`."""
PixelMask = Callable[[Array, Array], Array]
"""(labels `[N, H, W]`, keys `[N]`) to labels in which the pixels left out are 255."""


@dataclass(frozen=True)
class ZeroLoss:
    """The loss of a pixel while all scores are zero: a formula, "ln 21", and its value."""

    formula: str
    value: float


@dataclass(frozen=True)
class Start:
    """Where the parameters of a new run come from.

    Attributes:
        recipe: "fine-tune" needs every trunk loaded; "scratch" does not.
        checkpoints: (directory, renaming rules) of each that gives parameters.
        new: patterns of parameters that they do not give.
        unused: patterns of theirs that the network does not have.
        adapt: (pattern, how), see `params.adapting`.
        replace_preprocessing: whether theirs may be of another kind than the run's.
    """

    recipe: str
    checkpoints: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    new: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    adapt: tuple[tuple[str, str], ...] = ()
    replace_preprocessing: bool = False


@dataclass(frozen=True)
class Checks:
    """Which checks a run makes, and when; see `config.base`."""

    labels: bool = True
    untrained_trunk: bool = True
    constant_features: bool = True
    constant_scores: bool = True
    constant_scores_after: int = 300
    learning_rate: bool = True


@dataclass(frozen=True)
class Rate:
    """What the check of the learning rate judges, of an optimiser by name."""

    optimizer: str
    learning_rate: float
    momentum: float
