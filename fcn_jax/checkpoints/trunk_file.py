"""The trunk of a trained net as one small file, and those that come with the package.

A file is .safetensors: an array for each parameter and each running statistic, under
"<collection>/<dotted path>", and in its metadata the record of the net, its score, a note
on its making and a digest of all that. `config.init_from="package:NAME"` starts from one
that comes with the package.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcn_jax.checkpoints import stored
from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.stored import Checkpoint, CheckpointError
from fcn_jax.models.backbone import AUXILIARY
from fcn_jax.params.paths import first_match
from fcn_jax.runtime import plain_json
from fcn_jax.runtime.atomic import whole_file
from fcn_jax.runtime.messages import remedy
from fcn_jax.runtime.shipped import TRUNK_DTYPES as DTYPES
from fcn_jax.runtime.shipped import TRUNK_ENDING as ENDING
from fcn_jax.runtime.shipped import TRUNK_RECORD as RECORD

_KEPT = ("spec", "categories", "outputs", "preprocessing", "dtype", "version")
"""Parts of the record that describe the net; paths of the machine are left out."""


def write_trunk(
    run: str | Path,
    file: str | Path,
    *,
    leave: Sequence[str],
    dtype: str = "float16",
    note: str = "",
) -> str:
    """Write the trunk of a run's best checkpoint.

    Args:
        run: its work directory.
        file: NAME.safetensors; must not exist.
        leave: patterns of parameters that are left out, as the head's, "head.*".
        dtype: of parameters and statistics in the file, one of `DTYPES`.
        note: what was learnt from which data, for those who read the file.

    Returns:
        What was written, in a sentence.

    Raises:
        CheckpointError: if there is no checkpoint that can be trusted.
        ValueError: for another ending, a file that exists, another dtype, patterns
            that leave nothing, or values that the dtype cannot hold.
    """
    from safetensors.numpy import save_file

    path = Path(file)
    if path.suffix != ENDING or path.exists():
        raise ValueError(
            f"{path} exists, or does not end in {ENDING}; give another name"
        )
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}")
    found = stored.load(run)
    Record.from_dict(found.record, str(found.directory))
    kept = [name for name in found.params if first_match(name, leave) is None]
    layers = {name.rpartition(".")[0] for name in kept}
    arrays = {f"params/{name}": found.params[name] for name in kept}
    for name, value in found.collections.items():
        collection, _, own = name.partition(".")
        if own.rpartition(".")[0] in layers:
            arrays[f"{collection}/{own}"] = value
    if not arrays:
        raise ValueError(f"the patterns {list(leave)} leave no parameter; give others")
    arrays = {name: _cast(name, value, dtype) for name, value in arrays.items()}
    record = {key: found.record[key] for key in _KEPT if key in found.record}
    record["spec"] = _spec(found.record["spec"], kept)
    metadata = {
        RECORD: json.dumps(record, sort_keys=True),
        "step": str(found.step),
        "score": json.dumps(found.score),
        "note": note,
    }
    metadata["sha256"] = _digest(arrays, metadata)
    with remedy(f"writing {path}"), whole_file(path) as unfinished:
        save_file(arrays, unfinished, metadata=metadata)
    count = sum(value.size for value in arrays.values())
    return f"{len(arrays)} arrays, {count:,} values in {dtype} are in {path}"


def read_trunk(file: str | Path) -> Checkpoint:
    """Read and verify a file of `write_trunk`; values become float32.

    Raises:
        CheckpointError: if it is missing, damaged, or of another program.
    """
    from safetensors import safe_open

    path = Path(file)
    try:
        with safe_open(path, framework="numpy") as opened:
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            metadata = dict(opened.metadata() or {})
    except Exception as error:  # OSError, and several of the library
        raise CheckpointError(
            f"{path} cannot be read: {stored.cause(error)}"
        ) from error
    stated = metadata.pop("sha256", "")
    if stated != _digest(arrays, metadata):
        raise CheckpointError(
            f"{path} differs from its own digest, or was not written as a trunk; make it "
            "again, or install the package again where it came with it"
        )
    items: dict[str, dict[str, np.ndarray]] = {"params": {}}
    for name, value in arrays.items():
        collection, _, own = name.partition("/")
        items.setdefault(collection, {})[own] = value.astype(np.float32)
    params = items.pop("params")
    record = plain_json.parse(metadata[RECORD].encode(), str(path))
    return Checkpoint(
        step=int(metadata["step"]),
        directory=path,
        params=params,
        optimizer=None,
        collections={
            f"{collection}.{own}": value
            for collection, values in items.items()
            for own, value in values.items()
        },
        record=record,
        score=json.loads(metadata["score"]),
    )


def _cast(name: str, value: np.ndarray, dtype: str) -> np.ndarray:
    """In another dtype; a value that overflows, or a variance that vanishes, is refused."""
    with np.errstate(over="ignore", under="ignore"):
        cast = value.astype(dtype)
    vanished = name.endswith(".var") and bool(((value > 0) & (cast == 0)).any())
    if vanished or not np.isfinite(cast).all():
        raise ValueError(
            f"{dtype} cannot hold {name}, from {value.min():g} to {value.max():g}; give "
            "--dtype=float32"
        )
    return cast


def _spec(spec: Mapping[str, Any], kept: Sequence[str]) -> dict[str, Any]:
    """The stored network; without auxiliary classifiers where none of them is kept."""
    parts = [part for path in kept for part in path.split(".")]
    if any(part.startswith(AUXILIARY) for part in parts):
        return dict(spec)
    options = [pair for pair in spec["options"] if pair[0] != "auxiliary"]
    return {**spec, "options": options}


def _digest(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Digest of all arrays, with names, types and shapes, and of the metadata."""
    text = json.dumps(
        [stored.describe_all(dict(sorted(arrays.items()))), dict(metadata)],
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()
