"""From a directory to a network: its module, its variables and its record."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fcn_jax.checkpoints import stored
from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.stored import Checkpoint
from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.models.backbone import Backbone
from fcn_jax.models.build import BACKBONES, build
from fcn_jax.models.fcn import FCN, abstract, channels
from fcn_jax.models.heads import HEADS, MakeHead
from fcn_jax.params.trees import restore_tree
from fcn_jax.runtime import shipped
from fcn_jax.runtime.messages import SENTENCE, error_sentence, shortened


class LoadedModel(NamedTuple):
    """A network with what belongs to it.

    Attributes:
        model: the network; `model.apply(variables, inputs, train=False)` gives scores.
        variables: its collections, on the host; "params" is one of them.
        record: what its checkpoint knows of it.
        maps: the scores of a small image, as shapes with their geometry.
        directory: the checkpoint that was read.
        step: completed updates.
    """

    model: FCN
    variables: dict[str, Any]
    record: Record
    maps: Mapping[str, FeatureMap]
    directory: Path
    step: int


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read the best (else newest) of a work directory, another checkpoint, or a trunk.

    Args:
        path: a directory, the file of a trunk, or "package:NAME".

    Raises:
        CheckpointError: if it is missing or damaged.
        ValueError: if the package has no such trunk; names those that it has.
    """
    name = os.fspath(path)
    if not shipped.is_trunk(name):
        return stored.load(path)
    # Imported late: most networks are not in such a file.
    from fcn_jax.checkpoints.trunk_file import read_trunk

    return read_trunk(shipped.trunk(name))


def load_model(
    path: str | os.PathLike,
    *,
    classifier: bool | None = None,
    backbones: Mapping[str, Backbone] = BACKBONES,
    heads: Mapping[str, MakeHead] = HEADS,
) -> LoadedModel:
    """Load the best (else newest) of a work directory, or another checkpoint.

    Args:
        path: a directory, the file of a trunk, or "package:NAME".
        classifier: whether an ImageNet classifier is wanted, or an FCN; None takes
            either.
        backbones: what the network's backbones may be.
        heads: what its head may be.

    Raises:
        CheckpointError: if there is none that can be trusted.
        ValueError: if it is the other kind, is partial, or its record and arrays are
            of no network.
    """
    found = read_checkpoint(path)
    where = str(found.directory)
    record = Record.from_dict(found.record, where)
    _refuse_other_kind(record, classifier, where)
    _refuse_partial(record, where)
    try:
        model = build(record.spec, backbones, heads)
        maps, shapes = abstract(model, channels(record.preprocessing))
    except Exception as error:  # Flax has many kinds
        said = shortened(error_sentence(error), SENTENCE)
        raise ValueError(
            f"no network can be built from the record of {where} ({said}); make the "
            "checkpoint again"
        ) from error
    variables: dict[str, Any] = {
        "params": restore_tree(
            shapes.pop("params"), found.params, f"checkpoint {where}"
        )
    }
    variables |= restore_tree(shapes, found.collections, f"checkpoint {where}")
    return LoadedModel(model, variables, record, maps, found.directory, found.step)


def _refuse_other_kind(record: Record, classifier: bool | None, where: str) -> None:
    if classifier is False and record.spec.is_classifier:
        raise ValueError(
            f"{where} is an ImageNet classifier, which labels no pixels: classify with "
            "python -m fcn_jax.predict --classify, or train an FCN from it "
            "(config.init_from)"
        )
    if classifier and not record.spec.is_classifier:
        raise ValueError(
            f"{where} is an FCN, which labels pixels; label them with "
            "python -m fcn_jax.predict, without --classify"
        )


def _refuse_partial(record: Record, where: str) -> None:
    if record.missing:
        names = shortened(", ".join(record.missing), SENTENCE)
        raise ValueError(
            f"{where} is partial: its source had no {names}; it can start "
            "the training of a net (config.init_from), but scores nothing"
        )
