"""From turns to rows: medians, ratios, slopes, the table and the JSON file."""

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.cases import Case
from benchmarks.nets import NETS, operations
from benchmarks.race import Entry
from benchmarks.systems import precision

Run = dict[str, Any]


def runs(case: Case, entries: Mapping[str, Entry], device: str) -> list[Run]:
    """The rows of one race, from the entry of each system."""
    return [_run(case, name, entries, device) for name in entries]


def _run(case: Case, name: str, entries: Mapping[str, Entry], device: str) -> Run:
    entry = entries[name]
    median = statistics.median(entry.seconds)
    run: Run = {
        **case._asdict(),
        "system": name,
        "seconds_median": median,
        "seconds_min": min(entry.seconds),
        "peak_mib": entry.peak["device"] or entry.peak["process"],
        "ratio_to_torch": paired_ratio(entry.paired, entry.seconds),
        "ratio_to": {
            other: paired_ratio(entries[other].seconds, entry.seconds)
            for other in entries
            if other != name and len(entries[other].seconds) == len(entry.seconds)
        },
        "seconds_max": max(entry.seconds),
        "spread": (max(entry.seconds) - min(entry.seconds)) / median,
        "seconds_all": entry.seconds,
        "first_call_seconds": entry.first_call,
        "peak_process_mib": entry.peak["process"],
        "peak_steps_mib": entry.peak["device"] or entry.peak["steps"],
        "agreement": entry.agreement,
        "dtype": precision(name, device),
    }
    if case.task == "input":
        return {**run, "images_per_second": 1 / median}
    work = operations(NETS[case.net], case.height, case.width, case.batch, case.task)
    return {**run, "nominal_operations": work}


def with_shares(rows: Sequence[Run], peaks: Mapping[str, float]) -> list[Run]:
    """Rows with the share that nominal operations are of the machine's rate.

    Above 1 is possible: an algorithm may compute the same with fewer operations.

    Args:
        rows: from `runs`.
        peaks: operations a second of matrix products, by dtype.
    """
    found = []
    for row in rows:
        peak = peaks.get(row["dtype"], peaks.get("float32"))
        if peak and "nominal_operations" in row:
            rate = row["nominal_operations"] / row["seconds_median"]
            row = {**row, "share_of_peak": rate / peak}
        found.append(row)
    return found


def paired_ratio(
    reference: Sequence[float] | None, seconds: Sequence[float]
) -> float | None:
    """Median over rounds of reference seconds / system seconds; above 1 is faster."""
    if reference is None:
        return None
    return statistics.median(
        theirs / ours for theirs, ours in zip(reference, seconds, strict=True)
    )


def slopes(rows: Sequence[Run]) -> list[Run]:
    """Straight lines through seconds and MiB, against area and against batch.

    MiB are those of the steps: what compiling needs hardly depends on the size. A line
    needs two image sizes at one batch, or two batches at one size. Areas are megapixels
    of an image; "deviation" is the largest relative distance of a point from the line.
    """
    lines = []
    for against, fixed in (("megapixels", ["batch"]), ("batch", ["height", "width"])):
        keys = ["task", "net", "system", *fixed]

        def key(row: Run, keys: list[str] = keys) -> tuple[Any, ...]:
            return tuple(row[name] for name in keys)

        for own, group in groupby(sorted(rows, key=key), key):
            points = list(group)
            x = [_along(row, against) for row in points]
            if len(set(x)) < 2 or points[0]["task"] == "input":
                continue
            line = {**dict(zip(keys, own, strict=True)), "against": against}
            for quantity in ("seconds_median", "peak_steps_mib"):
                line[quantity] = _line(x, [row[quantity] for row in points])
            lines.append(line)
    return lines


def _along(row: Run, against: str) -> float:
    if against == "batch":
        return row["batch"]
    return row["height"] * row["width"] / 1e6


def _line(x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """Least squares."""
    slope, intercept = np.polyfit(np.asarray(x, float), np.asarray(y, float), 1)
    fitted = slope * np.asarray(x) + intercept
    deviation = np.abs(fitted / np.asarray(y) - 1).max()
    return {
        "slope": float(slope),
        "intercept": float(intercept),
        "deviation": float(deviation),
    }


def print_table(rows: Sequence[Run], reference: str) -> None:
    """All rows on standard output, a section a race."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    table = Table(show_edge=False)
    table.add_column("task, net, size, batch", no_wrap=True)
    table.add_column("system")
    for title in ("median s", "min", "max", f"x {reference}", "of peak"):
        table.add_column(title, justify="right")
    for title in ("MiB of steps", "of process", "first call s"):
        table.add_column(title, justify="right")
    table.add_column("largest error")
    last = None
    for row in rows:
        case = str(Case(*(row[key] for key in Case._fields)))
        if last not in (None, case):
            table.add_section()
        table.add_row("" if case == last else case, *_cells(row))
        last = case
    console.print(table)


def _cells(row: Run) -> list[str]:
    ratio, share = row["ratio_to_torch"], row.get("share_of_peak")
    errors = row["agreement"] or {}
    return [
        row["system"],
        *(f"{row[f'seconds_{key}']:.4g}" for key in ("median", "min", "max")),
        "" if ratio is None else f"{ratio:.2f}",
        "" if share is None else f"{share:.0%}",
        *(f"{row[key]:.0f}" for key in ("peak_steps_mib", "peak_mib")),
        f"{row['first_call_seconds']:.1f}",
        ", ".join(f"{kind} {value:.0e}" for kind, value in errors.items()),
    ]


def print_slopes(lines: Sequence[Run]) -> None:
    """One sentence a line."""
    for line in lines:
        seconds, mib = line["seconds_median"], line["peak_steps_mib"]
        unit = "megapixel" if line["against"] == "megapixels" else "image"
        fixed = (
            f"batch {line['batch']}"
            if "batch" in line
            else f"{line['height']}x{line['width']}"
        )
        print(
            f"{line['task']} {line['net']} {line['system']}, {fixed}: "
            f"{seconds['slope']:.3g} s and {mib['slope']:.0f} MiB a {unit}, "
            f"{seconds['intercept']:.3g} s and {mib['intercept']:.0f} MiB at none; "
            f"off the lines by at most {seconds['deviation']:.0%} and "
            f"{mib['deviation']:.0%}"
        )


def write(file: Path, record: Mapping[str, Any]) -> None:
    """Write the JSON file whole or not at all."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
