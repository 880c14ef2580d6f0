"""Label maps and classes of pictures: the Python API and the command line.

    from fcn_jax.predict import Classifier, Segmenter
    labels = Segmenter.load("runs/quickstart").labels(image)["semantic"]
    scores = Classifier.load("third_party_weights/vgg16").scores(image)

    python -m fcn_jax.predict --checkpoint=runs/quickstart --output=predictions photos/

A checkpoint knows its network, preprocessing and classes: give raw RGB pixels.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from absl import logging
from rich.progress import track

from fcn_jax import terminal
from fcn_jax.clock import StartClock
from fcn_jax.compilation import give_memory_back, keep_compiled_programs
from fcn_jax.data.buckets import Canvas, picture_canvases
from fcn_jax.data.images import image_size, read_color
from fcn_jax.devices import start_devices
from fcn_jax.locations import refuse_file
from fcn_jax.overlap import in_threads
from fcn_jax.pictures import (
    find_pictures,
    refuse_overwriting,
    write_label_map,
    write_overlay,
    write_scores,
)
from fcn_jax.program import Parser, error_sentence, run, set_up_logging

if TYPE_CHECKING:
    from fcn_jax.classify import Classifier
    from fcn_jax.segment import Segmenter

__all__ = ["Classifier", "Segmenter"]

READERS = 2  # threads; the device needs what they read, or the processor their time
READ_AHEAD = 4  # pictures
WRITE_BEHIND = 1  # pictures, besides the one that is written


def __getattr__(name: str) -> Any:
    """The two classes, when they are asked for: jax takes a second, --help should not."""
    if name == "Segmenter":
        from fcn_jax.segment import Segmenter

        return Segmenter
    if name == "Classifier":
        from fcn_jax.classify import Classifier

        return Classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Stages(NamedTuple):
    """What is done with a picture between reading it and telling of it.

    Attributes:
        begin: queues `[H, W, 3] uint8` on the device; its result goes to `finish`.
        finish: waits for the device and writes; returns what is printed.
        verb: what the pictures then are.
    """

    begin: Callable[[Path, np.ndarray], Any]
    finish: Callable[[Path, np.ndarray, Any], list[str]]
    verb: str


class Failure(NamedTuple):
    """Why a picture has no result."""

    sentence: str


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    clock = StartClock()
    options = _parser().parse_args(arguments)
    set_up_logging()
    if options.classify and options.overlay:
        raise ValueError("--overlay belongs to label maps; leave it out of --classify")
    files = find_pictures(options.images)
    if not Path(options.checkpoint).exists():
        raise ValueError(
            f"there is no checkpoint {options.checkpoint}; give a work directory or "
            "a converted checkpoint"
        )
    refuse_file(options.checkpoint, "--checkpoint")
    start_devices()
    keep_compiled_programs()
    give_memory_back()
    stages = (_classifying if options.classify else _labelling)(options, files)
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    failed = []
    for outcome in _overlapping(files, stages, clock):
        if isinstance(outcome, Failure):
            failed.append(outcome.sentence)
        elif outcome:
            print("\n".join(outcome))
    if clock.seconds:
        logging.info("%s", clock.sentence("first picture"))
    done = len(files) - len(failed)
    print(f"{done} of {len(files)} pictures {stages.verb} in {output}")
    for sentence in failed:
        print(f"error: {sentence}", file=sys.stderr)
    return 2 if failed else 0


def _overlapping(
    files: Sequence[Path], stages: Stages, clock: StartClock
) -> Iterator[list[str] | Failure]:
    """What came of each picture, in order, under a progress bar.

    The next pictures are read, and the last ones written, while the device computes.
    """

    def read(file: Path) -> tuple[Path, np.ndarray]:
        return file, read_color(file, where=str(file), rotate=True)

    begin = clock.first_call(stages.begin)

    def queue(picture: tuple[Path, np.ndarray]) -> tuple[Path, np.ndarray, Any]:
        return *picture, begin(*picture)

    def finish(begun: tuple[Path, np.ndarray, Any]) -> list[str]:
        lines = stages.finish(*begun)
        clock.result()
        return lines

    images = in_threads(_attempt(read), files, threads=READERS, ahead=READ_AHEAD)
    queued = map(_attempt(queue), images)
    done = in_threads(_attempt(finish), queued, threads=1, ahead=WRITE_BEHIND)
    console = terminal.console(stderr=True)
    with contextlib.closing(images), contextlib.closing(done):
        yield from track(
            done,
            total=len(files),
            description="predicting",
            console=console,
            disable=not console.is_terminal,
        )


def _attempt(stage: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The stage for one picture; what went wrong with one is no reason to stop."""

    def attempted(given: Any) -> Any:
        if isinstance(given, Failure):
            return given
        try:
            return stage(given)
        except (ValueError, OSError) as error:
            return Failure(error_sentence(error))

    return attempted


