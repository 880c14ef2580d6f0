"""Alters the package's own JSON files at random and reads them as a run does.

    python -m tests.fuzz_own_files --reader=record --executions=100000

Whatever is in config.json, metrics.jsonl or the record of a checkpoint (signed again,
as another program would): it is read, or refused with a ValueError or a RunError of one
printable line. A finding is printed with its bytes and ends the run with status 1.
"""

import argparse
import contextlib
import copy
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import rich.console

from fcn_jax import config as configuration
from fcn_jax.checkpoints import load_model
from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.data.labels import VOC
from fcn_jax.models.fcn import smallest_image
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.runs import workdir
from fcn_jax.runs.runlog import RunLog
from fcn_jax.runs.workdir import check_resume, store_config
from fcn_jax.runtime.messages import RunError, error_sentence

LONGEST_SENTENCE = 1500
TOLD = 1000  # executions between lines of progress
TEXTS = {  # what `json.dumps` cannot write
    "@deep": "[" * 3000 + "]" * 3000,
    "@levels": '{"a":' * 40 + "1" + "}" * 40,
    "@digits": "9" * 6000,
    "@large": "1e999",
}
VALUES = (
    *(
        None,
        True,
        False,
        0,
        -1,
        7,
        2**31,
        10**30,
        0.5,
        1e308,
        float("nan"),
        -float("inf"),
    ),
    *("", "x", "\x1b[31m\x00", "é" * 5000, "../../etc", "@deep", "@levels", "@digits"),
    *(
        "@large",
        [],
        {},
        [[]],
        [None],
        {"": 1},
        {"a.b": {}},
        {"\n": 1},
        [1, 2, 3],
        ["x"],
    ),
)
BASE = configuration.to_dict(configuration.base())
Reader = Callable[[Path, bytes], object]


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """(container, key) of every value inside."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        found.append((value, key))
        if isinstance(inner, dict | list):
            places(inner, found)
    return found


def alter(rng: random.Random, tree: Any) -> None:
    """One change: another value, a missing, renamed or copied one, or an exchange."""
    inside = places(tree, [])
    if not inside:
        return
    container, key = rng.choice(inside)
    other, where = rng.choice(inside)
    kind = rng.randrange(8)
    if kind < 4:
        container[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 4:
        del container[key]
    elif kind == 5 and isinstance(container, dict):
        name = rng.choice(("", "x", "a.b", "\x1b", "n" * 300, "mean"))
        container[name] = container.pop(key)
    elif kind == 6:
        container[key] = copy.deepcopy(other[where])
    elif isinstance(container[key], str | list):
        container[key] = container[key] * rng.choice((0, 2, 300))


def written(tree: Any) -> bytes:
    """The tree as JSON, with what JSON's writer does not write."""
    text = json.dumps(tree)
    for name, content in TEXTS.items():
        text = text.replace(f'"{name}"', content)
    return text.encode()


def damage(rng: random.Random, content: bytes) -> bytes:
    """The bytes, one in five times cut, or with one of them altered or added."""
    if not content or rng.randrange(5):
        return content
    at, kind = rng.randrange(len(content)), rng.randrange(3)
    if kind == 0:
        return content[:at]
    new = bytes([rng.randrange(256)])
    return content[:at] + new + content[at + (kind == 1) :]


