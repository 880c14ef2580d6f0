"""From a checkpoint's record to its network, for those who use it."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fcn_jax import experiment
from fcn_jax.checkpoints.record import required
from fcn_jax.checkpoints.store import Checkpoint
from fcn_jax.config import from_dict
from fcn_jax.data.labels import Classes
from fcn_jax.layers.geometry import Geometry
from fcn_jax.models.build import build_classifier
from fcn_jax.models.classifier import OUTPUT, OWN_SIZE
from fcn_jax.models.fcn import FCN
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.runtime.cli import error_sentence
from fcn_jax.runtime.shown import SENTENCE, shortened, shown
from fcn_jax.training.state import fill

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
        shapes: of its parameters, a tree of `jax.ShapeDtypeStruct`.
    """

    model: FCN
    records: dict[str, Preprocessing]
    outputs: dict[str, Classes]
    dtype: str
    smallest_image: int
    shapes: Any


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
    config = from_dict(required(record, "config", where), where)
    outputs = _outputs(record, where)
    records = _records(record, experiment.input_names(config), where)
    with _building(where):
        model = experiment.network(
            config, {name: len(classes) for name, classes in outputs.items()}
        )
        maps, shapes = experiment.abstract(model, records)
        least = experiment.smallest_image(maps)
    return Trained(model, records, outputs, config.dtype, least, shapes)


@dataclass(frozen=True)
class TrainedClassifier:
    """The ImageNet classifier of a checkpoint, convolutional.

    Attributes:
        model: the network; its output is `classifier.OUTPUT`.
        records: preprocessing of its input, "color".
        categories: name of each class.
        own_size: pixels of either side that give one vector of scores.
        geometry: where the scores lie over the image.
        shapes: of its parameters, a tree of `jax.ShapeDtypeStruct`.
    """

    model: FCN
    records: dict[str, Preprocessing]
    categories: tuple[str, ...]
    own_size: int
    geometry: Geometry
    shapes: Any


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
    config = from_dict(required(record, "config", where), where)
    categories = tuple(required(record, "categories", where))
    records = _records(record, {"color"}, where)
    size = OWN_SIZE[config.model.backbone]
    with _building(where):
        model = build_classifier(
            backbone=config.model.backbone,
            classes=len(categories),
            width=config.model.width,
            order=config.model.order,
        )
        maps, shapes = experiment.abstract(model, records, size)
    geometry = maps[OUTPUT].geometry
    return TrainedClassifier(model, records, categories, size, geometry, shapes)


def parameters(own: Trained | TrainedClassifier, found: Checkpoint) -> Any:
    """The parameters of a checkpoint as its network takes them, on the host.

    Raises:
        ValueError: if one is missing, left over or of another shape or type.
    """
    return fill(own.shapes, found.params, f"checkpoint {found.directory}")


def _refuse_partial(record: Mapping[str, Any], where: str) -> None:
    missing = record.get("missing")
    if missing:
        names = shortened(", ".join(missing), SENTENCE)
        raise ValueError(
            f"{where} is partial: its source had no {names}; it can start "
            "the training of a net (config.init_from), but scores nothing"
        )


def _outputs(record: Mapping[str, Any], where: str) -> dict[str, Classes]:
    stored = required(record, "outputs", where)
    if not stored:
        raise ValueError(f"the record of {where} has no outputs; make it again")
    try:
        return {name: Classes.from_dict(own) for name, own in stored.items()}
    except ValueError as error:
        said = shortened(str(error), SENTENCE)
        raise ValueError(f"the record of {where}: {said}") from error


def _records(
    record: Mapping[str, Any], inputs: Collection[str], where: str
) -> dict[str, Preprocessing]:
    stored = required(record, "preprocessing", where)
    if set(stored) != set(inputs):
        raise ValueError(
            f"the record of {where} has preprocessing for {shown(sorted(stored))}, its "
            f"network reads {shown(sorted(inputs))}; make the checkpoint again"
        )
    return {name: Preprocessing.from_dict(own) for name, own in stored.items()}


@contextlib.contextmanager
def _building(where: str) -> Iterator[None]:
    """What a network cannot be built from has as many kinds of error as Flax has."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"no network can be built from the record of {where} "
            f"({shortened(error_sentence(error), SENTENCE)}); make the checkpoint again"
        ) from error