def _labelling(options: argparse.Namespace, files: Sequence[Path]) -> Stages:
    from fcn_jax.segment import Segmentation, Segmenter

    segmenter = Segmenter.load(options.checkpoint, _canvases(files))
    if segmenter.inputs != ("color",):
        raise ValueError(
            f"this network reads {segmenter.inputs}; the command line gives colour "
            "only: call fcn_jax.predict.Segmenter from Python with all its inputs"
        )
    output = Path(options.output)
    others = [f"_{name}" for name in list(segmenter.outputs)[1:]]
    ends = [
        f"{own}{end}.png"
        for own in ("", *others)
        for end in ("", "_overlay")[: 1 + options.overlay]
    ]
    refuse_overwriting(files, output, ends)

    def begin(file: Path, image: np.ndarray) -> Segmentation:
        segmenter.refuse_small(image.shape[:2], str(file))
        return segmenter.begin(image, scores=options.scores)

    def finish(file: Path, image: np.ndarray, found: Segmentation) -> list[str]:
        for index, (name, labels) in enumerate(found.labels().items()):
            stem = file.stem if index == 0 else f"{file.stem}_{name}"
            classes = segmenter.outputs[name]
            write_label_map(output / f"{stem}.png", labels, classes)
            if options.overlay:
                write_overlay(output / f"{stem}_overlay.png", image, labels, classes)
        if options.scores:
            scores = found.scores()
            for name, values in scores.items():
                stem = file.stem if len(scores) == 1 else f"{file.stem}_{name}"
                write_scores(output / f"{stem}.npy", values)
        return []

    return Stages(begin, finish, "labelled")


def _canvases(files: Sequence[Path]) -> tuple[Canvas, ...]:
    """Canvases for the pictures whose headers can be read."""
    sizes = []
    for file in files:
        with contextlib.suppress(ValueError, OSError):  # told when it is read whole
            sizes.append(image_size(file, where=str(file)))
    return picture_canvases(np.array(sizes)) if sizes else ()


def _classifying(options: argparse.Namespace, files: Sequence[Path]) -> Stages:
    from fcn_jax.classify import Classifier, write_classes

    classifier = Classifier.load(options.checkpoint)
    output = Path(options.output)
    refuse_overwriting(files, output, ["_heat.png"])

    def begin(file: Path, image: np.ndarray) -> Any:
        classifier.refuse_small(image, str(file))
        return classifier.begin(image)

    def finish(file: Path, image: np.ndarray, found: Any) -> list[str]:
        scores = np.asarray(found, np.float32)
        lines = write_classes(classifier, image, scores, output, file.stem)
        if options.scores:
            write_scores(output / f"{file.stem}.npy", scores)
        return [f"{file}:", *lines]

    return Stages(begin, finish, "classified")


def _parser() -> Parser:
    parser = Parser(
        prog="python -m fcn_jax.predict",
        description="Label every pixel of pictures, or classify them.",
    )
    parser.add_argument(
        "--checkpoint", required=True, help="work directory or converted checkpoint"
    )
    parser.add_argument("--output", required=True, help="directory for the results")
    parser.add_argument(
        "--classify",
        action="store_true",
        help="an ImageNet classifier: print the likeliest classes and draw where",
    )
    parser.add_argument(
        "--overlay", action="store_true", help="also write <stem>_overlay.png"
    )
    parser.add_argument(
        "--scores", action="store_true", help="also write <stem>.npy, [H, W, K] float32"
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="files, folders or globs"
    )
    return parser


if __name__ == "__main__":
    run(main)
