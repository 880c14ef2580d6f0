"""From a checkpoint's record to its network, for those who use it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fcn_jax import assembly
from fcn_jax.config import from_dict
from fcn_jax.data.labels import Classes
from fcn_jax.layers.geometry import Geometry
from fcn_jax.models.build import build_classifier
from fcn_jax.models.classifier import OUTPUT, OWN_SIZE
from fcn_jax.models.fcn import FCN
from fcn_jax.preprocessing import Preprocessing

CLASSIFIER = "classifier"
"""What a record calls its network where that is not an FCN."""


@dataclass(frozen=True)
class Trained:
    """The network of a checkpoint, as its record describes it.

    Attributes:
        model: the network.
        records: preprocessing of each input.
        outputs: classes of each output.
        dtype: of the trunk's arithmetic.
        smallest_image: least height and width that it takes.
    """

    model: FCN
    records: dict[str, Preprocessing]
    outputs: dict[str, Classes]
    dtype: str
    smallest_image: int


def fcn(record: Mapping[str, Any], where: str) -> Trained:
    """Build the network that a checkpoint's record describes.

    Args:
        record: of the checkpoint.
        where: the checkpoint lies, for messages.

    Raises:
        ValueError: if it is an ImageNet classifier, or partial.
    """
    if record.get("network") == CLASSIFIER:
        raise ValueError(
            f"{where} is an ImageNet classifier, which labels no pixels: classify with "
            "python -m fcn_jax.predict --classify, or train an FCN from it "
            "(config.init_from)"
        )
    _refuse_partial(record, where)
    config = from_dict(record["config"])
    outputs = {n: Classes.from_dict(r) for n, r in record["outputs"].items()}
    records = _records(record)
    model = assembly.network(
        config, {name: len(classes) for name, classes in outputs.items()}
    )
    least = assembly.smallest_image(assembly.score_maps(model, records))
    return Trained(model, records, outputs, config.dtype, least)


@dataclass(frozen=True)
class TrainedClassifier:
    """The ImageNet classifier of a checkpoint, convolutional.

    Attributes:
        model: the network; its output is `classifier.OUTPUT`.
        records: preprocessing of its input, "color".
        categories: name of each class.
        own_size: pixels of either side that give one vector of scores.
        geometry: where the scores lie over the image.
    """

    model: FCN
    records: dict[str, Preprocessing]
    categories: tuple[str, ...]
    own_size: int
    geometry: Geometry


def classifier(record: Mapping[str, Any], where: str) -> TrainedClassifier:
    """Build the classifier that a checkpoint's record describes.

    Args:
        record: of the checkpoint.
        where: the checkpoint lies, for messages.

    Raises:
        ValueError: if it is an FCN, or partial.
    """
    if record.get("network") != CLASSIFIER:
        raise ValueError(
            f"{where} is an FCN, which labels pixels; label them with "
            "python -m fcn_jax.predict, without --classify"
        )
    _refuse_partial(record, where)
    config = from_dict(record["config"])
    categories = tuple(record["categories"])
    model = build_classifier(
        backbone=config.model.backbone,
        classes=len(categories),
        width=config.model.width,
        order=config.model.order,
    )
    records = _records(record)
    size = OWN_SIZE[config.model.backbone]
    geometry = assembly.score_maps(model, records, size)[OUTPUT].geometry
    return TrainedClassifier(model, records, categories, size, geometry)


def _refuse_partial(record: Mapping[str, Any], where: str) -> None:
    missing = record.get("missing")
    if missing:
        raise ValueError(
            f"{where} is partial: its source had no {', '.join(missing)}; it can start "
            "the training of a net (config.init_from), but scores nothing"
        )


def _records(record: Mapping[str, Any]) -> dict[str, Preprocessing]:
    return {
        name: Preprocessing.from_dict(stored)
        for name, stored in record["preprocessing"].items()
    }
