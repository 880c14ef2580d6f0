"""Weights of other programs, converted, looked into, and given back.

python -m fcn_jax.convert SOURCE TARGET --net=NAME    a file to a checkpoint directory
python -m fcn_jax.convert --list                      files that are known
python -m fcn_jax.convert inspect FILE                what a weight file holds
python -m fcn_jax.convert export CHECKPOINT FILE      a trained FCN for torch
python -m fcn_jax.convert trunk RUN FILE              a trained trunk as one small file
"""

import argparse
import os
from pathlib import Path

from fcn_jax.runtime import terminal
from fcn_jax.runtime.cli import Parser, run, set_up_logging
from fcn_jax.runtime.devices import start_devices
from fcn_jax.runtime.locations import refuse_file
from fcn_jax.runtime.shipped import TRUNK_DTYPES

WIDE = 200
"""Columns of a table that no terminal shows."""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status.

    Raises:
        ValueError: for wrong usage or a file that cannot be used.
    """
    commands = {"inspect": _inspect, "export": _export, "trunk": _trunk}
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    return _convert(arguments)


def _convert(arguments: list[str]) -> int:
    from fcn_jax.convert import manifest

    options = _parser().parse_args(arguments)
    if options.list:
        manifest.print_list(manifest.default_manifest(), terminal.console())
        return 0
    if options.target is None:
        raise ValueError(
            "SOURCE, TARGET and --net=NAME are needed, --net but for a file of export; "
            "`python -m fcn_jax.convert --help` shows the usage, --list the known files"
        )
    _refuse_missing(options.source)
    # Imported late, so that --help, --list and a mistake answer at once: jax takes a
    # second.
    from fcn_jax.convert.target import convert_file
    from fcn_jax.data.folder.class_list import read_class_list

    set_up_logging()
    start_devices()
    report = convert_file(
        options.source,
        options.target,
        net=options.net,
        origin=options.origin,
        allow=[name for name in options.allow.split(",") if name],
        width=options.width,
        classes=(
            read_class_list(Path(options.classes)).classes if options.classes else None
        ),
        rename=[_rule(text) for text in options.rename],
    )
    print("\n".join(report.lines()))
    print(f"{len(report.copied)} arrays written to {options.target}")
    return 0


def _inspect(arguments: list[str]) -> int:
    from fcn_jax.convert.inspect import print_description
    from fcn_jax.convert.readers.open_weights import open_weights

    parser = Parser(
        prog="python -m fcn_jax.convert inspect",
        description="Names, shapes, types and statistics of a weight file.",
    )
    parser.add_argument("file", metavar="FILE", help="any file that can be read")
    console = terminal.console()
    if not console.is_terminal:
        console = terminal.console(width=WIDE)
    print_description(open_weights(parser.parse_args(arguments).file), console)
    return 0


def _export(arguments: list[str]) -> int:
    parser = Parser(
        prog="python -m fcn_jax.convert export",
        description="Write a trained FCN with the names of wkentaro/pytorch-fcn.",
    )
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="work directory or checkpoint"
    )
    parser.add_argument("file", metavar="FILE", help="NAME.safetensors or NAME.pth")
    options = parser.parse_args(arguments)
    _refuse_missing(options.checkpoint)
    refuse_file(options.checkpoint, "CHECKPOINT")
    # Imported late, as above.
    from fcn_jax.convert.export import export_checkpoint

    set_up_logging()
    start_devices()
    print(export_checkpoint(options.checkpoint, options.file))
    return 0


def _trunk(arguments: list[str]) -> int:
    parser = Parser(
        prog="python -m fcn_jax.convert trunk",
        description="Write the trunk of a trained classifier as one small file.",
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="its work directory")
    add("file", metavar="FILE", help="NAME.safetensors")
    add(
        "--leave",
        default="head.*,trunk.loss*",
        metavar="PATTERN,PATTERN",
        help="parameters that are left out (head.*,trunk.loss*)",
    )
    add(
        "--dtype", default="float16", choices=TRUNK_DTYPES, help="of the file (float16)"
    )
    add("--note", default="", help="what was learnt, for those who read the file")
    options = parser.parse_args(arguments)
    _refuse_missing(options.run)
    refuse_file(options.run, "RUN")
    set_up_logging()
    start_devices()
    # Imported late, as above.
    from fcn_jax.checkpoints.trunk_file import write_trunk

    leave = [pattern for pattern in options.leave.split(",") if pattern]
    print(
        write_trunk(
            options.run,
            options.file,
            leave=leave,
            dtype=options.dtype,
            note=options.note,
        )
    )
    return 0


def _rule(text: str) -> tuple[str, str]:
    """PATTERN=REPLACEMENT."""
    pattern, equals, replacement = text.partition("=")
    if not equals or not pattern or not replacement:
        raise ValueError(
            f"--rename={text} is no PATTERN=REPLACEMENT, as in --rename='encoder.*=*'"
        )
    return pattern, replacement


def _refuse_missing(path: str) -> None:
    if not os.path.exists(path):
        raise ValueError(f"there is no {path}; check the path")


def _parser() -> Parser:
    parser = Parser(prog="python -m fcn_jax.convert", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="a weight file")
    parser.add_argument(
        "target", metavar="TARGET", nargs="?", help="directory to make, a checkpoint"
    )
    parser.add_argument(
        "--net",
        default="",
        help="vgg16, voc-fcn8s, ...; see --list; a file of export needs none",
    )
    parser.add_argument(
        "--origin",
        default="",
        help="whose names, layout and colours; else recognised where that can be",
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="PATTERN=REPLACEMENT",
        help="new names of arrays, * for any text, as 'encoder.*=*'; may be repeated",
    )
    parser.add_argument(
        "--allow",
        default="",
        metavar="NAME,NAME",
        help="layers that may be missing, layers or arrays that may be left over",
    )
    parser.add_argument(
        "--width", type=float, help="factor on the channels (default 1)"
    )
    parser.add_argument(
        "--classes", default="", metavar="FILE", help="class names, one a line"
    )
    parser.add_argument("--list", action="store_true", help="print the known files")
    return parser


if __name__ == "__main__":
    run(main)
