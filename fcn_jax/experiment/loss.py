"""The loss of an experiment, read from its keys of a configuration."""

import math
from collections.abc import Mapping
from functools import partial

import jax.numpy as jnp
import numpy as np
from absl import logging

from fcn_jax.config import Config
from fcn_jax.data.categories import AnyClasses
from fcn_jax.experiment.parts import PixelMask, ZeroLoss
from fcn_jax.losses.class_weights import class_factors
from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.losses.sampling import sampled_labels
from fcn_jax.losses.sigmoid import sigmoid_cross_entropy
from fcn_jax.losses.terms import Loss
from fcn_jax.models.spec import CLASSIFIER

LOSSES: Mapping[str, Loss] = {
    "softmax": softmax_cross_entropy,
    "sigmoid": sigmoid_cross_entropy,
    "null-background": partial(sigmoid_cross_entropy, null_background=True),
}
"""`config.loss.name` -> the loss without weights and smoothing, as evaluation has it."""


def read_loss(config: Config, outputs: Mapping[str, AnyClasses]) -> Loss:
    """Return the loss, with the configuration's class weights and label smoothing.

    Raises:
        ValueError: for weights of another number of classes, or a loss that does not go
            with another key.
    """
    own = config.loss
    _check_name(config)
    options = {"smoothing": own.smoothing} if own.smoothing else {}
    if own.class_weights:
        options["class_weights"] = _weights(config, outputs)
    return partial(LOSSES[own.name], **options) if options else LOSSES[own.name]


def _check_name(config: Config) -> None:
    name = config.loss.name
    if name != "softmax" and config.loss.smoothing:
        raise ValueError(
            f"config.loss.smoothing is {config.loss.smoothing}, which only "
            f"config.loss.name='softmax' has, and that is {name!r}; set it to 0"
        )
    if name != "softmax" and config.model.head == CLASSIFIER:
        raise ValueError(
            f"config.loss.name is {name!r}; a classifier of images learns with 'softmax'"
        )
    if name == "null-background" and config.model.score_init != "zero":
        raise ValueError(
            "config.loss.name is 'null-background', whose background keeps the score "
            f"zero, and config.model.score_init is {config.model.score_init!r}; set it to "
            "'zero'"
        )


def _weights(config: Config, outputs: Mapping[str, AnyClasses]) -> jnp.ndarray:
    weights = config.loss.class_weights
    try:
        found = [class_factors(weights, len(classes)) for classes in outputs.values()]
    except ValueError as error:
        raise ValueError(f"config.loss.class_weights: {error}") from error
    for name, classes in outputs.items():
        ignored = [classes.names[label] for label in np.flatnonzero(found[0] == 0)]
        if ignored:
            logging.warning(
                "config.loss.class_weights: 0 ignores these classes of %s in training: "
                "%s",
                name,
                ", ".join(ignored),
            )
    return jnp.asarray(found[0])


def zero_loss(config: Config, classes: int) -> ZeroLoss:
    """Return what the loss of a pixel is while all scores are zero.

    Args:
        config: of an experiment.
        classes: number of classes of an output.
    """
    if config.loss.name == "softmax":
        return ZeroLoss(f"ln {classes}", math.log(classes))
    scored = classes - (config.loss.name == "null-background")
    return ZeroLoss(f"{scored} ln 2", scored * math.log(2))


def read_pixel_mask(
    config: Config, outputs: Mapping[str, AnyClasses]
) -> PixelMask | None:
    """Return what leaves pixels out of the loss at random; None keeps all.

    Raises:
        ValueError: for shares of another number of classes, or a classifier of images.
    """
    own = config.loss
    shares = tuple(own.class_sampling)
    if own.sampling == 1 and not shares:
        return None
    if config.model.head == CLASSIFIER:
        raise ValueError(
            "config.loss.sampling and config.loss.class_sampling leave pixels out of the "
            "loss, and a classifier has one label an image; set them to 1 and ()"
        )
    for name, classes in outputs.items():
        if shares and len(shares) != len(classes):
            raise ValueError(
                f"config.loss.class_sampling has {len(shares)} numbers, and {name} has "
                f"{len(classes)} classes; give one a class, or none"
            )
    return partial(
        sampled_labels,
        share=own.sampling,
        cell=own.sampling_cell,
        class_shares=shares,
    )
