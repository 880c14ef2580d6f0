"""Opening the source of a data set and split by name."""

import importlib
from typing import Any

from fcn_jax.data.examples import DataError, Source
from fcn_jax.data.folder.source import open_folder
from fcn_jax.data.sources import DATA_SETS, PREPARED
from fcn_jax.data.sources.image_folder import open_image_folder
from fcn_jax.data.sources.imagenet import open_imagenet
from fcn_jax.data.sources.prepared import open_prepared
from fcn_jax.data.sources.synthetic import SyntheticSource, SyntheticSpec


def published(name: str) -> Any:
    """Return the `Dataset` with a name; see `builders.dataset`.

    TFDS takes a second to import, which only its data sets should pay.
    """
    module, record = PREPARED[name]
    return getattr(importlib.import_module(f"fcn_jax.data.builders.{module}"), record)


def open_source(
    name: str,
    split: str,
    *,
    folder: str = "",
    data_dir: str = "",
    synthetic: SyntheticSpec | None = None,
    inputs: tuple[str, ...] = (),
) -> Source:
    """Open one split of a data set.

    Args:
        name: "synthetic" (drawn in memory), "folder" (images and labels in a
            directory), "image_folder" (a directory of images for each class),
            "imagenet2012" (prepared by TFDS), or a data set prepared by
            `python -m fcn_jax.data prepare`.
        split: its splits are "train" and "val" or those the data set has.
        folder: directory of "folder" and "image_folder"; others do not use it.
        data_dir: directory of prepared data sets; "" is `$TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.
        synthetic: what the procedural data set consists of; needed by "synthetic".
        inputs: keys of the inputs wanted, for a data set that has more; () is all.

    Raises:
        ValueError: for an unknown name, or "synthetic" without its specification.
        DataError: where the data set is not there, its files contradict one another, or
            the split is empty or unknown.
    """
    if name == "synthetic":
        if synthetic is None:
            raise ValueError(
                "the data set synthetic needs a specification; give a SyntheticSpec"
            )
        source: Source = SyntheticSource(synthetic, split)
        if not len(source):
            raise DataError(
                f"data set synthetic, split {split}: num_{split} is 0, so it has no "
                "images; give it at least 1"
            )
        return source
    if name == "folder":
        return open_folder(folder, split)
    if name == "image_folder":
        return open_image_folder(folder, split)
    if name == "imagenet2012":
        return open_imagenet(split, data_dir=data_dir)
    if name in PREPARED:
        dataset = published(name)
        return open_prepared(
            name,
            split,
            version=dataset.version,
            outputs=dataset.outputs,
            inputs=inputs or dataset.inputs,
            void=dataset.void,
            data_dir=data_dir,
        )
    raise ValueError(
        f"data set {name!r} is unknown; allowed are {', '.join(DATA_SETS)}"
    )
