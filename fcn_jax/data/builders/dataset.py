"""What a builder of a published data set consists of, and how it is written.

A builder reads the tree that the authors published and says, example by example, which
encoded files belong together. Here they are checked, given to TFDS as they are, and
written as array_record; `prepared` reads them back.
"""

import contextlib
import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from fcn_jax.data.builders.archives import Archive, unpack
from fcn_jax.data.examples import DataError, label_problems
from fcn_jax.data.labels import Classes
from fcn_jax.data.sources.prepared import (
    decode_input,
    decode_label,
    prepared_root,
    recorded_counts,
)
from fcn_jax.runs import lock
from fcn_jax.runtime.messages import remedy

Encoded = Callable[[], bytes]
"""Gives the bytes of an encoded picture when asked, `path.read_bytes` for a file."""


@dataclass(frozen=True)
class Item:
    """One example of a published tree.

    Attributes:
        name: unique in the data set.
        inputs: input key -> encoded file: "color" and "hha" JPEG or PNG, "depth" 16-bit
            PNG in millimetres.
        labels: output key -> encoded PNG, whose ids are those of the classes, 255, or
            the data set's void ids.
        files: names of the files, for messages.
    """

    name: str
    inputs: Mapping[str, Encoded]
    labels: Mapping[str, Encoded]
    files: str


@dataclass(frozen=True)
class Dataset:
    """A published data set.

    Attributes:
        name: on the command line and in configurations.
        version: of what is written; a change of it prepares the data anew.
        outputs: classes of each label map.
        inputs: keys of the inputs.
        counts: number of examples of each published split.
        void: id in the label files that is read as 255, besides 255 itself; or None.
        read_tree: from the source directory, and that of the lists, to the items of
            each split.
        origin: where it is published, and under which licence; for messages.
        archives: published files from which the tree is extracted if the source has
            them instead of it.
    """

    name: str
    version: str
    outputs: Mapping[str, Classes]
    inputs: tuple[str, ...]
    counts: Mapping[str, int]
    void: int | None
    read_tree: Callable[[Path, Path], Mapping[str, Sequence[Item]]]
    origin: str
    archives: tuple[Archive, ...]


class TreeBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the items of a tree; `_write` gives it its name and version."""

    # TFDS looks for a list of download checksums beside the code, for which it imports
    # importlib_resources, which it does not require; nothing is downloaded here.
    code_path = None

    def __init__(
        self,
        *,
        dataset: Dataset,
        tree: Mapping[str, Sequence[Item]],
        report: Callable[[], None],
        data_dir: str,
    ):
        self._dataset, self._tree, self._report = dataset, tree, report
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        # Text keeps bytes as they are; an Image feature would decode them.
        keys = ("name", *self._dataset.inputs, *self._dataset.outputs)
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{self._dataset.name}, {self._dataset.origin}",
            features=tfds.features.FeaturesDict(
                {key: tfds.features.Text() for key in keys}
            ),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,  # records stay in the order of the lists
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing is downloaded
        self._notes: dict[str, Any] = {}
        metadata: Any = self.info.metadata
        metadata["splits"] = self._notes
        return {
            split: self._generate_examples(split, items)
            for split, items in self._tree.items()
        }

    def _generate_examples(
        self, split: str, items: Sequence[Item]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        names, sizes, content = [], [], hashlib.sha256()
        for key, item in enumerate(items):
            record = encoded(self._dataset, split, item)
            sizes.append(checked_size(self._dataset, split, item, record))
            names.append(item.name)
            for part in (item.name.encode(), *record.values()):
                content.update(len(part).to_bytes(8, "little") + part)
            self._report()
            yield key, {"name": item.name, **record}
        self._notes[split] = {
            "names": names,
            "sizes": sizes,
            "sha256": content.hexdigest(),
        }


def encoded(dataset: Dataset, split: str, item: Item) -> dict[str, bytes]:
    """Return the encoded files of an item by key.

    Raises:
        DataError: if it has not the inputs and labels of its data set, or a file cannot
            be read.
    """
    parts = {**item.inputs, **item.labels}
    keys = (*dataset.inputs, *dataset.outputs)
    assert set(parts) == set(keys), f"{item.name} has {list(parts)}, not {keys}"
    try:
        return {key: parts[key]() for key in keys}
    except OSError as error:
        raise DataError(
            f"{_where(dataset, split, item)} cannot be read: {error}; get it again from "
            f"{dataset.origin}"
        ) from error


def checked_size(
    dataset: Dataset, split: str, item: Item, record: Mapping[str, bytes]
) -> list[int]:
    """Return [height, width] of an item whose every file can be decoded.

    Raises:
        DataError: for a damaged file, sizes that differ, or ids outside the classes.
    """
    where = _where(dataset, split, item)
    sizes = {}
    for key in dataset.inputs:
        pixels = decode_input(key, record[key], where=f"{where}, {key}")
        sizes[key] = pixels.shape[:2]
    first = next(iter(sizes))
    for key, classes in dataset.outputs.items():
        labels = decode_label(
            record[key], void=dataset.void, where=f"{where}, {key} label"
        )
        problems = label_problems(labels, size=sizes[first], classes=classes)
        if problems:
            raise DataError(f"{where}: {problems[0]}")
    other = {key: size for key, size in sizes.items() if size != sizes[first]}
    if other:
        raise DataError(
            f"{where}: {first} is {sizes[first]} pixels (height, width) and {other}; get "
            f"the files again from {dataset.origin}"
        )
    return list(sizes[first])


def _where(dataset: Dataset, split: str, item: Item) -> str:
    return f"{dataset.name}, split {split}, example {item.name} ({item.files})"


def prepare(
    dataset: Dataset,
    *,
    source: str,
    lists: str,
    data_dir: str,
    report: Callable[[int, int], None] | None = None,
) -> str:
    """Write a data set as array_record, unless it is there already.

    TFDS writes into a directory of its own and renames it at the end, so that a data
    set is there as a whole or not at all; what an interrupted attempt left is removed.

    Args:
        dataset: from its builder.
        source: the published tree, or a folder of the published archives.
        lists: directory of split lists that the tree does not hold; "" is the source.
        data_dir: directory of prepared data sets; "" for TFDS's convention.
        report: called with how much is done and to do: first, for archives, of their
            bytes, then of the examples.

    Returns:
        A sentence: what was found, and where it is.

    Raises:
        DataError: for a source that is no directory or is not as published, or where
            another process is preparing the same data set there.
    """
    for flag, name in (("source", source), ("lists", lists or source)):
        if not Path(name).is_dir():
            raise DataError(f"the {flag} {name} is no directory; give --{flag}=DIR")
    root = prepared_root(data_dir)
    home = root / dataset.name
    directory = home / dataset.version
    home.mkdir(parents=True, exist_ok=True)
    with alone(home):
        written = not (directory / "dataset_info.json").is_file()
        if written:
            for leftover in home.glob(f"incomplete.*_{dataset.version}"):
                shutil.rmtree(leftover)
            extracted = home / "extracted"
            tree = dataset.read_tree(
                unpack(Path(source), extracted, dataset.archives, report),
                Path(lists or source),
            )
            _refuse_repeated(dataset, tree)
            with remedy(f"writing {directory}: free some space, or give --data_dir"):
                _write(dataset, tree, root, report)
            shutil.rmtree(extracted, ignore_errors=True)
        counts = recorded_counts(directory)
    return _sentence(dataset, counts, directory, written)


def _write(
    dataset: Dataset,
    tree: Mapping[str, Sequence[Item]],
    root: Path,
    report: Callable[[int, int], None] | None,
) -> None:
    total, done = sum(len(items) for items in tree.values()), 0

    def step() -> None:
        nonlocal done
        done += 1
        if report is not None:
            report(done, total)

    tfds.disable_progress_bar()

    class Named(TreeBuilder, skip_registration=True):
        name = dataset.name
        VERSION = tfds.core.Version(dataset.version)

    builder = Named(dataset=dataset, tree=tree, report=step, data_dir=str(root))
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()


def _refuse_repeated(dataset: Dataset, tree: Mapping[str, Sequence[Item]]) -> None:
    for split, items in tree.items():
        if not items:
            raise DataError(
                f"split {split} of {dataset.name} has no examples; its list is empty: "
                f"take the one published at {dataset.origin}"
            )
        names = Counter(item.name for item in items)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise DataError(
                f"the list of split {split} of {dataset.name} names "
                f"{', '.join(twice[:5])} more than once; take the list published at "
                f"{dataset.origin}"
            )


def _sentence(
    dataset: Dataset, counts: Mapping[str, int], directory: Path, written: bool
) -> str:
    found = ", ".join(f"{split} {count}" for split, count in counts.items())
    differs = [
        f"{split} {dataset.counts[split]}"
        for split, count in counts.items()
        if split in dataset.counts and dataset.counts[split] != count
    ]
    verdict = "as published"
    if differs:
        verdict = f"not the published {', '.join(differs)}: scores will not compare"
    ending = f"written to {directory}"
    if not written:
        ending = f"was in {directory} already; delete it to prepare the data anew"
    return f"{dataset.name}: {found} ({verdict}), {ending}"


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold a lock on a directory.

    Raises:
        DataError: if another process holds it.
    """
    try:
        held = lock.hold(home / ".preparing")
    except lock.Held as holder:
        raise DataError(
            f"a data set is being prepared in {home} by {holder}; wait for it"
        ) from holder
    try:
        yield
    finally:
        held.close()
