"""Reading a data set that a builder of this package has prepared as array_record.

TFDS hands over the files' own bytes, which `images` decodes with its own checks. Names, sizes and digests come from the builder's metadata, in the order of
the published lists.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fcn_jax.data.decoding.images import read_color, read_depth, read_label
from fcn_jax.data.examples import (
    DataError,
    Example,
    check_index,
    checked_example,
    digest,
)
from fcn_jax.data.labels import IGNORE, Classes
from fcn_jax.runtime.locations import located


@dataclasses.dataclass(frozen=True)
class PreparedSource:
    """One split of a prepared data set; a `Source`. Made by `open_prepared`.

    Attributes:
        directory: the version directory that holds the array_record files.
        dataset: name of the data set, for messages.
        split: name of the split.
        outputs: classes of each label map.
        inputs: keys of the inputs.
        void: id in the label files that is read as 255, besides 255 itself; or None.
        names: names of the examples.
        shapes: (height, width) of each.
        content: digest of the encoded files of the split.
    """

    directory: str
    dataset: str
    split: str
    outputs: Mapping[str, Classes]
    inputs: tuple[str, ...]
    void: int | None
    names: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    content: str

    @property
    def fingerprint(self) -> str:
        """Digest of the classes and of the encoded files."""
        classes = {key: own.to_dict() for key, own in self.outputs.items()}
        return digest([self.dataset, self.split, classes, self.inputs, self.content])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        check_index(index, len(self), f"split {self.split} of {self.dataset}")
        name = self.names[index]
        where = f"data set {self.dataset}, split {self.split}, example {name}"
        try:
            record = self._records[int(index)]
        except RuntimeError as error:  # array_record raises it for damaged files
            raise DataError(
                f"{where}: the files in {self.directory} are damaged ({error}); delete "
                "that directory and prepare the data set again"
            ) from error
        if record["name"] != name.encode():  # TFDS returns text as bytes
            raise DataError(
                f"{where}: the record is of {record['name']!r}; the files in "
                f"{self.directory} do not belong together, so delete that directory "
                "and prepare the data set again"
            )
        inputs = {
            key: decode_input(key, record[key], where=f"{where}, {key}")
            for key in self.inputs
        }
        labels = {
            key: decode_label(
                record[key], void=self.void, where=f"{where}, {key} label"
            )
            for key in self.outputs
        }
        example = Example(name, inputs, labels)
        return checked_example(example, outputs=self.outputs, where=where)

    def name(self, index: int) -> str:
        """The stem of the example's files."""
        return self.names[index]

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width), as recorded when the data were prepared."""
        return np.array(self.shapes, np.int32).reshape(-1, 2)

    def __getstate__(self) -> dict[str, Any]:
        # Open files are not pickled; a worker opens its own.
        return {k: v for k, v in self.__dict__.items() if k != "_records"}

    @functools.cached_property
    def _records(self) -> Any:
        import tensorflow_datasets as tfds

        builder: Any = tfds.builder_from_directory(self.directory)
        return builder.as_data_source(split=self.split)


def decode_input(key: str, data: bytes, *, where: str) -> np.ndarray:
    """An input from its encoded file.

    Returns:
        `[H, W, 3] uint8`; of "depth" `[H, W, 1] uint16`, millimetres.

    Raises:
        DataError: see `read_color` and `read_depth`.
    """
    if key == "depth":
        return read_depth(data, where=where)
    return read_color(data, where=where)


def decode_label(data: bytes, *, void: int | None, where: str) -> np.ndarray:
    """A label map from its encoded file, with 255 for the void id."""
    labels = read_label(data, where=where)
    if void is not None:
        labels[labels == void] = IGNORE
    return labels


def recorded_counts(directory: Path) -> dict[str, int]:
    """Number of examples of each split in a version directory."""
    import tensorflow_datasets as tfds

    metadata: Any = tfds.builder_from_directory(str(directory)).info.metadata
    return {split: len(entry["names"]) for split, entry in metadata["splits"].items()}


def prepared_root(data_dir: str) -> Path:
    """The directory of prepared data sets: the argument, or the default of TFDS."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(located(chosen)).absolute()


def open_prepared(
    dataset: str,
    split: str,
    *,
    version: str,
    outputs: Mapping[str, Classes],
    inputs: tuple[str, ...],
    void: int | None,
    data_dir: str,
) -> PreparedSource:
    """Open a split of a data set that `python -m fcn_jax.data prepare` has made.

    Args:
        dataset: its name.
        split: one of its splits.
        version: of the builder, as "1.0.0".
        outputs: classes of each label map.
        inputs: keys of the inputs wanted, of those that it has.
        void: id in the label files that is read as 255, besides 255 itself; or None.
        data_dir: directory of prepared data sets; "" for TFDS's convention.

    Raises:
        DataError: where the data set is not prepared there, has no such split, or the
            split holds no examples.
    """
    directory = prepared_root(data_dir) / dataset / version
    if not (directory / "dataset_info.json").is_file():
        flag = f" --data_dir={data_dir}" if data_dir else ""
        raise DataError(
            f"the data set {dataset} is not prepared in {directory}; make it with "
            f"`python -m fcn_jax.data prepare {dataset} --source=DIR{flag}`"
        )
    import tensorflow_datasets as tfds

    metadata: Any = tfds.builder_from_directory(str(directory)).info.metadata
    splits = metadata["splits"]
    if split not in splits:
        raise DataError(
            f"the data set {dataset} in {directory} has no split {split!r}; "
            f"it has {', '.join(splits)}"
        )
    entry = splits[split]
    if not entry["names"]:
        raise DataError(f"split {split} of {dataset} in {directory} has no examples")
    return PreparedSource(
        directory=str(directory),
        dataset=dataset,
        split=split,
        outputs=outputs,
        inputs=inputs,
        void=void,
        names=tuple(entry["names"]),
        shapes=tuple((int(h), int(w)) for h, w in entry["sizes"]),
        content=entry["sha256"],
    )
