"""Inspection of a weight file: a table of its arrays and statistics of their values."""

from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fcn_jax.convert.readers.weight_file import WeightFile
from fcn_jax.runtime.cli import no_program, run

_CHUNK = 2**18  # values converted to float64 at a time


@dataclass(frozen=True)
class Statistics:
    """Statistics of the finite values of an array; NaN if it has none.

    Attributes:
        minimum: the smallest value.
        mean: the mean, computed in float64.
        deviation: standard deviation.
        maximum: the largest value.
        non_finite: how many values are NaN or infinite.
    """

    minimum: float
    mean: float
    deviation: float
    maximum: float
    non_finite: int


def statistics(array: np.ndarray) -> Statistics:
    """Compute statistics of a numeric array of any shape, alignment and byte order.

    Makes two passes over pieces of a quarter million values, so that a memory-mapped
    array is not copied.
    """
    count, total, lowest, highest = 0, 0.0, np.inf, -np.inf
    for values in _finite_pieces(array):
        count += values.size
        total += float(values.sum())
        lowest = min(lowest, float(values.min()))
        highest = max(highest, float(values.max()))
    if not count:
        return Statistics(np.nan, np.nan, np.nan, np.nan, array.size)
    mean = total / count
    squares = sum(float(((v - mean) ** 2).sum()) for v in _finite_pieces(array))
    deviation = float(np.sqrt(squares / count))
    return Statistics(lowest, mean, deviation, highest, array.size - count)


def _finite_pieces(array: np.ndarray):
    """Its finite values in float64, piece by piece; no piece is empty."""
    pieces = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_dtypes=[np.float64],
        casting="same_kind",
        buffersize=_CHUNK,
    )
    for piece in pieces:
        values = piece[np.isfinite(piece)]
        if values.size:
            yield values


def print_description(weight_file: WeightFile, console: Console) -> None:
    """Print the file, its format and sums, and a row for each of its arrays."""
    values = sum(array.size for array in weight_file.arrays.values())
    title = f", net {_printable(weight_file.title)}" if weight_file.title else ""
    console.print(
        Text(
            f"{weight_file.path}: {weight_file.format}{title}, {len(weight_file.arrays)} arrays, "
            f"{values:,} values"
        )
    )
    console.print(_table(weight_file))


def _table(weight_file: WeightFile) -> Table:
    table = Table(box=None, padding=(0, 1))
    for column in ("name", "layer") if weight_file.kinds else ("name",):
        table.add_column(column, overflow="fold")
    for column in ("shape", "dtype"):
        table.add_column(column)
    for column in ("min", "mean", "std", "max", "not finite"):
        table.add_column(column, justify="right")
    for name, array in weight_file.arrays.items():
        kind = weight_file.kinds.get(name.rpartition("[")[0], "")
        numbers = statistics(array)
        cells = [
            _printable(name),
            *([_printable(kind)] if weight_file.kinds else []),
            "x".join(str(size) for size in array.shape) or "scalar",
            str(array.dtype),
            *(
                f"{number:.4g}"
                for number in (
                    numbers.minimum,
                    numbers.mean,
                    numbers.deviation,
                    numbers.maximum,
                )
            ),
            str(numbers.non_finite),
        ]
        style = "bold red" if numbers.non_finite else ""
        table.add_row(*(Text(cell) for cell in cells), style=style)
    return table


def _printable(name: str) -> str:
    """A name without control characters of a terminal."""
    return name if name.isprintable() else repr(name)


if __name__ == "__main__":
    run(no_program("python -m fcn_jax.convert inspect FILE"))
