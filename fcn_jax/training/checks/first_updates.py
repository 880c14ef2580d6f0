"""The checks at the first batch and after some hundred updates.

They stop a run that would learn nothing, or say so.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from fcn_jax.config import Config
from fcn_jax.data.labels import IGNORE
from fcn_jax.experiment import Parts
from fcn_jax.models.preprocessing import preprocess
from fcn_jax.training.checks import trunk
from fcn_jax.training.checks.progress import Reading, find_problem
from fcn_jax.training.checks.rates import check_learning_rate

FEWEST = 100
"""Updates after which a shorter run is looked at, at its end."""


class Probe:
    """A batch that the net is shown at the start of training, and again later."""

    def __init__(self, config: Config, parts: Parts, batch: Mapping[str, Any]):
        """Nothing is computed yet.

        Args:
            config: the experiment.
            parts: what the run is made of.
            batch: a training batch on the devices, axes [A, B]; its first part is kept.
        """
        self.before: Reading | None = None
        self._part = jax.tree.map(lambda rows: rows[0], dict(batch))
        model, records, dtype = parts.model, parts.records, config.dtype

        def forward(params: Any, part: Mapping[str, Any]) -> Any:
            inputs = preprocess(part["inputs"], records, dtype)
            _, sown = model.apply(
                {"params": params},
                inputs,
                train=False,
                sizes=part["sizes"],
                mutable=["endpoints", "scores"],
            )
            # Of the endpoints only the deepest: all of them would be gigabytes.
            features = trunk.sown(sown, "endpoints")
            deepest = {name: trunk.deepest(maps) for name, maps in features.items()}
            return deepest, trunk.sown(sown, "scores")

        self._forward = jax.jit(forward)

    def read(self, params: Any) -> Reading:
        """What the net makes of the batch with these parameters."""
        return Reading(*jax.device_get(self._forward(params, self._part)))


def check_first_batch(
    config: Config, parts: Parts, params: Any, batch: Mapping[str, Any]
) -> Probe:
    """Before the first update: first loss, learning rate, features.

    Args:
        config: the experiment.
        parts: what the run is made of.
        params: the parameters to start from.
        batch: the first training batch, axes [A, B].

    Returns:
        The batch, for `check_progress`.
    """
    valid = {
        name: int((np.asarray(labels) != IGNORE).sum()) // config.accumulation
        for name, labels in batch["labels"].items()
    }
    if config.checks.learning_rate:
        check_learning_rate(
            optimizer=config.optimizer.name,
            learning_rate=config.optimizer.learning_rate,
            momentum=config.optimizer.momentum,
            reduction=config.loss.reduction,
            valid_pixels=max(valid.values()),
        )
    probe = Probe(config, parts, batch)
    if config.checks.constant_features or config.checks.constant_scores:
        probe.before = probe.read(params)
    if config.checks.constant_features and probe.before is not None:
        trunk.check_features(probe.before.features)
    for name, classes in parts.outputs.items():
        logging.info(
            "%s: %d classes; with scores of zero the loss is ln %d = %.4f per pixel, "
            "%.1f over the %d valid pixels of the first batch",
            name,
            len(classes),
            len(classes),
            math.log(len(classes)),
            math.log(len(classes)) * valid[name],
            valid[name],
        )
    return probe


def progress_is_due(config: Config, step: int) -> bool:
    """Whether this is the update after which `check_progress` looks."""
    due = min(config.checks.constant_scores_after, config.steps)
    short = due < config.checks.constant_scores_after
    return step == due and not (short and due < FEWEST)


def check_progress(
    config: Config, probe: Probe, *, params: Any, step: int, loss: float, equal: float
) -> None:
    """After some hundred updates: the net must have begun to learn.

    Args:
        config: the experiment.
        probe: from `check_first_batch`, or new where the run was continued.
        params: the parameters.
        step: completed updates.
        loss: of the last of them, per pixel.
        equal: loss per pixel of equal scores, summed over the outputs.

    Raises:
        ValueError: if the scores are constant over the image, and there are updates to
            come; a loss that is still that of equal scores is warned of.
    """
    if not config.checks.constant_scores:
        return
    problem = find_problem(
        step=step, loss=loss, equal=equal, before=probe.before, now=probe.read(params)
    )
    if problem is None:
        return
    if problem.constant and step < config.steps:
        raise ValueError(
            f"{problem.sentence}, or insist with --config.checks.constant_scores=False"
        )
    logging.warning("%s", problem.sentence)
