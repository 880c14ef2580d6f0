"""Images a second of the input pipeline, beside torch's DataLoader on the same files.

    python -m benchmarks.reading [--folder=DIR] [--images=200] [--rounds=5] [--readers=2]
        [--out=FILE.json]

Without a folder, pictures of PASCAL VOC's size are drawn: JPEG of quality 90 and about
90 KB, with palette PNG labels. One thread of the package, several threads, as many
processes and as many of torch's processes take turns; all in one process, unlike
`benchmarks.speed`. Images a second a core are images by seconds of processor time, of
the process and its workers: what other programs take away does not count.
"""

import json
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.input_systems import Ours, Torch
from benchmarks.pictures import draw_folder
from benchmarks.processes import turn
from fcn_jax.runtime.cli import Parser, run
from fcn_jax.runtime.processors import usable_cores

CANVAS = (500, 500)
BATCH = 4


def main(arguments: list[str]) -> int:
    """Measure, print and write."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.folder or scratch)
        if not options.folder:
            draw_folder(folder, options.images, CANVAS)
        systems = _systems(folder, options.readers, with_torch=not options.no_torch)
        rates: dict[str, list[float]] = {name: [] for name in systems}
        of_core: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(options.rounds):
            for name, system in systems.items():
                before = processor_seconds()
                rates[name].append(system.images / turn(system, 1))
                of_core[name].append(system.images / (processor_seconds() - before))
    cores, torch = usable_cores(), rates.get("torch")
    rows = [
        row(name, systems[name].readers, rates[name], of_core[name], torch)
        for name in systems
    ]
    print(f"{cores} cores")
    for own in rows:
        print(sentence(own))
    if options.out:
        Path(options.out).write_text(
            json.dumps({"cores": cores, "rows": rows}, indent=1)
        )
    return 0


def _systems(folder: Path, readers: int, *, with_torch: bool) -> dict[str, Any]:
    """The readers by name; `readers` threads or processes, 0 is by machine."""
    threads = Ours(folder, BATCH, CANVAS, threads=readers)
    several = threads.readers
    systems: dict[str, Any] = {
        "1 thread": Ours(folder, BATCH, CANVAS, threads=1),
        "threads": threads,
        "processes": Ours(folder, BATCH, CANVAS, workers=several, threads=1),
    }
    if with_torch:
        systems["torch"] = Torch(folder, BATCH, CANVAS, workers=several)
    return systems


def processor_seconds() -> float:
    """Seconds of processor time of this process, its threads and its workers."""
    own = sum(os.times()[:4])  # with the workers that have ended
    return own + sum(_seconds_of(worker.pid) for worker in _workers())


def _workers() -> list[Any]:
    return multiprocessing.active_children()


def _seconds_of(process: int | None) -> float:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:  # it has just ended
        return 0.0
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def row(
    name: str,
    readers: int,
    rates: Sequence[float],
    of_core: Sequence[float],
    torch: Sequence[float] | None,
) -> dict[str, Any]:
    """What is said of a system.

    Args:
        name: of the system.
        readers: threads or processes that read.
        rates: images a second, in each round.
        of_core: images a second of processor time, in each round.
        torch: images a second of torch in the same rounds, None where it did not run.
    """
    median = statistics.median(rates)
    ratios = [own / other for own, other in zip(rates, torch or rates, strict=True)]
    return {
        "system": name,
        "readers": readers,
        "images_per_second": median,
        "images_per_second_a_core": statistics.median(of_core),
        "images_per_second_all": list(rates),
        "ratio_to_torch": statistics.median(ratios) if torch else None,
    }


def sentence(row: dict[str, Any]) -> str:
    """A row as a line."""
    rates, ratio = row["images_per_second_all"], row["ratio_to_torch"]
    return (
        f"{row['system']:>10} ({row['readers']}): {row['images_per_second']:7.1f} "
        f"images/s, {row['images_per_second_a_core']:6.1f} images/s a core (of "
        f"{len(rates)} rounds {min(rates):.1f} to {max(rates):.1f})"
        + (f", {ratio:.2f} x torch" if ratio is not None else "")
    )


def _parser() -> Parser:
    parser = Parser(prog="python -m benchmarks.reading", description=__doc__)
    add = parser.add_argument
    add("--folder", default="", help="a folder data set of JPEG files")
    add("--images", type=int, default=200, help="pictures that are drawn")
    add("--rounds", type=int, default=5)
    add("--readers", type=int, default=0, help="threads or processes; 0 is by machine")
    add("--no-torch", action="store_true", help="measure the package alone")
    add("--out", default="", help="a JSON file for the rates")
    return parser


if __name__ == "__main__":
    run(main)
