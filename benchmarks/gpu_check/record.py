"""The record of a check: one JSON file with the machine and every row."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import results
from benchmarks.gpu_check.journal import Entry, Journal, rounded
from benchmarks.gpu_check.scale import Context

FILE = "record.json"
Record = dict[str, Any]

ARITHMETIC = {"fcn_jax": "float32", "fcn_jax_tf32": "tf32"}
"""Of the systems whose products are not in bfloat16 on a GPU."""


def write(context: Context, journal: Journal) -> None:
    """Write the record of what is measured so far."""
    results.write(context.out / FILE, build(journal.entries()))


def build(entries: Sequence[Entry]) -> Record:
    """The machine, its peaks, and every row with its stage and what it found.

    Rows with a rate of nominal operations get "share_of_peak", of the fastest product in
    the same arithmetic.
    """
    record: Record = {"machine": {}, "peaks": {}, "rows": []}
    record["peaks"] = peaks(entries)
    for entry in entries:
        if entry.stage == "machine":
            record["machine"] = entry.result
            continue
        row = {"stage": entry.stage, **entry.row, **entry.result}
        share = _share(row, record["peaks"])
        record["rows"].append(row if share is None else {**row, "share_of_peak": share})
    return rounded(record)


def peaks(entries: Sequence[Entry]) -> dict[str, float]:
    """TFLOP/s of the fastest product by dtype, and TB/s of the "copy"."""
    found: dict[str, float] = {}
    for entry in entries:
        if entry.stage == "peaks":
            key = entry.row.get("dtype", "copy")
            value = entry.result.get("tflops", entry.result.get("tb_per_second", 0.0))
            found[key] = max(value, found.get(key, 0.0))
    return {key: value for key, value in found.items() if value}


def failures(record: Record) -> list[str]:
    """One clause for each row that failed, or whose numbers are wrong.

    What a peer computes is shown, but is no failure of the package.
    """
    found = []
    for row in [{"stage": "machine", **record["machine"]}, *record["rows"]]:
        own = not row.get("system", "").startswith("torch")
        told = row.get("error") or "; ".join(row.get("beyond", []) if own else [])
        if told:
            names = ("task", "net", "batch", "system", "what", "library", "dtype")
            which = " ".join(str(row[name]) for name in names if name in row)
            found.append(f"{row['stage']} {which}: {told}")
    return found


def _share(row: Mapping[str, Any], rates: Mapping[str, float]) -> float | None:
    peak = rates.get(ARITHMETIC.get(row.get("system", ""), "bfloat16"))
    if not peak or "nominal_tflops" not in row:
        return None
    return float(row["nominal_tflops"]) / peak
