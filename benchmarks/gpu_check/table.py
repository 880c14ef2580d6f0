"""Records of GPUs as Markdown, and their place in benchmarks/README.md."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.gpu_check.record import Record

FOLDER = Path(__file__).resolve().parents[1] / "gpu"
README = FOLDER.with_name("README.md")
BEGIN = "<!-- records of benchmarks/gpu, written by `benchmarks.gpu_check publish` -->"
END = "<!-- end of the records -->"
NONE = "No GPU has been measured yet."

SYSTEMS = ("fcn_jax_bf16", "torch", "torch_compile", "fcn_jax", "fcn_jax_tf32")
HEADER = (
    "| task | net | images | ms | images/s | of peak | GiB | eager ms | x | "
    "compiled ms | x | float32 ms | TF32 ms |"
)
VERSIONS = ("jax", "jaxlib", "flax", "torch")
PEAKS = {"bfloat16": "bfloat16", "tf32": "TF32", "float32": "float32"}


def store(record: Record) -> Path:
    """Write a record as benchmarks/gpu/<card>.json, over an older one of that card.

    Args:
        record: of a run on a GPU.

    Raises:
        ValueError: for a record of the dry form.
    """
    card = record["machine"].get("card", "")
    if not card:
        raise ValueError(
            "the record names no card: it is of the dry form, or cut short"
        )
    FOLDER.mkdir(exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "_", card.lower()).strip("_")
    file = FOLDER / f"{name}.json"
    results.write(file, record)
    return file


def write_readme() -> None:
    """Put the records of benchmarks/gpu between the marks of the README."""
    README.write_text(with_records(README.read_text(), stored_records()))


def stored_records() -> list[Record]:
    """Records of benchmarks/gpu, by card."""
    import json

    return [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]


def with_records(page: str, records: Sequence[Record]) -> str:
    """The page with these records between its marks.

    Raises:
        ValueError: if the page lacks a mark.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README} lacks the mark {BEGIN if not begin else END}")
    shown = "\n\n".join(map(render, records)) if records else NONE
    return f"{before}{begin}\n\n{shown}\n\n{end}{after}"


def render(record: Record) -> str:
    """A record as Markdown: a heading, the machine, the races, then everything else."""
    machine = record["machine"]
    heading = f"### {machine.get('card') or machine.get('processor', 'no machine')}"
    rows = [
        row for row in record["rows"] if "error" not in row and "skipped" not in row
    ]
    parts = [heading, _about(machine), *_races(rows), *_lists(record, rows)]
    return "\n\n".join(part for part in parts if part)


def _about(machine: Mapping[str, Any]) -> str:
    versions = machine.get("versions", {})
    told = [f"Measured on {machine.get('date', 'an unknown date')}"]
    if "driver_version" in machine:
        told.append(f"driver {machine['driver_version']}, {machine['memory.total']}")
    told.append(f"Python {machine.get('python', '?')}")
    told += [f"{name} {versions[name]}" for name in VERSIONS if name in versions]
    told.append(f"{machine.get('threads', '?')} cores of {machine.get('processor')}")
    return ", ".join(told) + "."


