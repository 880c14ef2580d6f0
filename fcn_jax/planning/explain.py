"""`--mode=explain`: the updates of a run in common terms.

The reference sums the loss over pixels, so its rates, 1e-10, say little to who knows mean
losses, and with momentum 0.99 an update is an average over the images of about a hundred.
PAMI section 4.2: learning with momentum p and k images an update is alike where p^(1/k)
is equal, the rate being that of the summed gradient.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fcn_jax.data.pipeline.transforms import augmented_sizes
from fcn_jax.data.sources import PREPARED
from fcn_jax.data.sources.catalog import published
from fcn_jax.data.sources.stand_in import StandIn
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.models.fcn import abstract, channels
from fcn_jax.params.paths import first_match, flatten
from fcn_jax.planning.report import line

BATCHES = (1, 2, 4, 8, 16, 32)
"""Images of an update for which an equivalent is given."""
WITH_MOMENTUM = ("caffe_sgd", "sgd")


def lines(run: Experiment) -> Iterator[str]:
    """Return the lines of an explanation: a word, and what it says.

    Args:
        run: the experiment; of its images only the sizes are read.
    """
    optimizer = run.config["optimizer"]
    yield line("images", _images(run))
    yield line("loss", _loss(run))
    yield line("rate", _rate(run, optimizer))
    if optimizer["name"] in WITH_MOMENTUM:
        yield line("momentum", _momentum(run, optimizer))
        yield line("alike", _alike(run, optimizer))
    yield from _groups(run, optimizer)


def mean_rate(run: Experiment, rate: float) -> float:
    """Return the rate of a mean loss over pixels that moves the parameters as far.

    Args:
        run: the experiment.
        rate: its own.
    """
    if run.reduction == "mean":
        return rate
    return rate * run.batch_size * _pixels(run)


def equivalent_momentum(momentum: float, images: int, others: int) -> float:
    """Return p' with p^(1/k) = p'^(1/k') (PAMI section 4.2).

    Args:
        momentum: p.
        images: k, of an update.
        others: k', of an update of the other run.
    """
    return momentum ** (others / images)


def _of_an_update(run: Experiment) -> int:
    return run.batch_size * run.accumulation


def _pixels(run: Experiment) -> float:
    """Mean number of pixels of an image as it is learnt from."""
    if run.crop is not None:
        return float(math.prod(run.crop))
    sizes = augmented_sizes(run.train_source, run.augmentation)
    return float(sizes.astype(np.float64).prod(axis=1).mean())


def _images(run: Experiment) -> str:
    own, length = _of_an_update(run), _examples(run)
    parts = ""
    if run.accumulation > 1:
        parts = f", {run.accumulation} batches of {run.batch_size}"
    total = own * run.steps
    epochs = f", {total / length:.3g} epochs of {length:,}" if length else ""
    return f"{own} an update{parts}; {run.steps:,} updates see {total:,} images{epochs}"


def _examples(run: Experiment) -> int:
    """Number of images to learn from; 0 where the data are not there, nor published."""
    if not isinstance(run.train_source, StandIn):
        return len(run.train_source)
    if run.data not in PREPARED:
        return 0
    return published(run.data).counts.get(run.train_split, 0)


def _loss(run: Experiment) -> str:
    size = f"{_pixels(run):,.0f} pixels an image, ignored ones too"
    if run.reduction == "mean":
        return f"mean over the pixels of a batch; about {size}"
    averaged = ", then the mean over batches" if run.accumulation > 1 else ""
    return f"sum over the pixels of a batch{averaged}; about {size}"


def _rate(run: Experiment, optimizer: Mapping[str, Any]) -> str:
    rate, name = optimizer["learning_rate"], optimizer["name"]
    schedule = f"{optimizer['schedule']} schedule"
    if name not in WITH_MOMENTUM:
        return f"{rate:.3g} of {name}, whose step has no scale of the loss; {schedule}"
    if run.reduction == "mean":
        return f"{rate:.3g} on the mean over pixels; {schedule}"
    return (
        f"{rate:.3g} on the sum is {mean_rate(run, rate):.3g} on the mean over pixels; "
        f"{schedule}"
    )


def _momentum(run: Experiment, optimizer: Mapping[str, Any]) -> str:
    momentum = optimizer["momentum"]
    updates = 1 / (1 - momentum)
    rate = mean_rate(run, optimizer["learning_rate"]) * updates
    return (
        f"{momentum:g}: about {updates:.3g} updates are averaged, "
        f"{updates * _of_an_update(run):.3g} images, and a gradient moves the parameters "
        f"by {rate:.3g} times itself in the end, on the mean over pixels"
    )


def _alike(run: Experiment, optimizer: Mapping[str, Any]) -> str:
    own = _of_an_update(run)
    momenta = ", ".join(
        f"{images}: {equivalent_momentum(optimizer['momentum'], own, images):.4g}"
        for images in BATCHES
    )
    # On the sum over the images of an update, which accumulation divides.
    rate = optimizer["learning_rate"] / run.accumulation
    told = f"rate {rate:.3g}"
    if run.reduction == "mean":
        told = f"rate {rate / run.batch_size:.3g} times the images"
    return f"other batches by p^(1/k), images: momentum {momenta}; {told}"


def _groups(run: Experiment, optimizer: Mapping[str, Any]) -> Iterator[str]:
    """Parameters, rate and decay by the pattern that each name matches first."""
    rules = [tuple(rule) for rule in optimizer["multipliers"]]
    _, shapes = abstract(run.model, channels(run.preprocessing))
    counts = dict.fromkeys([pattern for pattern, _, _ in rules], 0)
    for path, leaf in flatten(shapes["params"]).items():
        found = first_match(path, counts)
        if found is not None:
            counts[found] += math.prod(leaf.shape)
    for pattern, rate, decay in rules:
        told = "fixed" if not rate else f"rate {rate * optimizer['learning_rate']:.3g}"
        decayed = decay * optimizer["weight_decay"]
        yield line(
            "group",
            f"{pattern}: {counts[pattern]:,} values, {told}, decay {decayed:.3g}",
        )
