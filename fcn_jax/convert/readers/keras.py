"""Keras' weights, .h5, .weights.h5 and .keras, and Caffe's snapshots in HDF5."""

import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fcn_jax.convert.readers.archive import damaged
from fcn_jax.convert.readers.hdf5 import Dataset, read_hdf5
from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError

MEMBER = "model.weights.h5"
"""The file of a .keras archive that has the weights."""

_VARIABLE = re.compile(r"(?:.*/)?([^/]+)/vars/(\d+)")
_BLOB = re.compile(r"(.+)/(\d+)")


def read_hdf5_weights(path: Path) -> WeightFile:
    """Return the arrays of an .h5 file of Keras or Caffe.

    Keras 2 has "block1_conv1/block1_conv1_W_1:0"; in the file of a whole model only
    "model_weights" is read, and not named. Keras 3 numbers the variables of a layer,
    "block1_conv1/0". Caffe's snapshots have the names of its other files, "conv1_1[0]".

    Raises:
        WeightFileError: as `read_hdf5`, and for a file without arrays.
    """
    with path.open("rb") as file:
        return _weight_file(path, *read_hdf5(path, file))


def read_keras_archive(path: Path) -> WeightFile:
    """Return the arrays of a .keras archive; see `read_hdf5_weights`.

    Args:
        path: an archive that `archive.list_members` has accepted.

    Raises:
        WeightFileError: as there, and for a damaged archive.
    """
    # With a name: HDF5 opens no file that has none.
    with tempfile.NamedTemporaryFile() as file:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(MEMBER) as member:
                shutil.copyfileobj(member, file)
        except Exception as error:
            raise damaged(path, error, MEMBER) from None
        file.flush()
        return _weight_file(path, *read_hdf5(path, file))


def _weight_file(path: Path, kind: str, datasets: Sequence[Dataset]) -> WeightFile:
    if not datasets:
        raise WeightFileError(f"{path}: holds no weights; it has no datasets")
    if kind != "caffe":
        names = (
            _variables(datasets) if kind == "keras 3" else [d.name for d in datasets]
        )
        arrays = {n: d.array for n, d in zip(names, datasets, strict=True)}
        return WeightFile(path, "keras", arrays)
    blobs, kinds = {}, {}
    for dataset in datasets:
        found = _BLOB.fullmatch(dataset.name)
        if not found:
            raise WeightFileError(
                f"{path}, {dataset.name!r}: is no numbered blob of a layer, as Caffe's "
                "snapshots have; rename the groups 'data' and 'diff'"
            )
        blobs[f"{found[1]}[{int(found[2])}]"] = dataset.array
        kinds[found[1]] = ""
    return WeightFile(path, "caffemodel (HDF5)", blobs, kinds)


def _variables(datasets: Sequence[Dataset]) -> list[str]:
    """Return names of the variables of Keras 3, "block1_conv1/0".

    A layer is called as in the model where the file says so, else by its class and
    number, "conv2d_3"; where layers of inner models have equal names, by its path.
    """
    names = []
    for dataset in datasets:
        found = _VARIABLE.fullmatch(dataset.name)
        layer = dataset.title or (found and found[1])
        names.append(f"{layer}/{found[2]}" if found else dataset.name)
    repeated = {name for name, count in Counter(names).items() if count > 1}
    return [
        dataset.name if name in repeated else name
        for name, dataset in zip(names, datasets, strict=True)
    ]