def _races(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The table: a line for each task, net and batch."""
    cases: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("system") in SYSTEMS and "ms" in row and row["stage"] != "frame":
            key = row["task"], row["net"], row["batch"]
            cases.setdefault(key, {})[row["system"]] = row
    if not cases:
        return []
    lines = [HEADER, "|" + "---|" * (HEADER.count("|") - 1)]
    for (task, net, batch), found in cases.items():
        name = "update" if task == "train" else "scores"
        cells = [name, net, str(batch), *_own(found.get(SYSTEMS[0]))]
        for peer in ("torch", "torch_compile"):
            cells += _peer(found.get(SYSTEMS[0]), found.get(peer))
        cells += [_number(found.get(other), "ms") for other in SYSTEMS[3:]]
        lines.append(f"| {' | '.join(cells)} |")
    return ["\n".join(lines)]


def _own(row: Mapping[str, Any] | None) -> list[str]:
    gib = row and row.get("peak_mib") and row["peak_mib"] / 1024
    return [
        _number(row, "ms"),
        _number(row, "images_per_second"),
        _number(row, "share_of_peak"),
        f"{gib:.1f}" if gib else "",
    ]


def _peer(own: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> list[str]:
    if other is None:
        return ["", ""]
    return [
        _number(other, "ms"),
        f"{float(other['ms']) / float(own['ms']):.2f}" if own else "",
    ]


def _number(row: Mapping[str, Any] | None, key: str) -> str:
    value = None if row is None else row.get(key)
    if value is None or isinstance(value, str):  # one that is not finite is text
        return value or ""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _lists(record: Record, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One list of what is no race."""
    lines = []
    peaks = record["peaks"]
    products = [f"{PEAKS[k]} {v:.3g} TFLOP/s" for k, v in peaks.items() if k in PEAKS]
    if products:
        lines.append(f"Matrix products: {', '.join(products)}.")
    if "copy" in peaks:
        lines.append(f"Copies, read and written counted: {peaks['copy']:.3g} TB/s.")
    by_stage: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_stage.setdefault(row["stage"], []).append(row)
    lines += _frame(by_stage.get("frame", []))
    lines += [_agreement(row) for row in by_stage.get("correctness", [])]
    lines += [_input(row) for row in by_stage.get("input", [])]
    lines += [_training(row) for row in by_stage.get("camvid", [])]
    lines += [_training(row) for row in by_stage.get("trunk", [])]
    lines += _missing(record)
    return ["\n".join(f"- {line}" for line in lines)] if lines else []


def _frame(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    found = {row["frame"]: _number(row, "ms") for row in rows}
    if len(found) < 2:
        return []
    return [
        f"Update of {rows[0]['net']}, {rows[0]['batch']} images: {found[True]} ms with "
        f"the frame, {found[False]} ms with the whole padding computed."
    ]


def _agreement(row: Mapping[str, Any]) -> str:
    errors = ", ".join(f"{k} {float(v):.1e}" for k, v in row["errors"].items())
    verdict = "; ".join(row["beyond"]) or "within the bounds"
    what = "first update" if row["task"] == "train" else "scores"
    return (
        f"{what} of {row['system']}, {row['net']}, beside float32: {errors}; {verdict}."
    )


def _input(row: Mapping[str, Any]) -> str:
    return (
        f"Pictures read by {row['reader']} with {row['threads']} workers: "
        f"{row['images_per_second']:.0f} images/s, "
        f"{row['images_per_second_a_core']:.0f} a core."
    )


def _training(row: Mapping[str, Any]) -> str:
    rate, score = row["images_per_second"], row.get("mean_iu")
    name, tested = "mean IU", ""
    if "top1" in row:
        name, score = "top-1", row["top1"]
    if "test_mean_iu" in row:
        tested = f", {row['test_mean_iu']:.3f} on test"
    start = f", from {row['start']}" if "start" in row else ""
    return (
        f"{row['steps']} updates of `{row['experiment']}` in {row['dtype']}{start}: "
        + (f"{_number(row, 'ms')} ms an update, {rate:.0f} images/s, " if rate else "")
        + f"{row['wait_share']:.0%} of the time waiting for data"
        + ("" if score is None else f"; {name} {score:.3f} on val{tested}")
        + "."
    )


def _missing(record: Record) -> list[str]:
    """What was left out, or failed."""
    lacking = [row for row in record["rows"] if "error" in row or "skipped" in row]
    counts: dict[str, int] = {}
    for row in lacking:
        told = f"{row['stage']}: {row.get('error') or row['skipped']}"
        counts[told] = counts.get(told, 0) + 1
    return [f"Not measured, {key} ({n} rows)." for key, n in counts.items()]
