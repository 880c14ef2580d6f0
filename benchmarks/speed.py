"""Speed of training, inference, evaluation and input beside other systems.

    python -m benchmarks.speed [--device=cpu|gpu] [--net=fcn8s,...] [--size=500,375x500]
        [--batch=1,2] [--task=train,...] [--systems=...] [--rounds=5] --out=FILE.json

Every system that is installed does the same work with the same weights, which is
checked before it is timed. Each runs in its own process; they take turns, so that the
noise of the machine meets all of them. The table and the JSON file hold medians over
the rounds, and ratios of seconds of the same round: above 1 is faster than torch.
"""

import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import machine, results, systems
from benchmarks.cases import TASKS, Case, Setting, create_weights
from benchmarks.nets import NETS
from benchmarks.processes import alone
from benchmarks.race import Pace, Race
from fcn_jax.runtime.cli import Parser, run

SIZES = ("program", "given", "none")


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    cases = chosen_cases(options)
    names = chosen_systems(options)
    for name in ("rounds", "images", "steps"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} is {value}; at least 1 is needed")
    file = Path(options.out)
    if not file.parent.is_dir() or file.is_dir():
        raise ValueError(f"--out={file} names no file in a folder that exists")
    cache = str(Path(options.cache).absolute()) if options.cache else ""
    setting = Setting(
        options.device, machine.threads(), options.sizes, cache, options.images
    )
    on_gpu = options.device == "gpu"
    pace = Pace(
        options.rounds,
        options.steps or (10 if on_gpu else 1),
        0.05 if on_gpu else 0.2,
    )
    record = _measure(cases, names, setting, pace, file, optional=not options.systems)
    for dtype, rates in record["machine"].get("matrix_product", {}).items():
        told = (f"{name} {rate / 1e9:.0f}" for name, rate in rates.items())
        print(f"matrix product, {dtype}, GFLOP/s: {', '.join(told)}")
    results.print_table(record["runs"], systems.REFERENCE)
    results.print_slopes(record["slopes"])
    return 0


def chosen_cases(options: Any) -> list[Case]:
    """Every combination of tasks, nets, sizes and batches; input has no net.

    Raises:
        ValueError: for a name or a number that cannot be raced.
    """
    nets = _listed("net", options.net, tuple(NETS))
    tasks = _listed("task", options.task, TASKS)
    sizes = [_size(text) for text in options.size.split(",")]
    batches = [_whole("batch", text) for text in options.batch.split(",")]
    return [
        Case(task, net, *size, batch)
        for net, size, batch, task in product(nets, sizes, batches, tasks)
        if task != "input" or net == nets[0]
    ]


def chosen_systems(options: Any) -> list[str]:
    """Those that are named, or all that are installed.

    Raises:
        ValueError: for one that does not exist, is not installed or cannot run there.
    """
    if not options.systems:
        return systems.default_systems(options.device)
    names = _listed("systems", options.systems, tuple(systems.KINDS))
    for name in names:
        lacking = systems.missing(name)
        if lacking:
            raise ValueError(
                f"--systems={name} needs {' and '.join(lacking)}, not installed here; "
                "pip install 'fcn-jax[parity,bench]'"
            )
        if options.device not in systems.KINDS[name].devices:
            raise ValueError(
                f"--systems={name} runs on {systems.KINDS[name].devices[0]} only here"
            )
    return names


def _measure(
    cases: Sequence[Case],
    names: list[str],
    setting: Setting,
    pace: Pace,
    file: Path,
    *,
    optional: bool,
) -> dict[str, Any]:
    """Run every race; the file is written after each."""
    with_torch = any("torch" in systems.KINDS[name].needs for name in names)
    record: dict[str, Any] = {"runs": [], "slopes": []}
    about = record["machine"] = machine.describe(setting)
    record |= {**pace._asdict(), "sizes": setting.sizes, "cache": bool(setting.cache)}
    if setting.device == "gpu":
        about["gpu"] = alone("the GPU", machine.check_gpu, with_torch)
    if systems.REFERENCE not in names:
        print("torch does not run, so nothing is checked and ratios are missing")
    with tempfile.TemporaryDirectory(prefix="fcn_jax_speed_") as scratch:
        for case in cases:
            entrants = systems.entered(case, names)
            if not entrants:
                _say(f"{case}: none of the systems can do this")
                continue
            files = _files(case, entrants, setting, Path(scratch))
            entries = Race(case, setting, files, pace, optional, _say).run(entrants)
            record["runs"] += results.runs(case, entries, setting.device)
            record["slopes"] = results.slopes(record["runs"])
            results.write(file, record)
    if any(case.task != "input" for case in cases):
        about["matrix_product"] = machine.matrix_peaks(setting, with_torch)
        peaks = {k: max(v.values()) for k, v in about["matrix_product"].items()}
        record["runs"] = results.with_shares(record["runs"], peaks)
    results.write(file, record)
    return record


def _files(
    case: Case, entrants: Sequence[str], setting: Setting, scratch: Path
) -> Path:
    """A folder with what the systems of a race read; older folders are removed."""
    files = scratch / ("input" if case.task == "input" else case.net)
    for other in scratch.iterdir():
        if other != files:
            shutil.rmtree(other)
    if case.task == "input":
        from benchmarks.pictures import draw_folder

        shutil.rmtree(files, ignore_errors=True)
        canvas = (case.height, case.width)
        draw_folder(files / "pictures", setting.images, canvas)
        return files
    if not files.exists():
        create_weights(case.net, files / "weights")
    if any(systems.KINDS[name].exported for name in entrants):
        from benchmarks.onnx_systems import FILE, export

        alone("torch.onnx", export, case, files / "weights", files / FILE)
    return files


def _listed(option: str, text: str, allowed: tuple[str, ...]) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in allowed:
            raise ValueError(
                f"--{option} names {name!r}; allowed are {', '.join(allowed)}, separated "
                "by commas"
            )
    return list(dict.fromkeys(names))


def _size(text: str) -> tuple[int, int]:
    """Rows and columns: "500" is a square, "375x500" has 375 rows."""
    rows, cross, columns = text.partition("x")
    return _whole("size", rows), _whole("size", columns if cross else rows)


def _whole(option: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(
            f"--{option} has {text!r} where a whole number above 0 is needed, such as "
            "--size=500,375x500 or --batch=1,2"
        )
    return int(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.speed",
        description="Race training, inference, evaluation and input with other systems.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--device", default="cpu", choices=("cpu", "gpu"))
    add("--net", default="fcn8s", help=f"of {', '.join(NETS)}")
    add("--size", default="500", help="rows x columns, as 375x500; 500 is square")
    add("--batch", default="1", help="images of a batch")
    add("--task", default=",".join(TASKS), help=f"of {', '.join(TASKS)}")
    add("--systems", default="", help=f"of {', '.join(systems.KINDS)}; all installed")
    add("--rounds", type=int, default=5, help="turns of each system")
    add("--steps", type=int, help="steps of a turn: 1 on a CPU, 10 on a GPU")
    add(
        "--sizes",
        default="program",
        choices=SIZES,
        help="whether fcn_jax is told the true sizes of images that fill the canvas: "
        "as its programs are, or always or never",
    )
    add("--images", type=int, default=100, help="pictures that the input task reads")
    add("--cache", default="", help="keep compiled programs here; else starts are cold")
    add("--out", required=True, help="the JSON file")
    return parser


if __name__ == "__main__":
    # Ended from outside, it still removes its files and processes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run(main)
