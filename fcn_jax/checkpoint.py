"""Checkpoints that are either restored exactly or reported as damaged.

A checkpoint is `<directory>/<step>/{params,optimizer,record}`, written by Orbax: two flat
sets of arrays under dotted paths ("trunk.conv1_1.kernel") and one JSON record. `step` is
the number of completed updates. Orbax makes a save appear by one rename, so a killed save
leaves the older checkpoints alone; but it restores altered bytes without a word, drops
the error of a failed save and lists steps from memory. So the record holds the sha256
digest, dtype and shape of every array and a digest of itself, saving is synchronous, and
the directory is listed anew each time. The state is fetched to the host as a whole: state
sharded over several processes is not covered.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import operator
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from fcn_jax import files, plain_json, program
from fcn_jax.checkpoint_record import check_manifest
from fcn_jax.locations import located, refuse_file

_ITEMS = ("params", "optimizer")
_RECORD = "record"
_DAMAGED = ".damaged"
_RETIRED = ".retired"
_NO_SCORE = -1.0
_CHUNK_BYTES = 32 * 2**20  # compressed at a time; a file of its own each
_PARTIAL = ".orbax-checkpoint-tmp"
# What Orbax gives back bit for bit; a wider list would be found out only on restoring.
_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bfloat16", "float16", "float32", "float64"),
)


class CheckpointError(program.RunError):
    """A checkpoint that cannot be written, or that is missing or damaged."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One verified checkpoint.

    Attributes:
      step: number of completed updates.
      directory: where it was read from.
      params: dotted path -> array, bit for bit as saved.
      optimizer: the same for the optimizer's state; None where it was not asked for.
      record: the JSON record given to `CheckpointStore.save` (tuples are lists).
      mean_iu: the score it was saved with, in [0, 1]; None without one.
    """

    step: int
    directory: pathlib.Path
    params: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray] | None
    record: dict[str, Any]
    mean_iu: float | None = None


class _Held(np.ndarray):
    """An array that nobody alters until it is written, so no copy is made for that."""

    def __deepcopy__(self, memo: dict[int, Any]) -> np.ndarray:
        return self.view(np.ndarray)


class CheckpointStore:
    """The checkpoints of one run, written by this run alone.

    Keeps the `keep` newest and the best by mean IU; one that cannot be read is neither
    counted nor deleted.
    """

    def __init__(self, directory: str | os.PathLike, *, keep: int = 2):
        if keep < 1:
            raise ValueError(f"keep is {keep}; it must be 1 or more checkpoints")
        self.directory = pathlib.Path(directory).absolute()
        self._keep = keep
        self.directory.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()

    def save(
        self,
        step: int,
        *,
        params: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        record: Mapping[str, Any],
        mean_iu: float | None = None,
    ) -> None:
        """Writes a checkpoint, and returns once it is on the disk.

        A step that is already there and verifies is left as it is; a damaged one is set
        aside first. Older checkpoints are deleted only afterwards.

        Args:
          step: number of completed updates.
          params: dotted path -> JAX or NumPy array of any shape without a zero.
          optimizer: the same; may be empty.
          record: what JSON can hold (finite numbers, string keys).
          mean_iu: the score by which the best checkpoint is chosen; a checkpoint without
            one, or with NaN, is never the best.

        Raises:
          CheckpointError: an array that is not finite or cannot be stored, or a write
            that failed; names the step, the path and the cause. What was partly
            written is removed, and the older checkpoints are as they were.
        """
        directory = self.directory / str(operator.index(step))
        try:
            given = {"params": params, "optimizer": optimizer}
            arrays = {name: _host_arrays(name, given[name]) for name in _ITEMS}
            manifest = _manifest(step, arrays, record, mean_iu)
            if directory.exists():
                try:
                    _read(directory, optimizer=True)
                    return
                except CheckpointError as error:
                    self._set_aside(directory, f"{error}; it is saved again")
            self._write(step, arrays, manifest)
            if _read_manifest(directory) != manifest:
                raise CheckpointError(f"{directory / _RECORD} is not what was written")
            if jax.process_index() == 0:
                self._retire()
        except Exception as error:
            files.remove_for_good(self._leftovers)
            raise CheckpointError(
                f"cannot save the checkpoint {directory}: {_cause(error)}"
            ) from error

    def newest(self, *, optimizer: bool = True) -> Checkpoint | None:
        """The newest checkpoint that verifies; None where the directory has none at all.

        A newer one that is damaged is reported as an error and renamed to
        `<step>.damaged`, so that the run can reach and save that step again.

        Raises:
          CheckpointError: there are checkpoints and none of them can be used; nothing is
            renamed then, so that the next start does not begin from scratch either.
        """
        steps = _steps(self.directory)
        if not steps:
            if any(self.directory.glob(f"*{_DAMAGED}*")):
                raise CheckpointError(
                    f"{self.directory} holds only damaged checkpoints; delete them to"
                    " start from scratch, or give another work directory"
                )
            return None
        order = [steps[step] for step in sorted(steps, reverse=True)]
        found, damaged = _first_sound(order, optimizer)
        for path, reason in damaged.items():
            self._set_aside(path, f"{reason}; falling back to step {found.step}")
        return found

    def _write(self, step: int, arrays: dict, manifest: dict) -> None:
        self._remove_leftovers()
        options = ocp.CheckpointManagerOptions(
            enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        # Orbax refuses an item without leaves; the manifest says that it was empty.
        items: dict[str, Any] = {_RECORD: ocp.args.JsonSave(manifest)}
        for name in (name for name in _ITEMS if arrays[name]):
            held = {key: array.view(_Held) for key, array in arrays[name].items()}
            chunks = dict.fromkeys(held, ocp.SaveArgs(chunk_byte_size=_CHUNK_BYTES))
            items[name] = ocp.args.PyTreeSave(held, save_args=chunks)
        with ocp.CheckpointManager(self.directory, options=options) as manager:
            # Forced: Orbax skips a step that is not newer than all the others it lists.
            manager.save(step, args=ocp.args.Composite(**items), force=True)
        # Before older checkpoints are deleted: Orbax does not flush directories or JSON.
        _flush(self.directory / str(step))

    def _retire(self) -> None:
        """Deletes what is neither among the newest nor the best, by one rename each."""
        steps = _steps(self.directory)
        scores = {step: _score(path) for step, path in steps.items()}
        sound = sorted(step for step, score in scores.items() if score < math.inf)
        best = max(sound, key=lambda step: (scores[step], step))
        for step in sound[: -self._keep]:
            if step != best or scores[step] == _NO_SCORE:
                steps[step].rename(steps[step].with_name(f"{step}{_RETIRED}"))
        self._remove_leftovers()

    def _set_aside(self, path: pathlib.Path, reason: str) -> None:
        names = [f"{path.name}{_DAMAGED}"]
        while (path.parent / names[-1]).exists():
            names.append(f"{path.name}{_DAMAGED}-{len(names)}")
        logging.error("damaged checkpoint, kept as %s: %s", names[-1], reason)
        if jax.process_index() == 0:
            path.rename(path.parent / names[-1])

    def _leftovers(self) -> list[pathlib.Path]:
        """What killed or failed saves and interrupted deletions left."""
        if jax.process_index() != 0:
            return []
        patterns = (f"*{_PARTIAL}*", f"*{_RETIRED}")
        return [path for own in patterns for path in self.directory.glob(own)]

    def _remove_leftovers(self) -> None:
        for path in self._leftovers():
            shutil.rmtree(path, ignore_errors=True)


def load(
    path: str | os.PathLike, *, which: str = "best", optimizer: bool = False
) -> Checkpoint:
    """Reads a checkpoint and leaves the directory as it is.

    Args:
      path: a work directory (with `checkpoints/` inside) or a directory of checkpoints.
      which: "best" is the highest mean IU, and the newest where none has a score.
      optimizer: whether the optimizer's state is wanted too.

    Raises:
      CheckpointError: nothing there, or nothing that verifies. A damaged checkpoint next
        to a sound one is reported as an error in the log.
      ValueError: a file, as weights of other programs are.
    """
    if which not in ("best", "newest"):
        raise ValueError(f"which is {which!r}; it must be 'best' or 'newest'")
    root = pathlib.Path(located(os.fspath(path))).absolute()
    refuse_file(root, "the checkpoint")
    if (root / "checkpoints").is_dir():
        root = root / "checkpoints"
    steps = _steps(root)
    if not steps:
        raise CheckpointError(
            f"no checkpoint in {root}; expected a work directory with"
            " checkpoints/<step>/, or a directory of such steps"
        )
    order = sorted(steps, reverse=True)
    if which == "best":
        order.sort(key=lambda step: -_score(steps[step]))
    found, damaged = _first_sound([steps[step] for step in order], optimizer)
    for reason in damaged.values():
        logging.error("damaged checkpoint: %s; using step %d", reason, found.step)
    return found


def _first_sound(
    candidates: Iterable[pathlib.Path], optimizer: bool
) -> tuple[Checkpoint, dict[pathlib.Path, str]]:
    """The first candidate that verifies, and why those before it do not."""
    damaged: dict[pathlib.Path, str] = {}
    for path in candidates:
        try:
            return _read(path, optimizer=optimizer), damaged
        except CheckpointError as error:
            damaged[path] = str(error)
    raise CheckpointError("every checkpoint is damaged: " + "; ".join(damaged.values()))


def _steps(directory: pathlib.Path) -> dict[int, pathlib.Path]:
    """Step -> path of everything that is named like a committed checkpoint."""
    if not directory.is_dir():
        return {}
    named = [path for path in directory.iterdir() if path.name.isdecimal()]
    return {int(path.name): path for path in named if str(int(path.name)) == path.name}


def _score(directory: pathlib.Path) -> float:
    """The mean IU to rank by; infinite where unreadable, to be tried and reported."""
    try:
        score = _read_manifest(directory)["mean_iu"]
    except CheckpointError:
        return math.inf
    return _NO_SCORE if score is None else score


def _read(directory: pathlib.Path, *, optimizer: bool) -> Checkpoint:
    """Reads and verifies one checkpoint; CheckpointError where anything differs."""
    manifest = _read_manifest(directory)
    arrays = {
        name: _read_arrays(directory / name, manifest["arrays"][name])
        for name in _ITEMS[: 2 if optimizer else 1]
    }
    return Checkpoint(
        step=manifest["step"],
        directory=directory,
        params=arrays["params"],
        optimizer=arrays.get("optimizer"),
        record=manifest["record"],
        mean_iu=manifest["mean_iu"],
    )


@contextlib.contextmanager
def _reading(path: object) -> Iterator[None]:
    """Turns what Orbax raises on a damaged file, five types of error, into one."""
    try:
        yield
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read: {_cause(error)}") from error


def _read_manifest(directory: pathlib.Path) -> dict[str, Any]:
    path = directory / _RECORD
    with _reading(path):
        manifest = dict(ocp.JsonCheckpointHandler().restore(epath.Path(path)))
        plain_json.check(manifest, str(path))
        if manifest != _signed({k: v for k, v in manifest.items() if k != "sha256"}):
            raise CheckpointError(f"{path} differs from its own digest")
        check_manifest(manifest, str(path))
        if str(manifest["step"]) != directory.name:
            raise CheckpointError(f"{path} belongs to step {manifest['step']}")
    return manifest


def _read_arrays(directory: pathlib.Path, stated: dict) -> dict[str, np.ndarray]:
    if not stated:
        return {}
    path, handler = epath.Path(directory), ocp.PyTreeCheckpointHandler()
    arrays = {}
    # One at a time: of several, Orbax leaves the others running when one fails.
    for name, description in stated.items():
        with _reading(f"{directory}: array {name}"):
            # Without an explicit type Orbax asks for the devices it was saved from.
            types = {name: ocp.RestoreArgs(restore_type=np.ndarray)}
            arguments = ocp.args.PyTreeRestore(
                {name: 0}, restore_args=types, partial_restore=True
            )
            arrays |= handler.restore(path, args=arguments)
            found = _describe(arrays[name])
            if found != description:
                raise CheckpointError(
                    f"{directory}: array {name} is {found}, saved as {description}"
                )
    with _reading(directory):
        extra = handler.metadata(path).tree.keys() - stated.keys()
        if extra:
            raise CheckpointError(f"{directory} has unknown arrays: {sorted(extra)}")
        handler.close()
    return arrays


def _host_arrays(item: str, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays on the host, in C order, checked to be storable and finite."""
    fetched = jax.device_get(dict(arrays))
    fetched = {k: np.asarray(v, order="C") for k, v in fetched.items()}
    for name, array in fetched.items():
        if not name or str(array.dtype) not in _DTYPES or array.size == 0:
            raise CheckpointError(
                f"{item} array {name!r} is {array.dtype}{list(array.shape)}, which cannot"
                f" be stored; allowed are named, non-empty arrays of {', '.join(_DTYPES)}"
            )
        if jnp.issubdtype(array.dtype, jnp.floating):
            wrong = array.size - int(np.count_nonzero(np.isfinite(array)))
            if wrong:
                raise CheckpointError(
                    f"{item} array {name} has {wrong} of {array.size} values that are not"
                    " finite; a diverged state is not saved"
                )
    return fetched


def _manifest(
    step: int, arrays: dict, record: Mapping[str, Any], mean_iu: float | None
) -> dict[str, Any]:
    """The record as stored: what was given, the arrays' description, and a digest."""
    manifest = {
        "step": step,
        "mean_iu": None if mean_iu is None or math.isnan(mean_iu) else float(mean_iu),
        "arrays": {
            item: {name: _describe(array) for name, array in arrays[item].items()}
            for item in _ITEMS
        },
        "record": dict(record),
    }
    return _signed(json.loads(json.dumps(manifest, allow_nan=False)))


def _signed(manifest: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(manifest, sort_keys=True)
    return manifest | {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def _describe(array: np.ndarray) -> dict[str, Any]:
    digest = hashlib.sha256(array.reshape(-1).view(np.uint8).data).hexdigest()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "sha256": digest}


def _cause(error: Exception) -> str:
    """An error in short: TensorStore appends pages, and before them says most last."""
    text = program.error_sentence(error).split(" [tensorstore_spec=")[0]
    return text if len(text) <= 400 else f"{text[:100]} ... {text[-300:]}"


def _flush(directory: pathlib.Path) -> None:
    for path in (directory.parent, directory, *directory.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
