"""Images a second of the input pipeline beside torch's DataLoader on the same files.

    python -m benchmarks.reading [--folder=DIR] [--images=200] [--rounds=5]

Without a folder, pictures of PASCAL VOC's size are drawn: JPEG of quality 90 and about
90 KB, with palette PNG labels. The package's threads and its processes take turns with
torch's processes, two of each; all in one process, unlike `benchmarks.speed`.
"""

import statistics
import tempfile
from pathlib import Path

from benchmarks.input_systems import WORKERS, Ours, Torch
from benchmarks.pictures import draw_folder
from benchmarks.processes import turn
from fcn_jax.runtime.cli import Parser, run

CANVAS = (500, 500)
BATCH = 4


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = Parser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--folder", default="", help="a folder data set of JPEG files")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.folder or scratch)
        if not options.folder:
            draw_folder(folder, options.images, CANVAS)
        readers = {
            "threads": Ours(folder, BATCH, CANVAS),
            "processes": Ours(folder, BATCH, CANVAS, workers=WORKERS),
            "torch": Torch(folder, BATCH, CANVAS),
        }
        rates: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(options.rounds):
            for name, reader in readers.items():
                rates[name].append(reader.images / turn(reader, 1))
    for name, values in rates.items():
        ratios = [v / t for t, v in zip(rates["torch"], values, strict=True)]
        print(
            f"{name:>10}: {statistics.median(values):7.1f} images/s (of {len(values)} "
            f"rounds {min(values):.1f} to {max(values):.1f}), "
            f"{statistics.median(ratios):.2f} x torch"
        )
    return 0


if __name__ == "__main__":
    run(main)
