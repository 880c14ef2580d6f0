"""Importing and checking data sets, preparing published ones, and their statistics.

python -m fcn_jax.data import SOURCE TARGET [--map=0:background,255:object]
python -m fcn_jax.data prepare camvid --source=DIR [--lists=DIR] [--data_dir=DIR]
python -m fcn_jax.data check camvid [--split=val] [--data_dir=DIR]
python -m fcn_jax.data check --folder=DIR
python -m fcn_jax.data stats camvid [--split=train] [--data_dir=DIR] [--output=DIR]
python -m fcn_jax.data stats --folder=DIR
python -m fcn_jax.data bounds camvid [--split=val] [--factors=32,16,8]
python -m fcn_jax.data bounds --labels=DIR
python -m fcn_jax.data mosaics DIR TARGET [--train=100] [--val=100] [--side=240]

`check` and `import` end with status 0 where nothing is wrong with the data, 1 where something is.
"""

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress

from fcn_jax.data.categories import pixel_classes
from fcn_jax.data.examples import Source, spread
from fcn_jax.data.importing.command import add_import, run_import
from fcn_jax.data.sources import PREPARED
from fcn_jax.data.sources.catalog import open_source, published
from fcn_jax.data.sources.image_folder import is_image_folder
from fcn_jax.data.sources.prepared import prepared_root, recorded_counts
from fcn_jax.data.sources.synthetic import SPLITS, SyntheticSpec
from fcn_jax.data.tools import scan
from fcn_jax.data.tools.check import check_folder, print_report
from fcn_jax.data.tools.check_images import check_images, print_images
from fcn_jax.data.tools.check_splits import check_splits, print_splits
from fcn_jax.data.tools.mosaics import add_mosaics, run_mosaics
from fcn_jax.data.tools.statistics import measure
from fcn_jax.data.tools.statistics_tables import print_statistics
from fcn_jax.data.tools.upper_bounds import add_bounds, print_bounds, run_bounds
from fcn_jax.runtime import atomic, terminal
from fcn_jax.runtime.cli import Parser, run, set_up_logging
from fcn_jax.runtime.locations import located

EXIT_PROBLEMS = 1

# The procedural data set of the configuration that experiments start from.
SYNTHETIC = SyntheticSpec(
    num_classes=6,
    num_train=2000,
    num_val=64,
    min_size=(64, 64),
    max_size=(96, 96),
    seed=0,
)


