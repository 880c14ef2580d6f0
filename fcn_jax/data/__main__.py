"""Preparing published data sets and checking one's own.

python -m fcn_jax.data prepare camvid --source=DIR [--data_dir=DIR]
python -m fcn_jax.data check --folder=DIR

`check` ends with status 0 where nothing is wrong with the data, 1 where something is.
"""

import argparse

from rich.console import Console

from fcn_jax.data.check import check_folder, print_report
from fcn_jax.program import Parser, run, set_up_logging

PREPARABLE = ("camvid",)
EXIT_PROBLEMS = 1


def main(argv: list[str]) -> int:
    """Runs a command and returns its exit status.

    Args:
      argv: the command and its flags.

    Raises:
      ValueError: for wrong usage, a missing directory, or a source that is not as
        published.
    """
    arguments = _parser().parse_args(argv)
    set_up_logging()
    if arguments.command == "prepare":
        # TFDS takes a second to import, which `check` should not pay.
        from fcn_jax.data.builders.camvid import prepare_camvid

        print(prepare_camvid(source=arguments.source, data_dir=arguments.data_dir))
        return 0
    report = check_folder(arguments.folder)
    print_report(report, Console())
    return EXIT_PROBLEMS if report.problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m fcn_jax.data", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="write a data set as array_record")
    prepare.add_argument("name", choices=PREPARABLE, help="the data set")
    prepare.add_argument("--source", required=True, help="its published tree")
    prepare.add_argument(
        "--data_dir",
        default="",
        help="where to write; else $TFDS_DATA_DIR, else ~/tensorflow_datasets",
    )
    check = commands.add_parser("check", help="read every pair of a folder data set")
    check.add_argument("--folder", required=True, help="has images/ and labels/")
    return parser


if __name__ == "__main__":
    run(main)