def signed(tree: dict[str, Any]) -> dict[str, Any]:
    """A manifest with the digest that its writer would give it."""
    plain = {key: value for key, value in tree.items() if key != "sha256"}
    text = json.dumps(plain, sort_keys=True)
    return plain | {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def read_config(directory: Path, content: bytes) -> None:
    """As a run that is continued."""
    (directory / "config.json").write_bytes(content)
    stored = configuration.from_dict(workdir.read_config(directory), "config.json")
    plain = configuration.to_dict(stored)
    with contextlib.suppress(ValueError):
        check_resume(plain, BASE, configuration.changeable_keys(stored))
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def read_metrics(directory: Path, content: bytes) -> None:
    """As a run that is continued after three updates."""
    (directory / "metrics.jsonl").write_bytes(content)
    console = rich.console.Console(quiet=True)
    with RunLog(directory, start_step=3, total_steps=9, console=console) as log:
        log.evaluation(4, "val", {"mean_iu": 0.5})
    rows = (directory / "metrics.jsonl").read_bytes().split(b"\n")[:-1]
    assert all(int(json.loads(row)["step"]) <= 4 for row in rows)
    assert rows
    shutil.rmtree(directory / "tensorboard")


def read_record(directory: Path, content: bytes) -> None:
    """As evaluation and prediction do."""
    (directory / "3" / "record" / "metadata").write_bytes(content)
    found = load_model.load_model(directory)
    assert smallest_image(found.maps) > 0
    again = json.loads(json.dumps(found.record.to_dict(), allow_nan=False))
    assert Record.from_dict(again, "x") == found.record


def remembering(abstract: Callable[..., Any]) -> Callable[..., Any]:
    """`shapes.abstract`, which takes most of the time, once for each network."""
    known: dict[str, Any] = {}

    def remembered(model: Any, channels: Any, *size: int) -> Any:
        key = f"{model!r} {channels} {size}"
        if key not in known:
            known[key] = abstract(model, channels, *size)
        maps, shapes = known[key]
        return maps, dict(shapes)

    return remembered


def config_seeds(directory: Path) -> list[Any]:
    """Configurations of a run and of a reference net."""
    config = configuration.base()
    store_config(directory, configuration.to_dict(config))
    plain = json.loads((directory / "config.json").read_bytes())
    other = configuration.of_net("nyud-fcn32s-color-hha")
    return [plain, json.loads(json.dumps(configuration.to_dict(other)))]


def metrics_seeds(directory: Path) -> list[Any]:
    """Rows of a run."""
    del directory
    row = {"step": 1, "split": "train", "loss": 1.5, "learning_rate": 0.1}
    scores = {"step": 3, "split": "val", "mean_iu": None, "per_class_iu": [0.5, None]}
    return [[row, {**row, "step": 2}, scores, {**row, "step": 4}]]


def record_seeds(directory: Path) -> list[Any]:
    """Manifests of checkpoints of an FCN and of a classifier, of both versions."""
    fcn = configuration.of_net("voc-fcn32s")
    classifier = configuration.base()
    classifier.model.update(backbone="alexnet")
    color = Preprocessing((1.0, 2.0, 3.0)).to_dict()
    records = [
        {
            "network": name,
            "config": configuration.to_dict(config),
            "outputs": {"semantic": VOC.to_dict()},
            "preprocessing": {"color": color},
            "origins": {"trunk.conv1_1.kernel": "initialised"},
            "data": {"images": 3, "train": "0", "length": 9},
            **more,
        }
        for name, config, more in (
            ("fcn", fcn, {}),
            ("classifier", classifier, {"categories": ["cat", "dog"]}),
        )
    ]
    for record in records:
        record["config"]["model"]["width"] = 1 / 16
    records += [Record.from_dict(record, "x").to_dict() for record in records]
    store = CheckpointStore(directory)
    store.save(3, params={}, optimizer={}, record=records[0], score=0.5)
    file = directory / "3" / "record" / "metadata"
    manifest = json.loads(file.read_bytes())
    return [{**manifest, "record": json.loads(json.dumps(r))} for r in records]


READERS: dict[str, tuple[Reader, Callable[[Path], list[Any]]]] = {
    "config": (read_config, config_seeds),
    "metrics": (read_metrics, metrics_seeds),
    "record": (read_record, record_seeds),
}


def content_of(reader: str, rng: random.Random, seeds: list[Any]) -> bytes:
    """An altered file."""
    tree = copy.deepcopy(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 5))):
        alter(rng, tree)
    if reader == "metrics":
        return damage(rng, b"\n".join([*map(written, tree), b""]))
    if reader == "record" and isinstance(tree, dict):
        return damage(rng, written(signed(tree)))
    return damage(rng, written(tree))


def fuzz(reader: str, executions: int, seed: int = 0) -> dict[str, int]:
    """Reads altered files; counts those that were read and refused.

    Raises:
        AssertionError: for another kind of error, or a sentence that is none.
    """
    read, make_seeds = READERS[reader]
    rng = random.Random(seed)
    counts = {"read": 0, "refused": 0}
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(load_model, "abstract", remembering(load_model.abstract)),
        mock.patch.object(load_model, "restore_tree", lambda tree, *_: tree),
    ):
        seeds = make_seeds(Path(folder))
        for index in range(executions):
            if index and index % TOLD == 0:
                print(reader, index, counts, file=sys.stderr, flush=True)
            content = content_of(reader, rng, seeds)
            try:
                read(Path(folder), content)
                counts["read"] += 1
            except (ValueError, RunError) as error:
                sentence = error_sentence(error)
                assert sentence.isprintable(), (sentence, content)
                assert len(sentence) <= LONGEST_SENTENCE, (sentence, content)
                counts["refused"] += 1
            except Exception as error:
                raise AssertionError(f"{type(error)}: {error}: {content!r}") from error
    return counts


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", choices=READERS, required=True)
    parser.add_argument("--executions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    counts = fuzz(options.reader, options.executions, options.seed)
    print(options.reader, counts, f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