def main(argv: list[str]) -> int:
    """Run a command and return its exit status.

    Args:
        argv: the command and its flags.

    Raises:
        ValueError: for wrong usage, a missing directory, a data set that is not
            prepared, or a source that is not as published.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    set_up_logging()
    if arguments.command == "prepare":
        return _prepare(arguments)
    if arguments.command == "import":
        return 0 if run_import(arguments, _progress) else EXIT_PROBLEMS
    if arguments.command == "mosaics":
        print(run_mosaics(arguments, _progress))
        return 0
    if arguments.command == "bounds":
        return _bounds(arguments, parser)
    if bool(arguments.name) == bool(arguments.folder):
        parser.error(f"{arguments.command} needs either a data set's name or --folder")
    return _check(arguments) if arguments.command == "check" else _stats(arguments)


def _prepare(arguments: argparse.Namespace) -> int:
    # TFDS takes a second to import, which `check` should not pay.
    from fcn_jax.data.builders.dataset import prepare

    with _progress(arguments.name) as report:
        sentence = prepare(
            published(arguments.name),
            source=arguments.source,
            lists=arguments.lists,
            data_dir=arguments.data_dir,
            report=report,
        )
    print(sentence)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    name = arguments.name
    if arguments.folder:
        if arguments.split:
            raise ValueError("check --folder reads all splits; leave --split out")
        root = Path(located(arguments.folder))
        if is_image_folder(root):
            with _progress(arguments.folder) as report:
                images = check_images(root, report)
            print_images(images, terminal.console())
            return EXIT_PROBLEMS if images.problems else 0
        with _progress(arguments.folder) as report:
            found = check_folder(arguments.folder, report)
        print_report(found, terminal.console())
        return EXIT_PROBLEMS if found.problems else 0
    counts = published(name).counts if name in PREPARED else {}
    wanted = arguments.split or _splits(name, arguments.data_dir)
    sources = {split: _open(arguments, split) for split in wanted}
    with _progress(name) as report:
        found = check_splits(sources, counts, report)
    print_splits(found, terminal.console())
    return EXIT_PROBLEMS if found.problems else 0


def _splits(name: str, data_dir: str) -> tuple[str, ...]:
    """The splits of a data set, those published first."""
    if name == "synthetic":
        return SPLITS
    dataset = published(name)
    directory = prepared_root(data_dir) / name / dataset.version
    if not directory.is_dir():
        return tuple(dataset.counts)  # opening the first says what to do
    there = recorded_counts(directory)
    return tuple(sorted(there, key=[*dataset.counts, *there].index))


def _stats(arguments: argparse.Namespace) -> int:
    for flag in ("limit", "pictures"):
        if getattr(arguments, flag) < 0:
            raise ValueError(
                f"--{flag} is {getattr(arguments, flag)}; it must be at least 0"
            )
    source = _open(arguments, arguments.split)
    title = f"{arguments.name or arguments.folder}, split {arguments.split}"
    indices = spread(len(source), arguments.limit or len(source))
    with _progress(title) as report:
        statistics = measure(source, indices, report)
    if arguments.output:
        output = Path(arguments.output)
        output.mkdir(parents=True, exist_ok=True)
        record = {
            "data": arguments.name or "folder",
            "split": arguments.split,
            **statistics.to_dict(),
        }
        content = json.dumps(record, indent=2) + "\n"
        atomic.write(output / "stats.json", content.encode())
        if arguments.pictures:
            _draw_sheet(source, title, arguments.pictures, output / "sheet.png")
    print_statistics(statistics, arguments.split, title, terminal.console())
    return 0


def _bounds(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    given = [arguments.name or "", arguments.folder, arguments.labels]
    if sum(map(bool, given)) != 1:
        parser.error("bounds needs one of a data set's name, --folder and --labels")
    source = None if arguments.labels else _open(arguments, arguments.split)
    split = "" if source is None else f", split {arguments.split}"
    title = f"{''.join(given)}{split}"
    with _progress(title) as report:
        found = run_bounds(arguments, source, report)
    print_bounds(found, title, terminal.console())
    return 0


def _draw_sheet(source: Source, title: str, wanted: int, path: Path) -> None:
    from PIL import Image

    from fcn_jax.report.sheet import contact_sheet

    indices = spread(len(source), wanted)
    examples = [source[index] for index in indices]
    sheet = contact_sheet(
        [(own.name, own.inputs, own.labels) for own in examples],
        pixel_classes(source.outputs, "a sheet of label maps"),
        title=f"{title}: {len(indices)} of {len(source)} images",
    )
    Image.fromarray(sheet).save(path)


def _open(arguments: argparse.Namespace, split: str) -> Source:
    return open_source(
        arguments.name or "folder",
        split,
        folder=arguments.folder,
        data_dir=arguments.data_dir,
        synthetic=SYNTHETIC,
    )


@contextlib.contextmanager
def _progress(title: str) -> Iterator[scan.Progress]:
    """A bar on a terminal, on standard error; nothing elsewhere."""
    console = terminal.console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(title), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m fcn_jax.data", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    add_import(commands)
    prepare = commands.add_parser("prepare", help="write a data set as array_record")
    prepare.add_argument("name", choices=PREPARED, help="the data set")
    prepare.add_argument("--source", required=True, help="its published tree")
    prepare.add_argument(
        "--lists", default="", help="directory of split lists; the source if empty"
    )
    check = commands.add_parser("check", help="read every example of a data set")
    _add_choice(check)
    check.add_argument(
        "--split", action="append", help="one of its splits, may be repeated; else all"
    )
    stats = commands.add_parser("stats", help="count what a split consists of")
    _add_choice(stats)
    _add_extent(stats)
    bounds = add_bounds(commands)
    _add_choice(bounds)
    add_mosaics(commands)
    for command in (prepare, check, stats, bounds):
        command.add_argument(
            "--data_dir",
            default="",
            help="of prepared data; else $TFDS_DATA_DIR, else ~/tensorflow_datasets",
        )
    return parser


def _add_choice(command: argparse.ArgumentParser) -> None:
    """Flags that say which data set is read."""
    names = ("synthetic", *PREPARED)
    command.add_argument(
        "name", nargs="?", choices=names, help="the data set, if it is no folder"
    )
    command.add_argument(
        "--folder",
        default="",
        help="has images/, labels/ and classes.txt, or train/<class>/* (`check` alone)",
    )


def _add_extent(stats: argparse.ArgumentParser) -> None:
    """Flags that say how much is read and written."""
    stats.add_argument("--split", default="train", help="one of its splits")
    stats.add_argument(
        "--output", default="", help="directory for stats.json and sheet.png"
    )
    stats.add_argument(
        "--limit",
        type=int,
        default=0,
        help="read only so many images, spread over the split; 0 is all",
    )
    stats.add_argument(
        "--pictures", type=int, default=12, help="how many sheet.png shows; 0 is none"
    )


if __name__ == "__main__":
    run(main)
