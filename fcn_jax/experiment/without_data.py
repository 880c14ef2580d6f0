"""The splits of a configuration, or stand-ins of the published sizes where they are missing."""

from collections.abc import Mapping
from typing import NamedTuple

from fcn_jax.config import Config, located_config
from fcn_jax.data.examples import DataError, Source
from fcn_jax.data.labels import VOC, Classes
from fcn_jax.data.sources import PREPARED
from fcn_jax.data.sources.catalog import published
from fcn_jax.data.sources.outputs import with_outputs
from fcn_jax.data.sources.stand_in import StandIn
from fcn_jax.data.sources.subset import subset
from fcn_jax.experiment import reading


class Pictures(NamedTuple):
    """The sizes of the images of a data set.

    Attributes:
        largest: (height, width).
        vary: whether there are smaller ones, so that batches are padded.
    """

    largest: tuple[int, int]
    vary: bool = False


SIZES: Mapping[str, Pictures] = {
    "camvid": Pictures((360, 480)),
    "nyud_v2": Pictures((425, 560)),
    "sift_flow": Pictures((256, 256)),
}
"""Of the published data sets whose images have one size."""
USUAL = Pictures((500, 500), vary=True)
"""Of PASCAL's images, and of any data set that is not known."""


def splits(
    config: Config, train: Source | None = None, evaluation: Source | None = None
) -> tuple[dict[str, Source], list[str]]:
    """Open the splits of a run; one that is not there is replaced by a stand-in.

    Args:
        config: of the run.
        train: its examples, if they are given beside the configuration.
        evaluation: what is scored, if it is given.

    Returns:
        "train_source" and "eval_source" for `Experiment.from_config`; and a sentence
        about each stand-in.
    """
    config = located_config(config)
    said: list[str] = []

    def opened(split: str, name: str) -> Source:
        try:
            return reading.open_split(config, split, name)
        except (DataError, OSError) as error:
            found, sentence = stand_in(config, split, name)
            said.append(f"{sentence} ({str(error).partition(';')[0]})")
            return found

    own = config.data
    return {
        "train_source": train or opened(own.train_split, own.name),
        "eval_source": evaluation or opened(own.eval_split, own.eval_name or own.name),
    }, said


def stand_in(
    config: Config, split: str, name: str, pictures: Pictures | None = None
) -> tuple[Source, str]:
    """Return a split without images, and what was assumed about it.

    Args:
        config: of the run.
        split: name of the split.
        name: of the data set.
        pictures: its sizes; None takes those that are published.
    """
    outputs: Mapping[str, Classes] = {"semantic": VOC}
    classes = f"{len(VOC)} classes"
    if name in PREPARED:
        outputs = published(name).outputs
        classes = "its published classes"
    pictures = pictures or SIZES.get(name, USUAL)
    rows, columns = pictures.largest
    shapes = [(rows, columns)]
    if pictures.vary:
        shapes.append((rows * 3 // 4, columns))
    sizes = f"{'up to ' if pictures.vary else ''}{rows}x{columns} pixels"
    source: Source = StandIn(split, outputs, tuple(shapes))
    source = with_outputs(source, config.data.outputs)
    if config.data.classes:
        source = subset(source, config.data.classes, config.data.rest)
    return source, (
        f"{name} {split} is not here: images of {sizes} and {classes} are assumed"
    )
