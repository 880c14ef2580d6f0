"""The checks at the first batch and after some hundred updates.

They stop a run that would learn nothing, or say so.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from fcn_jax.data.labels import ignored
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.training.checks import trunk
from fcn_jax.training.checks.progress import Reading, find_problem
from fcn_jax.training.checks.rates import check_learning_rate

FEWEST = 100
"""Updates after which a shorter run is looked at, at its end."""


class Probe:
    """A batch that the net is shown at the start of training, and again later."""

    def __init__(self, experiment: Experiment, batch: Mapping[str, Any]):
        """Keep the run and the batch; compute nothing yet.

        Args:
            experiment: the run.
            batch: a training batch on the devices, axes [A, B]; its first part is kept.
        """
        self.before: Reading | None = None
        self._part = jax.tree.map(lambda rows: rows[0], dict(batch))
        model, records = experiment.model, experiment.preprocessing
        dtype = experiment.dtype

        def forward(variables: Any, part: Mapping[str, Any]) -> Any:
            inputs = preprocess(part["inputs"], records, dtype)
            maps, sown = model.apply(
                variables,
                inputs,
                train=False,
                sizes=part["sizes"],
                mutable=["endpoints", "scores"],
            )
            # Of the endpoints only the deepest: all of them would be gigabytes.
            features = trunk.sown(sown, "endpoints")
            deepest = {name: trunk.deepest(maps) for name, maps in features.items()}
            # A head of the user's own may sow none.
            return deepest, trunk.sown(sown, "scores") or maps

        self._forward = jax.jit(forward)

    def read(self, variables: Any) -> Reading:
        """Return what the net makes of the batch with these variables."""
        return Reading(*jax.device_get(self._forward(variables, self._part)))


def check_first_batch(
    experiment: Experiment, variables: Any, batch: Mapping[str, Any]
) -> Probe:
    """Check the first loss, the learning rate and the features before any update.

    Args:
        experiment: the run.
        variables: the parameters and collections to start from.
        batch: the first training batch, axes [A, B].

    Returns:
        The batch, for `check_progress`.
    """
    valid = {
        name: int((np.asarray(labels) != ignored(labels.dtype)).sum())
        // experiment.accumulation
        for name, labels in batch["labels"].items()
    }
    checks, rate = experiment.checks, experiment.rate
    if checks.learning_rate and rate is not None:
        check_learning_rate(
            optimizer=rate.optimizer,
            learning_rate=rate.learning_rate,
            momentum=rate.momentum,
            reduction=experiment.reduction,
            valid_pixels=max(valid.values()),
        )
    probe = Probe(experiment, batch)
    if checks.constant_features or checks.constant_scores:
        probe.before = probe.read(variables)
    if checks.constant_features and probe.before is not None:
        trunk.check_features(probe.before.features)
    for name, classes in experiment.outputs.items():
        zero = experiment.zero_loss[name]
        logging.info(
            "%s: %d classes; with scores of zero the loss is %s = %.4f per pixel, "
            "%.1f over the %d valid pixels of the first batch",
            name,
            len(classes),
            zero.formula,
            zero.value,
            zero.value * valid[name],
            valid[name],
        )
    return probe


def progress_is_due(experiment: Experiment, step: int) -> bool:
    """Return whether `check_progress` is due after this update."""
    due = min(experiment.checks.constant_scores_after, experiment.steps)
    short = due < experiment.checks.constant_scores_after
    return step == due and not (short and due < FEWEST)


def check_progress(
    experiment: Experiment,
    probe: Probe,
    *,
    variables: Any,
    step: int,
    loss: float,
    equal: float,
) -> None:
    """Check after some hundred updates that the net has begun to learn.

    Args:
        experiment: the run.
        probe: from `check_first_batch`, or new where the run was continued.
        variables: the parameters and collections.
        step: completed updates.
        loss: of the last of them, per pixel.
        equal: loss per pixel of equal scores, summed over the outputs.

    Raises:
        ValueError: if the scores are constant over the image and updates remain; a loss
            that is still that of equal scores is only a warning.
    """
    if not experiment.checks.constant_scores:
        return
    problem = find_problem(
        step=step,
        loss=loss,
        equal=equal,
        before=probe.before,
        now=probe.read(variables),
    )
    if problem is None:
        return
    if problem.constant and step < experiment.steps:
        raise ValueError(
            f"{problem.sentence}, or insist with config.checks.constant_scores=False"
        )
    logging.warning("%s", problem.sentence)
