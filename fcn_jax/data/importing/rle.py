"""Run lengths of masks: runs of 0 and of 1 in turn, 0 first."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fcn_jax.data.examples import DataError

_MAX_CHUNKS = 7  # five bits each: a run below 2^34
_MORE, _NEGATIVE = 0x20, 0x10


def decode_runs(runs: Sequence[Any], count: int, where: str) -> np.ndarray:
    """Return `[count] bool` of run lengths.

    Raises:
        DataError: for a run that is no number from 0, or a sum other than `count`.
    """
    if len(runs) > count + 1 or not all(type(run) is int and run >= 0 for run in runs):
        raise DataError(
            f"{where}: run lengths must be at most {count + 1} whole numbers from 0"
        )
    total = sum(runs)
    if total != count:
        raise DataError(
            f"{where}: the run lengths add up to {total} pixels and not to the {count} of "
            "the mask; the file is damaged, or of a picture of another size"
        )
    return np.repeat(np.arange(len(runs)) % 2 == 1, np.array(runs, np.int64))


def parse_runs(text: str, where: str) -> list[int]:
    """Return the run lengths of COCO's compressed form.

    A character holds five bits of a number, the lowest first, and whether more follow;
    from the fourth run on, numbers are differences to the run before the last.

    Raises:
        DataError: for a character outside of the code, a number that does not end, or
            one that is too large.
    """
    runs: list[int] = []
    value = chunks = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or chunks == _MAX_CHUNKS:
            raise DataError(
                f"{where}: {text[:40]!r} is no compressed run-length code; the file is "
                "damaged"
            )
        value |= (code & 0x1F) << (5 * chunks)
        chunks += 1
        if code & _MORE:
            continue
        if code & _NEGATIVE:
            value -= 1 << (5 * chunks)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = chunks = 0
    if chunks:
        raise DataError(f"{where}: the run-length code ends in the middle of a number")
    return runs
