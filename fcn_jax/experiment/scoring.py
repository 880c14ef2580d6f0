"""What a network is scored on, and how."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh

from fcn_jax.config import (
    Config,
    from_dict,
    located_config,
    to_dict,
    validate,
)
from fcn_jax.data.examples import Source
from fcn_jax.data.pipeline.batches import evaluation_batches, unpadded
from fcn_jax.data.pipeline.buckets import Canvas, batch_canvases
from fcn_jax.data.pipeline.loading import Loading
from fcn_jax.data.sources import FOLDERS, IMAGE_DATA_SETS
from fcn_jax.experiment import reading
from fcn_jax.experiment.loss import LOSSES
from fcn_jax.losses.terms import Loss
from fcn_jax.metrics import Absent


@dataclass(frozen=True)
class Scoring:
    """What a network is scored on, and how.

    Attributes:
        source: the split.
        data: name of the data set.
        split: name of the split.
        rules: what else decides the scores: folder, kept classes, procedural images.
        absent: rule for classes that do not occur: "script" or "paper".
        loss: what is averaged beside the scores.
        batch_size: images of a batch, over all devices.
        canvases: rows and columns of batches.
        loading: how examples are read.
        mesh: the devices.
        tf32: whether float32 products may be rounded to TF32.
    """

    source: Source
    data: str
    split: str
    rules: Mapping[str, Any]
    absent: Absent
    loss: Loss
    batch_size: int
    canvases: tuple[Canvas, ...]
    loading: Loading
    mesh: Mesh
    tf32: bool = False

    @classmethod
    def from_config(
        cls,
        config: Config,
        split: str = "",
        *,
        source: Source | None = None,
        loss: Loss | None = None,
        mesh: Mesh | None = None,
    ) -> "Scoring":
        """Read what a configuration says of scoring.

        Args:
            config: of an experiment.
            split: name of the split; "" takes the configuration's own.
            source: the examples, in place of those that the configuration names.
            loss: what is averaged beside the scores; None is that of
                `config.loss.name`.
            mesh: the devices, in place of those of the configuration.

        Raises:
            ValueError: for a value or a data set that cannot work.
        """
        config = located_config(config)
        validate(config)
        mesh = mesh or reading.read_mesh(config)
        split = split or config.data.eval_split
        name = config.data.eval_name or config.data.name
        if source is None:
            source = reading.viewed(
                config, reading.open_split(config, split, name), name
            )
        canvases = batch_canvases(source.sizes(), most=config.data.canvases)
        batch_size = reading.read_evaluation_batch(config, canvases[-1], mesh)
        return cls(
            source=source,
            data=name,
            split=split,
            rules=scoring_rules(config),
            absent=config.evaluation.absent,
            loss=loss or LOSSES[config.loss.name],
            batch_size=batch_size,
            canvases=canvases,
            loading=reading.read_loading(config, canvases[-1], batch_size),
            mesh=mesh,
            tf32=config.tf32,
        )

    def batches(self) -> Iterable[Mapping[str, Any]]:
        """Return the batches of the split, in order."""
        batches = evaluation_batches(
            self.source,
            batch_size=self.batch_size,
            canvases=self.canvases,
            **self.loading._asdict(),
        )
        return unpadded(batches, self.source.sizes(), self.canvases)


def scoring_rules(config: Config) -> dict[str, Any]:
    """Return what decides scores beside the data set and the split.

    The folder of a data set that is one, the classes and label maps kept, the rule for absent classes, the
    procedural images, and the view of images with one label.
    """
    name = config.data.eval_name or config.data.name
    kept = list(config.data.classes)
    own = config.images
    view = [own.view, own.view_side, own.size] if name in IMAGE_DATA_SETS else []
    return {
        **({"view": view} if view else {}),
        "folder": config.data.folder if name in FOLDERS else "",
        "classes": [kept, config.data.rest] if kept else [],
        **({"outputs": list(config.data.outputs)} if config.data.outputs else {}),
        "absent": config.evaluation.absent,
        "synthetic": to_dict(config)["synthetic"] if name == "synthetic" else {},
    }


def stored_scoring(
    stored: Mapping[str, Any], where: str
) -> tuple[str, str, dict[str, Any]]:
    """Return the data set, split and rules that a stored configuration scores on.

    Args:
        stored: the configuration, as JSON has it.
        where: it is stored, for messages.

    Raises:
        ValueError: if it is not a configuration.
    """
    config = from_dict(stored, where)
    name = config.data.eval_name or config.data.name
    return name, config.data.eval_split, scoring_rules(config)
