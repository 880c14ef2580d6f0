"""Checkpoints that are either restored exactly or reported as damaged.

A checkpoint is `<directory>/<step>/{params,optimizer,collections,record}`, written by
Orbax: flat sets of arrays under dotted paths ("trunk.conv1_1.kernel") and one JSON
record. `step` is the number of completed updates. Orbax makes a save appear by one
rename, so a killed save leaves the older checkpoints alone; but it restores altered bytes
without an error, drops the error of a failed save and lists steps from memory. So the
record holds the sha256 digest, dtype and shape of every array and a digest of itself,
saving is synchronous, and the directory is listed anew each time. The state is fetched to
the host as a whole: state sharded over several processes is not covered.
"""

import json
import math
import operator
import os
import pathlib
import shutil
from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from fcn_jax.checkpoints.stored import (
    ITEMS,
    JSON_FILE,
    NO_SCORE,
    RECORD,
    Checkpoint,
    CheckpointError,
    cause,
    describe_all,
    first_sound,
    host_arrays,
    load,
    manifest_of,
    read,
    read_manifest,
    score_of,
    steps_in,
)
from fcn_jax.runtime import atomic

__all__ = ["Checkpoint", "CheckpointError", "CheckpointStore", "load"]

_DAMAGED = ".damaged"
_RETIRED = ".retired"
_CHUNK_BYTES = 32 * 2**20  # compressed at a time; a file of its own each
_PARTIAL = ".orbax-checkpoint-tmp"


class _Held(np.ndarray):
    """An array that nobody alters until it is written, so no copy is made for that."""

    def __deepcopy__(self, memo: dict[int, Any]) -> np.ndarray:
        return self.view(np.ndarray)


