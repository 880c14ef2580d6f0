"""The committed record of a target: written, read, and compared with what is compiled now."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compiled.cases import Case
from fcn_jax.planning.kernels import CONVOLUTIONS, SWAPPED
from fcn_jax.planning.targets import TARGETS
from fcn_jax.runtime import plain_json
from fcn_jax.runtime.atomic import write

FOLDER = Path(__file__).parent
TOLERANCE = 0.05
SIZES = (
    ("kernels", 2, ""),
    ("other_bytes", 1e6, "bytes outside convolutions and products"),
    ("temporary_memory", 1e6, "bytes of temporary memory"),
    ("peak_memory", 1e6, "bytes of peak memory"),
)
"""Counts that may grow by `TOLERANCE`, or by the second number where that is more."""
NEVER_MORE = ("scatter", "sort", "gather", "callback")
Counts = Mapping[str, Any]


def path(target: str, folder: Path = FOLDER) -> Path:
    """Return the file of a target."""
    return folder / f"{target}.json"


def load(target: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Return the record of a target; one without cases where there is none.

    Raises:
        ValueError: if the file is damaged.
    """
    file = path(target, folder)
    if not file.exists():
        return {"target": target, "cases": {}}
    return plain_json.parse(file.read_bytes(), str(file))


def store(
    target: str,
    found: Mapping[str, Counts],
    versions: Mapping[str, str],
    folder: Path = FOLDER,
) -> None:
    """Write new counts over those of the same cases.

    Others stay, unless other versions compiled them.

    Args:
        target: name of the machine.
        found: counts by case.
        versions: of the packages that compiled them.
        folder: of the records.
    """
    own, stored = TARGETS[target], load(target, folder)
    kept = stored["cases"] if stored.get("versions") == dict(versions) else {}
    record = {
        "target": target,
        "device": own.device,
        "rates": {**own.matrix, "bytes": own.bandwidth},
        "versions": dict(versions),
        "cases": {**kept, **found},
    }
    text = json.dumps(record, indent=1) + "\n"
    write(path(target, folder), text.encode())


def worsenings(case: str, before: Counts, now: Counts) -> Iterator[str]:
    """Return a sentence for each count of a case that is worse than recorded."""
    for name, slack, words in SIZES:
        limit = before[name] + max(TOLERANCE * before[name], slack)
        if now[name] > limit:
            grown = now[name] / max(before[name], 1) - 1
            yield (
                f"{case}: {words or name}: {now[name]:,}, was {before[name]:,} "
                f"({grown:+.1%})"
            )
    for name in NEVER_MORE:
        if now[name] > before[name]:
            yield f"{case}: {name}: {now[name]}, was {before[name]}"
    swapped = [counts["calls"][SWAPPED]["calls"] for counts in (before, now)]
    if swapped[1] > swapped[0]:
        yield f"{case}: convolutions in the swapped form: {swapped[1]}, was {swapped[0]}"
    yield from _collectives(case, before["collectives"], now["collectives"])


def _collectives(case: str, before: Counts, now: Counts) -> Iterator[str]:
    for name, own in now.items():
        was = before.get(name, {"bytes": 0})["bytes"]
        if own["bytes"] > was + max(TOLERANCE * was, 1e6):
            yield f"{case}: bytes of {name}: {own['bytes']:,}, was {was:,}"


def table(rows: Mapping[str, Counts]) -> list[str]:
    """Return the counts as the lines of a Markdown table."""
    head = (
        *("case", "kernels", "swapped", "convolution TFLOP", "definition TFLOP"),
        *("parameter transposes", "other GB", "temporary GB", "peak GB"),
        *("scatter, sort", "estimated ms"),
    )
    lines = [_row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for name, own in rows.items():
        work = sum(own["calls"][kind]["operations"] for kind in CONVOLUTIONS)
        cells = (
            *(name, str(own["kernels"]), str(own["calls"][SWAPPED]["calls"])),
            *(f"{work / 1e12:.2f}" if work else "", f"{own['operations'] / 1e12:.2f}"),
            f"{own['bytes']['parameter transposes'] / 1e9:.2f}",
            f"{own['other_bytes'] / 1e9:.2f}",
            *(
                f"{own['temporary_memory'] / 1e9:.2f}",
                f"{own['peak_memory'] / 1e9:.2f}",
            ),
            f"{own['scatter']}, {own['sort']}",
            f"{own['estimated_seconds'] * 1e3:.2f}",
        )
        lines.append(_row(cells))
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def chosen(cases: Sequence[Case], only: str) -> list[Case]:
    """Return the cases that some texts name, whole or by a part; all without any.

    Args:
        cases: of a target.
        only: texts, separated by commas.

    Raises:
        ValueError: if a text names no case.
    """
    if not only:
        return list(cases)
    found: list[Case] = []
    for text in only.split(","):
        named = [case for case in cases if text == str(case)]
        named = named or [case for case in cases if text in str(case)]
        if not named:
            names = "; ".join(map(str, cases))
            raise ValueError(f"--only={text} names none of the cases: {names}")
        found += [case for case in named if case not in found]
    return found
