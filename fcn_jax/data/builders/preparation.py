"""Running a TFDS builder: one at a time, quietly, and again after an interruption."""

import contextlib
import fcntl
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from fcn_jax.data.examples import DataError
from fcn_jax.data.prepared import prepared_root


def prepare(builder_class: Any, *, source: str, data_dir: str) -> tuple[Path, bool]:
    """Writes a data set as array_record, unless it is there already.

    TFDS writes into a directory of its own and renames it at the end, so that a data
    set is there as a whole or not at all; what an interrupted attempt left is removed.

    Args:
      builder_class: a `GeneratorBasedBuilder` that reads its manual directory.
      source: the published tree, its manual directory.
      data_dir: directory of prepared data sets; "" for TFDS's convention.

    Returns:
      The version directory, and whether it was written now.

    Raises:
      DataError: for a source that is no directory or that the builder refuses, or where
        another process is preparing the same data set there.
    """
    if not Path(source).is_dir():
        raise DataError(f"the source {source} is not a directory; give --source=DIR")
    root = prepared_root(data_dir)
    home = root / builder_class.name
    home.mkdir(parents=True, exist_ok=True)
    version = str(builder_class.VERSION)
    with _alone(home):
        directory = home / version
        if (directory / "dataset_info.json").is_file():
            return directory, False
        for leftover in home.glob(f"incomplete.*_{version}"):
            shutil.rmtree(leftover)
        tfds.disable_progress_bar()
        builder = builder_class(data_dir=str(root), file_format="array_record")
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=source)
            )
    return directory, True


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Holds a lock on a directory, which the system drops with the process."""
    with (home / ".preparing").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"another process is preparing a data set in {home}; wait for it"
            ) from error
        yield
