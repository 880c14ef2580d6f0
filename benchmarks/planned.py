"""The memory that `--mode=plan` predicts beside that of the process that trains.

    python -m benchmarks.planned [--only=quickstart,...] [--out=FILE.json]

Each row is two processes: one plans the experiment, the other trains it for some updates
on random images of the same sizes. Both compile anew. What is measured is the largest
resident memory of updates 3 to 6: compilation, which needs more for a while, is before
them, and saving and evaluation come after.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import memory
from benchmarks.processes import alone
from fcn_jax.data.examples import Example, Source, digest
from fcn_jax.runtime.cli import Parser, run

WARM_UP, UPDATES = 2, 6
IMAGES = 24


class Row(NamedTuple):
    """An experiment and the keys that are changed."""

    net: str
    changed: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return " ".join([self.net, *(f"{key}={value}" for key, value in self.changed)])


ROWS = (
    Row("quickstart"),
    Row("camvid_fcn8s:small"),
    Row("fcn8s"),
    Row("fcn8s", (("rematerialize", True),)),
    Row("fcn_alexnet", (("accumulation", 2),)),
    Row("fcn_googlenet", (("accumulation", 2),)),
)


@dataclass(frozen=True)
class RandomPictures:
    """A `Source` of random pixels and labels, of the sizes of a stand-in.

    Attributes:
        stand_in: its sizes, classes and names.
        channels: of each input.
    """

    stand_in: Source
    channels: Mapping[str, int]

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Classes of each output."""
        return self.stand_in.outputs

    @property
    def fingerprint(self) -> str:
        """Digest of the sizes."""
        return digest([self.stand_in.fingerprint, IMAGES])

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng(index)
        size = tuple(self.sizes()[index].tolist())
        inputs = {
            name: rng.integers(1, 256, (*size, count), dtype=np.uint8)
            for name, count in self.channels.items()
        }
        labels = {
            name: rng.integers(0, len(classes), size, dtype=np.uint8)
            for name, classes in self.outputs.items()
        }
        return Example(self.name(index), inputs, labels)

    def name(self, index: int) -> str:
        """Unique in all splits."""
        return f"{self.stand_in.name(0)} {index}"

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width)."""
        return np.resize(self.stand_in.sizes(), (IMAGES, 2))


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m benchmarks.planned", description=__doc__)
    parser.add_argument("--only", default="", help="rows with one of these texts")
    parser.add_argument("--out", default="", help="JSON file for the numbers")
    options = parser.parse_args(arguments)
    texts = [text for text in options.only.split(",") if text]
    rows = [row for row in ROWS if not texts or any(text in str(row) for text in texts)]
    print("| experiment | planned GiB | measured GiB | planned / measured |")
    print("|---|---:|---:|---:|", flush=True)
    found = {}
    for row in rows:
        planned, used = compare(row)
        found[str(row)] = {"planned": planned, "measured": used}
        print(
            f"| {row} | {planned / 2**30:.2f} | {used / 2**30:.2f} | "
            f"{planned / used:.2f} |",
            flush=True,
        )
    if options.out:
        Path(options.out).write_text(json.dumps(found, indent=1) + "\n")


def compare(row: Row) -> tuple[float, float]:
    """Return the bytes that are planned for training, and those that are measured."""
    return alone(f"plan of {row}", planned, row), alone(f"{row}", measured, row)


def planned(row: Row) -> float:
    """Bytes of training by the plan; in a process of its own."""
    start()
    from fcn_jax.experiment import without_data
    from fcn_jax.experiment.experiment import Experiment
    from fcn_jax.planning.plan import make_plan
    from fcn_jax.planning.targets import here

    config = configured(row)
    sources, _ = without_data.splits(config)
    experiment = Experiment.from_config(config, **sources)
    return make_plan(experiment, here(config.dtype)).training


def measured(row: Row) -> float:
    """Largest resident bytes of some updates; in a process of its own."""
    start()
    from absl import logging

    from fcn_jax.experiment import reading, without_data
    from fcn_jax.experiment.experiment import Experiment
    from fcn_jax.training import loop

    config = configured(row)
    sources, _ = without_data.splits(config)
    if config.data.name != "synthetic":
        records = reading.read_preprocessing(config)
        channels = {name: len(record.mean) for name, record in records.items()}
        sources = {key: RandomPictures(own, channels) for key, own in sources.items()}
    experiment = Experiment.from_config(config, **sources)
    logging.set_verbosity(logging.FATAL)  # of a run that is cut off
    peaks: list[float] = []
    loop.make_train_step = watched(loop.make_train_step, peaks)
    with tempfile.TemporaryDirectory(prefix="fcn_jax_planned_") as workdir:
        try:
            loop.train(experiment, workdir)
        except Enough:
            return peaks[0]
    raise RuntimeError("the run ended before its memory was measured")


class Enough(Exception):  # noqa: N818
    """The memory has been measured."""


def watched(make: Callable[..., Any], peaks: list[float]) -> Callable[..., Any]:
    """Return a maker of train steps that measure, and end the run after `UPDATES`."""

    def made(**parts: Any) -> Any:
        import jax

        step, done = make(**parts), 0

        def update(state: Any, batch: Any) -> Any:
            nonlocal done
            if done == WARM_UP:
                jax.block_until_ready(state)
                memory.forget_peak()
            result = step(state, batch)
            done += 1
            if done == UPDATES:
                jax.block_until_ready(result)
                peaks.append(memory.peak_mib() * 2**20)
                raise Enough
            return result

        return update

    return made


def start() -> None:
    """Start a process as the main program does, but without stored programs."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    from fcn_jax.runtime.compilation import trim_compiler_memory
    from fcn_jax.runtime.devices import start_devices

    start_devices()
    trim_compiler_memory()


def configured(row: Row) -> Any:
    """Return the configuration of a row, from scratch and on one device."""
    from fcn_jax.launch import experiment_files

    config = experiment_files.load(experiment_files.find(row.net))
    with config.unlocked():
        config.init_from = ""
        config.init_new = config.init_unused = ()
        config.recipe = "scratch"
        config.steps, config.devices = 100, 1
        config.checks.labels = config.checks.learning_rate = False
        config.update_from_flattened_dict(dict(row.changed))
    return config


if __name__ == "__main__":
    run(main)
