"""ImageNet (ILSVRC-2012) as TFDS prepares it, read without TensorFlow.

The user prepares `imagenet2012` from the archives, in TFDS's own environment, as
array_record files. They hold the JPEGs as published (CMYK and PNG made RGB JPEGs), which
`decoding.images` decodes here with its own checks.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fcn_jax.data.categories import OUTPUT, Categories, image_label
from fcn_jax.data.decoding.images import image_size, read_color
from fcn_jax.data.examples import DataError, Example, check_index, digest
from fcn_jax.data.imagenet import imagenet_classes, imagenet_ids
from fcn_jax.data.sources.prepared import prepared_root
from fcn_jax.data.tools.scan import scan

NAME = "imagenet2012"
PREPARE = (
    "`tfds build imagenet2012 --file_format=array_record --manual_dir=DIR`, where DIR "
    "has ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar"
)
"""The command, for messages; --data_dir is added to it."""
_SPLITS = {"val": "validation"}
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclasses.dataclass(frozen=True)
class ImageNet:
    """One split of ImageNet; a `Source`. Made by `open_imagenet`.

    Attributes:
        directory: the version directory that holds the array_record files.
        split: name of the split.
        version: of TFDS's builder, as "5.1.0".
        lengths: number of examples of each file.
        num_bytes: of the split.
        categories: names of the classes.
    """

    directory: str
    split: str
    version: str
    lengths: tuple[int, ...]
    num_bytes: int
    categories: Categories

    @property
    def outputs(self) -> Mapping[str, Categories]:
        """The classes, under "imagenet"."""
        return {OUTPUT: self.categories}

    @property
    def fingerprint(self) -> str:
        """Digest of what the builder says of the split, and of the classes."""
        record = [NAME, self.version, self.split, self.lengths, self.num_bytes]
        return digest([*record, self.categories.names])

    def __len__(self) -> int:
        return sum(self.lengths)

    def __getitem__(self, index: int) -> Example:
        """Decode an image; its EXIF rotation is followed.

        Raises:
            DataError: for a damaged record or image, or one without a label.
        """
        record, where = self._record(index)
        if not 0 <= record["label"] < len(self.categories):
            raise DataError(
                f"{where}: its label is {record['label']}, and the classes are "
                f"0..{len(self.categories) - 1}; the test split has no labels, so take "
                "train or val"
            )
        color = read_color(record["image"], where=where, rotate=True)
        label = image_label(record["label"])
        return Example(self.name(index), {"color": color}, {OUTPUT: label})

    def name(self, index: int) -> str:
        """`split/index`; the names of the files are in the records alone."""
        return f"{self.split}/{index}"

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width), from the images' headers; read once.

        TFDS does not store them, so all records are read, which takes minutes.
        """
        return self._sizes.copy()

    @functools.cached_property
    def _sizes(self) -> np.ndarray:
        def size(index: int) -> tuple[int, int]:
            record, where = self._record(index)
            return image_size(record["image"], where=where, rotate=True)

        return np.array(list(scan(size, range(len(self)))), np.int32).reshape(-1, 2)

    def _record(self, index: int) -> tuple[Mapping[str, Any], str]:
        """The encoded record of an example, and what names it in messages."""
        split = f"split {self.split} of {NAME}"
        check_index(index, len(self), split)
        try:
            record = self._records[int(index)]
        except RuntimeError as error:  # array_record raises it for damaged files
            raise DataError(
                f"{split}, example {index}: the files in {self.directory} are damaged "
                f"({error}); delete that directory and prepare the data set again"
            ) from error
        file = record.get("file_name", b"").decode(errors="replace")
        return record, f"{split}, example {index} ({file})"

    def __getstate__(self) -> dict[str, Any]:
        # Open files are not pickled; a worker opens its own.
        return {k: v for k, v in self.__dict__.items() if k != "_records"}

    @functools.cached_property
    def _records(self) -> Any:
        import tensorflow_datasets as tfds

        builder: Any = tfds.builder_from_directory(self.directory)
        return builder.as_data_source(
            split=self.split, decoders={"image": tfds.decode.SkipDecoding()}
        )


def open_imagenet(split: str, *, data_dir: str) -> ImageNet:
    """Open a split of ImageNet that TFDS has prepared as array_record.

    Args:
        split: "train", or "validation", which "val" means too.
        data_dir: directory of prepared data sets; "" for TFDS's convention.

    Raises:
        ValueError: for fewer than two classes, or names that are repeated.
        DataError: where the data set is not prepared there, or as another kind of files
            or of examples, or has no such split.
    """
    directory = _newest(prepared_root(data_dir) / NAME, data_dir)
    import tensorflow_datasets as tfds

    info: Any = tfds.builder_from_directory(str(directory)).info
    found = str(info.file_format.value)
    if found != "array_record":
        raise DataError(
            f"the data set {NAME} in {directory} is stored as {found}, which needs "
            f"TensorFlow to be read; prepare it as array_record in another data_dir, "
            f"{PREPARE}"
        )
    split = _SPLITS.get(split, split)
    if split not in info.splits:
        raise DataError(
            f"the data set {NAME} in {directory} has no split {split!r}; it has "
            f"{', '.join(info.splits)}"
        )
    lengths = tuple(int(own) for own in info.splits[split].shard_lengths)
    if not sum(lengths):
        raise DataError(f"split {split} of {NAME} in {directory} has no examples")
    return ImageNet(
        directory=str(directory),
        split=split,
        version=str(info.version),
        lengths=lengths,
        num_bytes=int(info.splits[split].num_bytes),
        categories=Categories(_names(info.features, directory)),
    )


def _newest(home: Path, data_dir: str) -> Path:
    """The directory of the highest version that is prepared."""
    versions = [
        own
        for own in (home.iterdir() if home.is_dir() else ())
        if _VERSION.fullmatch(own.name) and (own / "dataset_info.json").is_file()
    ]
    if not versions:
        flag = f" (--data_dir={data_dir})" if data_dir else ""
        raise DataError(
            f"the data set {NAME} is not prepared in {home}; make it with {PREPARE}{flag}"
        )
    return max(versions, key=lambda own: [int(part) for part in own.name.split(".")])


def _names(features: Any, directory: Path) -> tuple[str, ...]:
    """Names of the classes: those of ILSVRC-2012 where the labels are its ids."""
    kinds = {key: type(own).__name__ for key, own in features.items()}
    if (kinds.get("image"), kinds.get("label")) != ("Image", "ClassLabel"):
        raise DataError(
            f"the examples in {directory} have the features {kinds}; those of {NAME} "
            "have an image and a label (Image and ClassLabel), so give another data_dir"
        )
    names = tuple(features["label"].names)
    return imagenet_classes() if names == imagenet_ids() else names