class CheckpointStore:
    """The checkpoints of one run, written by this run alone.

    It keeps the `keep` newest, those of `snapshots`, and the best by score: mean IU, of a
    classifier top-1. A checkpoint that cannot be read is neither counted nor deleted.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        keep: int = 2,
        snapshots: Collection[int] = (),
    ):
        if keep < 1:
            raise ValueError(f"keep is {keep}; it must be 1 or more checkpoints")
        self.directory = pathlib.Path(directory).absolute()
        self._keep = keep
        self._snapshots = frozenset(snapshots)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()

    def save(
        self,
        step: int,
        *,
        params: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        record: Mapping[str, Any],
        collections: Mapping[str, Any] | None = None,
        score: float | None = None,
    ) -> None:
        """Write a checkpoint, and return once it is on the disk.

        A step that is already there and verifies is left as it is; a damaged one is set
        aside first. Older checkpoints are deleted only afterwards.

        Args:
            step: number of completed updates.
            params: dotted path -> JAX or NumPy array that is not empty.
            optimizer: the same; may be empty.
            record: what JSON can hold (finite numbers, string keys).
            collections: the same for what else layers keep, as batch statistics.
            score: that by which the best checkpoint is chosen; a checkpoint
                without one, or with NaN, is never the best.

        Raises:
            CheckpointError: if an array is not finite or cannot be stored, or a write
                failed; names the step, the path and the cause. What was partly
                written is removed, and the older checkpoints are as they were.
        """
        directory = self.directory / str(operator.index(step))
        try:
            given = {"params": params, "optimizer": optimizer}
            if collections:  # most nets have none, and their form is that of 0.1.0
                given["collections"] = collections
            arrays = {name: host_arrays(name, given[name]) for name in given}
            described = {item: describe_all(arrays[item]) for item in arrays}
            manifest = manifest_of(step, record, described, score)
            if directory.exists():
                try:
                    read(directory, optimizer=True)
                    return
                except CheckpointError as error:
                    self._set_aside(directory, f"{error}; it is saved again")
            self._write(step, arrays, manifest)
            if read_manifest(directory) != manifest:
                raise CheckpointError(f"{directory / RECORD} is not what was written")
            if jax.process_index() == 0:
                self._retire()
        except Exception as error:
            atomic.remove_for_good(self._leftovers)
            raise CheckpointError(
                f"cannot save the checkpoint {directory}: {cause(error)}"
            ) from error

    def rate(self, step: int, score: float) -> None:
        """Add its score to a checkpoint that was saved without one.

        Args:
            step: number of completed updates.
            score: as for `save`.

        Raises:
            CheckpointError: if there is no sound record of that step, or it cannot be
                written; the checkpoint is as it was.
        """
        directory = self.directory / str(operator.index(step))
        manifest = read_manifest(directory)
        try:
            rated = manifest_of(step, manifest["record"], manifest["arrays"], score)
            # Beside the steps, where what a kill leaves is found.
            partial = self.directory / f"{step}{_PARTIAL}-{RECORD}"
            atomic.write(partial, json.dumps(rated).encode())
            partial.replace(directory / RECORD / JSON_FILE)
            _flush(directory / RECORD)
            self._retire()
        except OSError as error:
            raise CheckpointError(
                f"cannot add its score to the checkpoint {directory}: {cause(error)}"
            ) from error

    def newest(self, *, optimizer: bool = True) -> Checkpoint | None:
        """Return the newest checkpoint that verifies; None if the directory has none.

        A newer one that is damaged is reported as an error and renamed to
        `<step>.damaged`, so that the run can reach and save that step again.

        Raises:
            CheckpointError: if there are checkpoints and none can be used; nothing is
                renamed then, so that the next start does not begin from scratch.
        """
        steps = steps_in(self.directory)
        if not steps:
            if any(self.directory.glob(f"*{_DAMAGED}*")):
                raise CheckpointError(
                    f"{self.directory} holds only damaged checkpoints; delete them to"
                    " start from scratch, or give another work directory"
                )
            return None
        order = [steps[step] for step in sorted(steps, reverse=True)]
        found, damaged = first_sound(order, optimizer)
        for path, reason in damaged.items():
            self._set_aside(path, f"{reason}; falling back to step {found.step}")
        return found

    def _write(self, step: int, arrays: dict, manifest: dict) -> None:
        self._remove_leftovers()
        options = ocp.CheckpointManagerOptions(
            enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        # Orbax refuses an item without leaves; the manifest says that it was empty.
        items: dict[str, Any] = {RECORD: ocp.args.JsonSave(manifest)}
        for name in (name for name in ITEMS if arrays.get(name)):
            held = {key: array.view(_Held) for key, array in arrays[name].items()}
            chunks = dict.fromkeys(held, ocp.SaveArgs(chunk_byte_size=_CHUNK_BYTES))
            items[name] = ocp.args.PyTreeSave(held, save_args=chunks)
        with ocp.CheckpointManager(self.directory, options=options) as manager:
            # Forced: Orbax skips a step that is not newer than all the others it lists.
            manager.save(step, args=ocp.args.Composite(**items), force=True)
        # Before older checkpoints are deleted: Orbax does not flush directories or JSON.
        _flush(self.directory / str(step))

    def _retire(self) -> None:
        """Delete what is neither among the newest, a snapshot nor the best; rename first."""
        steps = steps_in(self.directory)
        scores = {step: score_of(path) for step, path in steps.items()}
        sound = sorted(step for step, score in scores.items() if score < math.inf)
        best = max(sound, key=lambda step: (scores[step], step))
        for step in sound[: -self._keep]:
            kept = step == best and scores[step] != NO_SCORE
            if not kept and step not in self._snapshots:
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
        """List what killed or failed saves and interrupted deletions left."""
        if jax.process_index() != 0:
            return []
        patterns = (f"*{_PARTIAL}*", f"*{_RETIRED}")
        return [path for own in patterns for path in self.directory.glob(own)]

    def _remove_leftovers(self) -> None:
        for path in self._leftovers():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _flush(directory: pathlib.Path) -> None:
    for path in (directory.parent, directory, *directory.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
