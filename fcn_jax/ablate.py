"""Run a chain of experiments over several seeds, and compare their scores.

Example: python -m fcn_jax.ablate --config=experiments/chains/transfer.py:camvid

A chain is a file with get_chain(): stages, each an experiment with its seeds, which may
start from the networks of another stage. Every run is a process of its own, in
DIR/<stage>/seed<k>. The same command again continues: a finished run is not repeated. A
run that fails is reported, and those that do not need it go on; the exit status is 1
then. The end is a table of means with intervals over seeds, on standard output and in
DIR/table.md, all numbers in DIR/results.json and curves in DIR/curves.png.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fcn_jax.chains.chain_file import find_chain, load_chain
from fcn_jax.chains.report import write_report
from fcn_jax.chains.running import described, run_all
from fcn_jax.chains.runs import Run, plan
from fcn_jax.launch.experiment_files import ExperimentFile
from fcn_jax.launch.run_name import RUNS, run_name
from fcn_jax.runs import lock
from fcn_jax.runtime.cli import Parser, Stopped, printing, run, set_up_logging
from fcn_jax.runtime.locations import located
from fcn_jax.runtime.messages import RunError, error_sentence


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    seeds = _seeds(options.seeds)
    arms = _names(options.arms, "--arms")
    if options.jobs < 1:
        raise ValueError(f"--jobs is {options.jobs}; it must be 1 or more")
    set_up_logging()
    found = find_chain(options.config)
    chain = load_chain(found)
    directory = _directory(options.workdir, found)
    runs = plan(chain, directory, arms, seeds)
    if options.dry_run:
        with printing():
            print(described(runs))
        return 0
    failures, stopped = {}, None
    if not options.report:
        failures, stopped = _run(runs, directory, options.jobs)
    elif not directory.is_dir():
        raise ValueError(
            f"{directory} is not there, so there is nothing to report; run the chain "
            "first, or give its --workdir"
        )
    asked = {own.stage.name for own in runs}
    everything = plan(chain, directory, (), seeds)
    text = write_report(chain, everything, asked, directory, failures)
    with printing():
        print(text, end="")
    if stopped is not None:
        raise stopped
    return 1 if failures else 0


def _run(
    runs: Sequence[Run], directory: Path, jobs: int
) -> tuple[dict[str, str], Stopped | None]:
    """Make all runs; return why some failed, and what a signal ended them with."""
    failures: dict[str, str] = {}
    held = _hold(directory)
    try:
        run_all(runs, directory, failures, jobs)
    except Stopped as stopped:
        return failures, stopped
    finally:
        held.close()
    return failures, None


def _parser() -> Parser:
    parser = Parser(
        prog="python -m fcn_jax.ablate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--config",
        required=True,
        metavar="CHAIN",
        help="a file, experiments/chains/NAME.py, or the NAME of a chain of the "
        "package; either with :ARGUMENT",
    )
    add("--workdir", metavar="DIR", help="of the chain; runs/<chain> if left out")
    add(
        "--arms",
        metavar="A,B",
        help="these stages alone, and those that they start from; patterns with * too",
    )
    add(
        "--seeds",
        metavar="0,1,2",
        help="in place of the seeds of every stage that has several",
    )
    add(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="runs at a time on a CPU, each on its share of the cores where there are "
        "enough; 1 if left out",
    )
    add(
        "--dry-run",
        action="store_true",
        help="run and write nothing; say how far each run is and what is left",
    )
    add(
        "--report",
        action="store_true",
        help="run nothing; make table and curves of what is finished, also while the "
        "chain runs",
    )
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _names(text: str | None, flag: str) -> tuple[str, ...]:
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise ValueError(f"{flag} is {text!r}; give names with commas between them")
    return names


def _seeds(text: str | None) -> tuple[int, ...]:
    names = _names(text, "--seeds")
    whole = all(name.isascii() and name.isdecimal() for name in names)
    seeds = tuple(int(name) for name in names) if whole else ()
    if not whole or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"--seeds is {text!r}; give different whole numbers, as --seeds=0,1,2"
        )
    return seeds


def _directory(workdir: str | None, found: ExperimentFile) -> Path:
    if workdir == "":
        raise ValueError(
            "--workdir is given and empty; give it a value, or leave it out"
        )
    return Path(located(workdir) if workdir else RUNS / run_name(found)).absolute()


def _hold(directory: Path) -> lock.Lock:
    """Lock the directory of the chain; it is created where it is missing."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return lock.hold(directory / "lock")
    except lock.Held as holder:
        raise RunError(
            f"the chain in {directory} is run by {holder}; wait for it, stop it, or "
            "give another --workdir"
        ) from holder
    except OSError as error:
        raise ValueError(
            f"the directory {directory} cannot be written ({error_sentence(error)}); "
            "give another --workdir"
        ) from error


if __name__ == "__main__":
    run(main)
