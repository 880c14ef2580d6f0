"""From the name of a data set and a split to its source."""

from fcn_jax.data.examples import DataError as DataError
from fcn_jax.data.examples import Example as Example
from fcn_jax.data.examples import Source as Source
from fcn_jax.data.folder import open_folder
from fcn_jax.data.synthetic import SyntheticSource, SyntheticSpec

NAMES = ("synthetic", "folder", "camvid", "voc_reference", "voc2011")


def open_source(
    name: str,
    split: str,
    *,
    folder: str = "",
    data_dir: str = "",
    synthetic: SyntheticSpec | None = None,
) -> Source:
    """Opens one split of a data set.

    Args:
      name: "synthetic" (drawn in memory), "folder" (images and labels in a directory),
        or a data set prepared by `python -m fcn_jax.data prepare`.
      split: its splits are "train" and "val" or those the data set has.
      folder: directory of the folder data set; used by "folder" alone.
      data_dir: directory of prepared data sets; "" is `$TFDS_DATA_DIR`, else
        `~/tensorflow_datasets`.
      synthetic: what the procedural data set consists of; needed by "synthetic".

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
    if name == "camvid":
        # TFDS takes a second to import, which only its data sets should pay.
        from fcn_jax.data.builders.camvid import open_camvid

        return open_camvid(split, data_dir=data_dir)
    if name in NAMES:
        raise DataError(
            f"this version has no builder for the data set {name!r}; give PASCAL VOC "
            "as a folder data set, --config.data.name=folder "
            "--config.data.folder=DIR with images/, labels/, splits/train.txt, "
            "splits/val.txt and classes.txt"
        )
    raise ValueError(f"data set {name!r} is unknown; allowed are {', '.join(NAMES)}")
