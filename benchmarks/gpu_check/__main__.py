"""The check of a GPU machine that starts bare and has no network.

    python -m benchmarks.gpu_check prepare [--camvid=DIR] [--images=DIR]   here: what is carried
    bash benchmarks/gpu_check/run.sh --out=DIR               there: every stage
    python -m benchmarks.gpu_check dry --out=DIR             here: the same, small, on a CPU
    python -m benchmarks.gpu_check publish DIR/record.json   here: into the README

`run`, called again with the results of an earlier call in --out, measures what is
missing.
"""

import argparse
import json
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gpu_check import prepare, record, runner, table
from benchmarks.gpu_check.journal import Journal
from benchmarks.gpu_check.scale import FILES
from fcn_jax.runtime.cli import Parser, run

LIMIT = 560
"""Seconds of a call: a command on such a machine may take ten minutes."""
DRY_LIMIT = 1800
MOST_MIB = 64
"""Of what may travel: the working tree and what is carried."""


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return options.command(options)


def _prepare(options: argparse.Namespace) -> int:
    prepare.download_wheels(FILES / "wheels", options.packages, options.python)
    if options.camvid:
        prepare.pack_camvid(Path(options.camvid), FILES / "camvid")
    if options.images:
        prepare.pack_images(Path(options.images), FILES / "images")
    size = prepare.mebibytes(FILES)
    print(f"{FILES} has {size:.0f} MiB; with the working tree at most {MOST_MIB}")
    return 0


def _run(options: argparse.Namespace) -> int:
    """Every stage on the GPU, or small ones on the CPU; status 1 if a row failed."""
    chosen = options.stages.split(",") if options.stages else runner.stage_names()
    stages = [_stage(name) for name in chosen]
    context = runner.make_context(options.out, options.work, options.dry)
    runner.run_stages(context, stages, limit=options.limit, retry=options.retry)
    found = record.build(Journal(context.out).entries())
    print(table.render(found))
    failures = record.failures(found)
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures else 0


def _measure(options: argparse.Namespace) -> int:
    context = runner.make_context(options.out, options.work, options.dry)
    runner.measure_rows(_stage(options.name), context, retry=options.retry)
    return 0


def _plain(options: argparse.Namespace) -> int:
    from benchmarks.gpu_check.correctness import write_plain

    context = runner.make_context(options.out, options.work, options.dry)
    write_plain({"task": options.task, "net": options.net}, context)
    return 0


def _publish(options: argparse.Namespace) -> int:
    for file in options.records:
        stored = table.store(json.loads(Path(file).read_text()))
        print(f"stored as {stored}")
    table.write_readme()
    return 0


def _stage(name: str) -> Any:
    for stage in runner.STAGES:
        if stage.name == name:
            return stage
    known = ", ".join(runner.stage_names())
    raise ValueError(f"there is no stage {name!r}; the stages are {known}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_prepare(commands)
    for name, sentence in (
        ("run", "run every stage on the GPU"),
        ("dry", "run every stage on the CPU, with a narrow net"),
        ("stage", "run one stage in this process"),
        ("plain", "compute the plain form of the correctness stage"),
    ):
        _add_run(commands.add_parser(name, help=sentence), name)
    publish = commands.add_parser("publish", help="write records into the README")
    publish.add_argument("records", nargs="*", help="record.json of a run; may be none")
    publish.set_defaults(command=_publish)
    return parser


def _add_prepare(commands: Any) -> None:
    command = commands.add_parser("prepare", help="download and pack what is carried")
    command.add_argument("--camvid", default="", help="CamVid as published, packed")
    command.add_argument(
        "--images",
        default="",
        help="train/<class>/, val/<class>/ of a classifier, packed",
    )
    command.add_argument("--python", default="3.12", help="Python of the machine")
    command.add_argument(
        "--packages",
        nargs="+",
        default=prepare.LACKING,
        help=f"that the machine lacks; else {', '.join(prepare.LACKING)}",
    )
    command.set_defaults(command=_prepare)


def _add_run(command: argparse.ArgumentParser, name: str) -> None:
    kept = Path(tempfile.gettempdir()) / f"fcn_jax_gpu_check_{os.getuid()}"
    command.add_argument(
        "--out", required=True, help="folder of results; goes on where there are some"
    )
    command.add_argument("--work", default=str(kept), help="folder of large files")
    command.add_argument(
        "--retry", action="store_true", help="measure again what failed"
    )
    if name in ("stage", "plain"):
        command.add_argument("--dry", action="store_true", help="the dry form")
    if name == "stage":
        command.add_argument("name", help=", ".join(runner.stage_names()))
        command.set_defaults(command=_measure)
    elif name == "plain":
        command.add_argument("task", choices=("train", "inference"))
        command.add_argument("net")
        command.set_defaults(command=_plain)
    else:
        limit = LIMIT if name == "run" else DRY_LIMIT
        command.add_argument("--stages", default="", help="some, with commas; else all")
        command.add_argument(
            "--limit", type=float, default=limit, help="seconds of this call"
        )
        command.set_defaults(command=_run, dry=name == "dry")


if __name__ == "__main__":
    # Ended from outside, it still ends the stage that runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run(main)
