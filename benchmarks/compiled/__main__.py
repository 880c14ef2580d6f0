"""Count what compiled programs do on a machine that is not there.

    python -m benchmarks.compiled --target=h100|v5e [--net=fcn8s] [--task=train,scores]
        [--batch=1,8] [--dtype=bfloat16] [--devices=1] [--size=500] [--padding=same]
        [--sizes] [--rematerialize] [--deterministic] [--tf32] [--keep=DIR] [--out=FILE]
    python -m benchmarks.compiled --target=h100 --check|--update [--only=TEXT]

The real programs of an experiment are compiled ahead of time for an H100 (needs the
package jax[cuda13], no GPU) or a TPU v5e (needs libtpu, no TPU). Kernels, bytes and memory
are facts of the compiled program; milliseconds are estimates at rates that the record
states. `--check` compares with the committed record, and ends with status 1 and a line for
each count that is worse; `--update` writes the record anew, and the tables of
benchmarks/README.md.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compiled import page, record
from benchmarks.compiled.cases import BASELINES, Case
from benchmarks.compiled.compiling import compile_case, versions
from benchmarks.processes import Unavailable, alone
from fcn_jax.planning.kernels import CONVOLUTIONS, OTHERS, PRODUCT, SWAPPED
from fcn_jax.planning.targets import TARGETS, TASKS, missing_package
from fcn_jax.runtime.cli import Parser, run
from fcn_jax.runtime.messages import RunError

WORSE = 1


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    package = missing_package(options.target)
    if package:
        raise RunError(
            f"compiling for {TARGETS[options.target].device} needs the package {package}; "
            f"no device is needed: pip install '{package}'"
        )
    if options.keep:
        Path(options.keep).mkdir(parents=True, exist_ok=True)
    if options.check or options.update:
        cases = record.chosen(BASELINES[options.target], options.only)
    else:
        cases = asked(options)
    found, failed = {}, []
    for case in cases:
        try:
            counts = alone(str(case), compile_case, case, options.target, options.keep)
        except Unavailable as error:
            failed.append(str(error))
            print(f"failed: {error}", file=sys.stderr, flush=True)
            continue
        found[str(case)] = counts
        print("\n".join(described(str(case), counts)), flush=True)
        if options.update:
            record.store(options.target, {str(case): counts}, versions())
            page.write_readme()
    if len(found) > 1:
        print("\n".join(["", *record.table(found)]))
    if options.out:
        Path(options.out).write_text(json.dumps(found, indent=1) + "\n")
    worse = _compared(options.target, found) if options.check else []
    return WORSE if failed or worse else 0


def asked(options: Any) -> list[Case]:
    """Return every combination of tasks, nets, batches and dtypes.

    Raises:
        ValueError: for a task that does not exist, or a number that is none.
    """
    tasks, nets = options.task.split(","), options.net.split(",")
    for task in tasks:
        if task not in TASKS:
            raise ValueError(f"--task names {task!r}; allowed are {', '.join(TASKS)}")
    rows, cross, columns = options.size.partition("x")
    height, width = _whole("size", rows), _whole("size", columns if cross else rows)
    batches = [_whole("batch", text) for text in options.batch.split(",")]
    dtypes = options.dtype.split(",")
    return [
        Case(
            task=task,
            net=net,
            batch=batch,
            dtype=dtype,
            devices=options.devices,
            height=height,
            width=width,
            padding=options.padding,
            sizes=options.sizes,
            rematerialize=options.rematerialize,
            deterministic=options.deterministic,
            tf32=options.tf32,
        )
        for net, dtype, batch, task in itertools.product(nets, dtypes, batches, tasks)
    ]


def described(name: str, counts: record.Counts) -> Sequence[str]:
    """Return the lines that say what one program does."""
    lines = [name]
    for kind in (*CONVOLUTIONS, PRODUCT):
        own = counts["calls"][kind]
        if own["calls"]:
            lines.append(
                f"  {kind:<26} {own['calls']:4d} kernels  {_gb(own['bytes'])}  "
                f"{own['operations'] / 1e12:.3f} TFLOP"
            )
    lines += [f"  {kind:<26}{14 * ' '}{_gb(counts['bytes'][kind])}" for kind in OTHERS]
    for kind, own in counts["collectives"].items():
        lines.append(f"  {kind:<26} {own['calls']:4d} calls    {_gb(own['bytes'])}")
    rare = ", ".join(
        f"{counts[key]} {key}s" for key in ("scatter", "sort", "gather", "callback")
    )
    memory = ", ".join(
        f"{key} {_gb(counts[f'{key}_memory']).strip()}"
        for key in ("arguments", "outputs", "aliased", "temporary", "peak")
    )
    seconds = counts["estimated_seconds"]
    slow = counts["calls"][SWAPPED]["calls"]
    least = "more than " if slow else ""  # the rates are not for that form
    return [
        *lines,
        f"  {counts['kernels']} kernels; {rare}",
        f"  memory: {memory}",
        f"  {counts['operations'] / 1e12:.3f} TFLOP by definition; estimated "
        f"{least}{seconds * 1e3:.2f} ms; compiled in {counts['compile_seconds']} s",
    ]


def _gb(size: float) -> str:
    return f"{size / 1e9:8.3f} GB"


def _compared(target: str, found: dict[str, record.Counts]) -> list[str]:
    """Print what is worse than recorded, and whether other versions were recorded."""
    stored = record.load(target)
    own = versions()
    if stored["cases"] and stored["versions"] != own:
        print(f"recorded with {stored['versions']}; these are {own}")
    worse = []
    for name, counts in found.items():
        if name not in stored["cases"]:
            print(f"not recorded: {name}; --update records it")
            continue
        worse += record.worsenings(name, stored["cases"][name], counts)
    for line in worse:
        print(f"worse: {line}")
    if not worse:
        print(f"{len(found)} programs are no worse than recorded")
    return worse


def _whole(option: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"--{option} has {text!r}; it must be a whole number above 0")
    return int(text)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.compiled",
        description="Count what compiled programs do on a machine that is not there.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--target", required=True, choices=tuple(TARGETS), help="the machine")
    add("--net", default="fcn8s", help="experiments, as fcn8s,fcn_alexnet")
    add("--task", default=",".join(TASKS), help="programs")
    add("--batch", default="1", help="images of a batch, over all devices")
    add("--dtype", default="bfloat16", help="of the trunk: bfloat16, float32")
    add("--devices", type=int, default=1, help="over which images are split")
    add("--size", default="500", help="rows x columns, as 375x500; 500 is square")
    add("--padding", default="", choices=("", "reference", "same"), help="of the trunk")
    add("--sizes", action="store_true", help="images are padded: sizes are given")
    add("--rematerialize", action="store_true", help="compute features again")
    add("--deterministic", action="store_true", help="add in one order")
    add("--tf32", action="store_true", help="round float32 factors to TF32")
    add("--keep", default="", help="directory for the compiled programs' text")
    add("--out", default="", help="JSON file for the counts")
    add("--check", action="store_true", help="compare with the committed record")
    add("--update", action="store_true", help="write the committed record")
    add(
        "--only",
        default="",
        help="of the recorded cases, those with one of these texts",
    )
    return parser


if __name__ == "__main__":
    run(main)
