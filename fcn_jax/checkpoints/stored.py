"""Checkpoints on the disk: found, read and verified, never changed.

Orbax restores altered bytes without an error, so the record holds the sha256 digest,
dtype and shape of every array, and a digest of itself.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from fcn_jax.checkpoints.record import check_manifest
from fcn_jax.runtime import messages, plain_json
from fcn_jax.runtime.locations import located, refuse_file

ITEMS = ("params", "optimizer", "collections")
RECORD = "record"
_OLDER = "mean_iu"  # what a score was called while every net labelled pixels
NO_SCORE = -1.0
_LISTINGS = 10  # of a directory whose checkpoints are deleted meanwhile
JSON_FILE = "metadata"  # Orbax's name for the one file of a JSON item
# What Orbax gives back bit for bit; a wider list would be found out only on restoring.
_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bfloat16", "float16", "float32", "float64"),
)


class CheckpointError(messages.RunError):
    """A checkpoint that cannot be written, or that is missing or damaged."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One verified checkpoint.

    Attributes:
        step: number of completed updates.
        directory: where it was read from.
        params: dotted path -> array, bit for bit as saved.
        optimizer: the same for the optimizer's state; None where it was not asked for.
        collections: the same for what else layers keep, as batch statistics.
        record: the JSON record given to `CheckpointStore.save` (tuples are lists).
        score: mean IU, of a classifier top-1, in [0, 1]; None without one.
    """

    step: int
    directory: pathlib.Path
    params: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray] | None
    collections: dict[str, np.ndarray]
    record: dict[str, Any]
    score: float | None = None


def read(directory: pathlib.Path, *, optimizer: bool) -> Checkpoint:
    """Read and verify one checkpoint; raise CheckpointError if anything differs."""
    manifest = read_manifest(directory)
    with _reading(directory):
        arrays = {
            name: _read_arrays(directory / name, manifest["arrays"][name])
            for name in manifest["arrays"]
            if optimizer or name != "optimizer"
        }
    return Checkpoint(
        step=manifest["step"],
        directory=directory,
        params=arrays["params"],
        optimizer=arrays.get("optimizer"),
        collections=arrays.get("collections", {}),
        record=manifest["record"],
        score=manifest["score"],
    )


@contextlib.contextmanager
def _reading(path: object) -> Iterator[None]:
    """Turn what Orbax raises on a damaged file, five types of error, into one."""
    try:
        yield
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read: {cause(error)}") from error


def read_manifest(directory: pathlib.Path) -> dict[str, Any]:
    """Read and verify the record of a checkpoint, in the form of `manifest_of`."""
    path = directory / RECORD
    with _reading(path):
        manifest = dict(ocp.JsonCheckpointHandler().restore(epath.Path(path)))
        plain_json.check(manifest, str(path))
        if manifest != _signed({k: v for k, v in manifest.items() if k != "sha256"}):
            raise CheckpointError(f"{path} differs from its own digest")
        if _OLDER in manifest:
            manifest["score"] = manifest.pop(_OLDER)
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


def host_arrays(item: str, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Fetch arrays to the host, in C order; refuse what is not storable and finite."""
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


def manifest_of(
    step: int, record: Mapping[str, Any], arrays: dict, score: float | None
) -> dict[str, Any]:
    """Build the record as stored: what was given, the arrays' description, a digest."""
    manifest = {
        "step": step,
        "score": None if score is None or math.isnan(score) else float(score),
        "arrays": arrays,
        "record": dict(record),
    }
    return _signed(json.loads(json.dumps(manifest, allow_nan=False)))


def _signed(manifest: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(manifest, sort_keys=True)
    return manifest | {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def _describe(array: np.ndarray) -> dict[str, Any]:
    digest = hashlib.sha256(array.reshape(-1).view(np.uint8).data).hexdigest()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "sha256": digest}


def describe_all(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Describe each array as the record does: dtype, shape and digest."""
    return {name: _describe(array) for name, array in arrays.items()}


def cause(error: Exception) -> str:
    """Shorten an error: drop TensorStore's pages at the end, and the middle if long."""
    text = messages.error_sentence(error).split(" [tensorstore_spec=")[0]
    return text if len(text) <= 400 else f"{text[:100]} ... {text[-300:]}"


def load(
    path: str | os.PathLike, *, which: str = "best", optimizer: bool = False
) -> Checkpoint:
    """Read a checkpoint and leave the directory as it is.

    Args:
        path: a work directory (with `checkpoints/` inside), a directory of checkpoints, or
            one of these, `checkpoints/<step>`.
        which: of several; "best" has the highest score, and the newest where none has a score.
        optimizer: whether the optimizer's state is wanted too.

    Raises:
        CheckpointError: if there is no checkpoint, or none that verifies. A damaged
            checkpoint next to a sound one is reported as an error in the log.
        ValueError: if the path is a file, as weights of other programs are.
    """
    if which not in ("best", "newest"):
        raise ValueError(f"which is {which!r}; it must be 'best' or 'newest'")
    root = pathlib.Path(located(path)).absolute()
    refuse_file(root, "the checkpoint")
    if (root / "checkpoints").is_dir():
        root = root / "checkpoints"
    if (root / RECORD).is_dir():
        return read(root, optimizer=optimizer)
    for _ in range(_LISTINGS):
        steps = _listed(root)
        order = sorted(steps, reverse=True)
        if which == "best":
            order.sort(key=lambda step: -score_of(steps[step]))
        try:
            found, damaged = first_sound([steps[step] for step in order], optimizer)
        except CheckpointError:
            # Beside a run that goes on, those of a listing may all be retired by now.
            if all(path.exists() for path in steps.values()):
                raise
            continue
        if all(path.exists() for path in damaged):
            break
    else:
        raise CheckpointError(
            f"the checkpoints in {root} are deleted as fast as they are listed; try "
            "again, with another `keep` in the run's config.checkpoint"
        )
    for reason in damaged.values():
        logging.error("damaged checkpoint: %s; using step %d", reason, found.step)
    return found


def _listed(root: pathlib.Path) -> dict[int, pathlib.Path]:
    steps = steps_in(root)
    if not steps:
        raise CheckpointError(
            f"no checkpoint in {root}; expected a work directory with"
            " checkpoints/<step>/, a directory of such steps, or one of them"
        )
    return steps


def first_sound(
    candidates: Iterable[pathlib.Path], optimizer: bool
) -> tuple[Checkpoint, dict[pathlib.Path, str]]:
    """Return the first candidate that verifies, and why those before it do not."""
    damaged: dict[pathlib.Path, str] = {}
    for path in candidates:
        try:
            return read(path, optimizer=optimizer), damaged
        except CheckpointError as error:
            damaged[path] = str(error)
    raise CheckpointError("every checkpoint is damaged: " + "; ".join(damaged.values()))


def steps_in(directory: pathlib.Path) -> dict[int, pathlib.Path]:
    """Map step to path for everything that is named like a committed checkpoint."""
    if not directory.is_dir():
        return {}
    named = [path for path in directory.iterdir() if path.name.isdecimal()]
    return {int(path.name): path for path in named if str(int(path.name)) == path.name}


def score_of(directory: pathlib.Path) -> float:
    """Return the score to rank by; infinite if unreadable, so that it is tried."""
    try:
        score = read_manifest(directory)["score"]
    except CheckpointError:
        return math.inf
    return NO_SCORE if score is None else score
